"""The scheduler under the virtual clock: which ticks, in which order, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from google.api_core.exceptions import BadRequest

from local_cloud.clock import VirtualClock
from local_cloud.scheduler import Scheduler, next_tick, parse_schedule


def at(text: str) -> datetime:
    """A UTC instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NEXT = [
    ("every 30 minutes from 00:07 to 23:59", "2025-06-05T00:00", "2025-06-05T00:07"),
    ("every 30 minutes from 00:07 to 23:59", "2025-06-05T00:07", "2025-06-05T00:37"),
    ("every 30 minutes from 00:07 to 23:59", "2025-06-05T23:37", "2025-06-06T00:07"),
    ("every 30 minutes from 10:00 to 11:00", "2025-06-05T11:00", "2025-06-06T10:00"),
    ("every 30 minutes", "2025-06-05T23:45", "2025-06-06T00:00"),
    ("every 6 hours", "2025-06-05T06:00", "2025-06-05T12:00"),
    ("every day 04:07", "2025-06-05T04:06", "2025-06-05T04:07"),
    ("every day 04:07", "2025-06-05T04:07", "2025-06-06T04:07"),
]


@pytest.mark.parametrize(("schedule", "moment", "expected"), NEXT)
def test_next_tick(schedule: str, moment: str, expected: str) -> None:
    assert next_tick(schedule, at(moment)) == at(expected)


@pytest.mark.parametrize(
    "schedule", ["", "every monday 09:00", "37 * * * *", "every 0 minutes", "1st of month 00:00"]
)
def test_unknown_schedules_are_refused(schedule: str) -> None:
    with pytest.raises(ValueError, match="is not understood here"):
        parse_schedule(schedule)


class Sink:
    """Keeps what is published, and the clock's time of it."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.seen: list[tuple[str, str]] = []

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Keep a message."""
        assert data == b"{}"
        assert attributes is not None
        self.seen.append((topic, f"{self.clock.now():%d %H:%M}"))
        return "1"


def test_runs_what_is_due_in_order_of_time() -> None:
    clock = VirtualClock(at("2025-06-05T00:00"))
    sink, settled = Sink(clock), []

    def query(script: str, run_time: datetime, account: str) -> None:
        assert (script, account) == ("SELECT 1", "sql@demo")
        sink.seen.append(("query", f"{run_time:%d %H:%M}"))

    scheduler = Scheduler(clock, sink, query, lambda: settled.append(clock.now()))
    scheduler.add_job("sweep", "8-59/10 * * * *", "sweep", b"{}", {})
    scheduler.add_job("ingest", "17 0 * * *", "ingest", b"{}", {"kind": "snapshot"})
    scheduler.add_query("reports", "every 30 minutes from 00:07 to 23:59", "SELECT 1", "sql@demo")
    done = scheduler.run_until(at("2025-06-05T00:28"))
    assert sink.seen == [
        ("query", "05 00:07"), ("sweep", "05 00:08"), ("ingest", "05 00:17"),
        ("sweep", "05 00:18"), ("sweep", "05 00:28"),
    ]  # fmt: skip
    assert done == len(settled) == 5
    assert clock.now() == at("2025-06-05T00:28")
    assert scheduler.run_until(at("2025-06-05T00:36"), only=lambda name: name == "ingest") == 0


def test_a_query_that_fails_is_kept_and_the_day_goes_on() -> None:
    clock = VirtualClock(at("2025-06-05T00:00"))

    def query(_: str, __: datetime, ___: str) -> None:
        raise BadRequest("a day counted twice")  # type: ignore[no-untyped-call]

    scheduler = Scheduler(clock, Sink(clock), query, lambda: None)
    scheduler.add_query("reports", "every day 04:07", "SELECT 1", "sql@demo")
    assert scheduler.run_until(at("2025-06-06T12:00")) == 2
    assert [run.ok for run in scheduler.runs] == [False, False]
    assert "counted twice" in str(scheduler.runs[0].error)


def test_faults_of_use_are_named() -> None:
    clock = VirtualClock(at("2025-06-05T00:00"))
    scheduler = Scheduler(clock, Sink(clock), lambda *_: None, lambda: None)
    scheduler.add_job("sweep", "8 * * * *", "sweep", b"{}", {})
    with pytest.raises(ValueError, match="scheduled already"):
        scheduler.add_job("sweep", "8 * * * *", "sweep", b"{}", {})
    with pytest.raises(ValueError, match="is not unix cron"):
        scheduler.add_job("bad", "every day", "sweep", b"{}", {})
    with pytest.raises(KeyError, match="nothing is scheduled as gone"):
        scheduler.fire("gone")
