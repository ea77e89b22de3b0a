"""What `try` makes of its arguments, and of files that agree in name or time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from catalog.contract import Column, load_all
from catalog.records import FileReport, Part
from local_cloud.cli import trial
from local_cloud.cli.trial import Served, TrialError

NOW = datetime(2025, 6, 5, 4, 17, 30, 250, tzinfo=UTC)
EARLY = datetime(2017, 5, 31, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few files, the current one."""
    for name in ("a.csv", "b.csv", "a+b.csv", "a@2017-05-31.csv", "sub/a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("argument", "paths", "time"),
    [
        ("a.csv", ["a.csv"], None),
        ("a.csv+b.csv", ["a.csv", "b.csv"], None),
        ("a+b.csv", ["a+b.csv"], None),
        ("a@2017-05-31.csv", ["a@2017-05-31.csv"], None),
        ("a.csv@2017-05-31", ["a.csv"], EARLY),
        ("a+b.csv@2017-05-31", ["a+b.csv"], EARLY),
        ("a.csv+b.csv@2017-05-31T14:00+02:00", ["a.csv", "b.csv"], EARLY),
    ],
)
def test_arguments(argument: str, paths: list[str], time: datetime | None) -> None:
    assert trial.parse(argument) == Served(tuple(map(Path, paths)), time)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("argument", ["c.csv", "a.csv+c.csv", "a.csv@soon", "sub"])
def test_files_that_are_not_there(argument: str) -> None:
    with pytest.raises(TrialError, match="no such file; give FILE, A\\+B or FILE@2017-05-31"):
        trial.parse(argument)


def test_the_last_run_is_now_and_the_others_a_day_apart() -> None:
    runs = [Served((Path(name),)) for name in "abc"]
    days = [run.time.isoformat() for run in trial.timed(runs, NOW) if run.time]
    assert days == [f"2025-06-0{day}T04:17:30+00:00" for day in (3, 4, 5)]


def test_a_run_without_a_time_follows_a_day_after() -> None:
    runs = [Served((Path("a"),), EARLY), Served((Path("b"),))]
    assert [run.time for run in trial.timed(runs, NOW)] == [EARLY, EARLY.replace(month=6, day=1)]


def test_two_runs_of_one_time_are_refused() -> None:
    runs = [Served((Path("a"), Path("b")), EARLY), Served((Path("c"),), EARLY)]
    with pytest.raises(TrialError, match=r"a\+b and c are both served at 2017-05-31T12:00:00"):
        trial.timed(runs, NOW)


def test_files_of_one_name_are_kept_apart() -> None:
    paths = [Path("x/a.csv"), Path("y/a.csv"), Path("b.csv")]
    assert trial._names(paths) == ["1-a.csv", "2-a.csv", "b.csv"]


def test_a_slot_that_a_newer_run_has_is_said_so() -> None:
    part = Part(
        slot="2024-05", object="parts/x", generation=1, rows=5, bytes=1, hash="h",
        rejected={"empty": 1}, held=False, newest=None,
    )  # fmt: skip
    loaded = {"run": "20240601T000000Z", "rows_in": 7, "rows_out": 7, "rejects": "{}",
              "duplicates": 3, "revised": 2}  # fmt: skip
    counts = trial._slot(part, loaded, "20240501T000000Z")
    assert (counts["rows_in"], counts["rows_out"]) == (6, 0)
    assert counts["rejected"] == {"empty": 1, "a newer run counts: 20240601T000000Z": 5}
    assert (counts["duplicates"], counts["revised"]) == (0, 0)
    counts = trial._slot(part, loaded, "20240601T000000Z")
    assert (counts["rows_out"], counts["duplicates"], counts["revised"]) == (7, 3, 2)


@pytest.mark.parametrize(
    ("missing", "unknown", "said"),
    [
        (("name",), {"Nom": "x"},
         ['name is missing and Nom is unknown: if it was renamed, say aliases = [..., "Nom"] of name']),
        (("name",), {"Nom": "x", "Ville": ""},
         ['name is missing and Nom, Ville are unknown: if it was renamed, say aliases = [..., "…"] of name']),
        (("name",), {}, []),
        (("site_code",), {"Nom": "x"}, []),  # required: the refusal says it
        ((), {"Nom": "x"}, []),
    ],
)  # fmt: skip
def test_a_missing_column_that_may_be_an_unknown_one(
    missing: tuple[str, ...], unknown: dict[str, str], said: list[str]
) -> None:
    columns = (
        Column(name="site_code", type="code", description="", required=True),
        Column(name="name", type="text", description="", aliases=("Name",)),
    )
    contract = msgspec.structs.replace(load_all()["paris_wifi_sites"], columns=columns)
    report = FileReport(
        object="o", generation=1, sha256="", encoding="utf-8", shape="csv", header=(),
        aliases={}, unknown_columns=unknown, missing_columns=missing,
    )  # fmt: skip
    assert list(trial._warnings(contract, [report])) == said
