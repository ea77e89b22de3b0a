"""The choice of a tenth of the crash list, and the names of its tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from local_cloud.gateway.proxy import Phase
from tests.support.crash_list import (
    SHARES,
    Point,
    crash_id,
    read_points,
    repeat_command,
    seed_of_commit,
    tenth,
    write_points,
)

POINTS = read_points()
IDS = [crash_id((point, phase)) for point in POINTS for phase in Phase]
HEAD = "94d3b3f0c1f5e0d2b3a4958677869504132a1b0c"


def git(shallow: bool, count: int) -> Callable[..., str]:
    """Answer as git does in a clone with this number of commits."""
    answers = {
        ("rev-parse", "--is-shallow-repository"): f"{shallow}".lower(),
        ("rev-parse", "HEAD"): HEAD,
        ("rev-list", "--count", "HEAD"): f"{count}",
    }
    return lambda *arguments: answers[arguments] + "\n"


def test_ten_consecutive_commits_run_every_death_once() -> None:
    seeds = [seed_of_commit(git(False, 468 + offset)).number for offset in range(SHARES)]
    runs = Counter(each for seed in seeds for each in tenth(IDS, seed))
    assert runs == Counter(IDS)


def test_a_shallow_clone_goes_by_the_hash_and_says_so() -> None:
    seed = seed_of_commit(git(True, 1))
    assert seed.number == int(HEAD, 16) % SHARES != 1
    assert "shallow" in seed.origin


def test_a_tenth_is_a_tenth_of_each_kind() -> None:
    for seed in range(SHARES):
        chosen = tenth(IDS, seed)
        assert len(chosen) in (len(IDS) // SHARES, len(IDS) // SHARES + 1)
        assert {each.partition("-")[0] for each in chosen} == {phase.value for phase in Phase}
        assert tenth(IDS[::-1], seed) == chosen, "whatever the order of collection"


def test_ids_are_distinct_and_need_no_quotes() -> None:
    assert len(set(IDS)) == len(IDS)
    point = Point("load", "bigquery jobs.insert", "load-wifi_hours-paris-wifi-ID-aN", 1)
    assert crash_id((point, Phase.AFTER)) == (
        "after-load-bigquery-jobs.insert-load-wifi_hours-paris-wifi-ID-aN-1"
    )


def test_the_command_repeats_one_test() -> None:
    node = "tests/crashes/test_crashes.py::test_a_death[after-load-x-1]"
    assert repeat_command(node) == f'.venv/bin/nox -s crashes -- "{node}"'


def test_points_are_written_as_they_are_read(tmp_path) -> None:
    write_points(POINTS, tmp_path / "points.json")
    assert read_points(tmp_path / "points.json") == POINTS
