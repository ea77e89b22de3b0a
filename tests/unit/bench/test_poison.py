"""What the bench says of a file that kills `split`, and that it can say otherwise."""

from __future__ import annotations

import pytest

from bench import poison
from catalog import retry_policy


def test_the_poison_delays_no_healthy_file() -> None:
    found = poison.days()
    assert poison.verdict(found) == ""
    without, before, after = found.values()
    assert without.latencies == after.latencies
    assert before.latency(0.95) > 10 * without.latency(0.95)
    assert (without.resends, without.unfinished, without.dead_letters) == (0, 0, 0)
    assert after.resends == 2
    assert before.resends > 100


def test_the_old_policy_is_found_out() -> None:
    assert "the poison delays healthy files" in poison.verdict(poison.days(poison.at_every_sweep))


def test_a_day_that_shows_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poison, "INSTANCES", 10_000)
    assert "this day cannot distinguish one policy" in poison.verdict(poison.days())


def test_a_message_is_tried_and_given_up_as_pub_sub_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The original alone: fifty tries, ten seconds to ten minutes apart."""
    monkeypatch.setattr(poison, "HEALTHY_SECONDS", ())
    day = poison.Simulation(lambda last, now: poison.Action.WAIT).run(poison=True)
    assert (day.tries, day.dead_letters) == (retry_policy.MAX_TRIES, 1)
    assert day.busy_seconds == retry_policy.MAX_TRIES * poison.POISON_SECONDS


def test_the_bench_prints_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert poison.run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("10 instances of split, 144 sweeps, 6 healthy data sets")
    assert sum(line.startswith("| ") for line in lines) == 4
    assert lines[-1] == "verdict: the poison delays no healthy file"
