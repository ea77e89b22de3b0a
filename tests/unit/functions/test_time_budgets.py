"""Invariants that no step's own test holds: time budgets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from catalog.records import Event
from functions.core import bigquery, telemetry
from functions.core.clients import EVENTS_SECONDS
from functions.core.message import Message
from functions.core.settings import from_environment
from functions.load import step as load
from functions.sweep import step as sweep
from infra_pulumi.functions import SECONDS

PUBLISH_SECONDS = 60
"""How long `Clients.publish` waits at most."""


def test_every_step_ends_before_its_function_does() -> None:
    """By construction: what a step waits for, added up, a message of its own, and its events.

    A sweep looks at its clock after each event, and between two there is one query of the ledger at
    most.
    """
    needed = (
        "PROJECT",
        "REGION",
        "RAW_BUCKET",
        "LANDING_BUCKET",
        "LAKE_BUCKET",
        "QUARANTINE_BUCKET",
    )
    settings = from_environment(dict.fromkeys(needed, "x"))
    waits = {
        "download": settings.download_seconds,
        "load": load.SECONDS,
        "seal": 2 * bigquery.QUERY_SECONDS,
        "show": bigquery.QUERY_SECONDS,
        "sweep": sweep.SECONDS + bigquery.QUERY_SECONDS,
    }
    assert SECONDS <= 540
    after = PUBLISH_SECONDS + EVENTS_SECONDS
    assert {step: s for step, s in waits.items() if s + after >= SECONDS} == {}


NOW = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three systems of which each takes 200 seconds for an event, and has two."""
    clock = SimpleNamespace(now=0.0)

    def system(name: str, _: object, message: Message, *__: object) -> Iterator[Event]:
        for number in range(2):
            clock.now += 200
            yield telemetry.event("sweep", message, f"{name}{number}")

    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(sweep, "load_all", dict)
    monkeypatch.setattr(sweep, "systems", lambda _: dict.fromkeys("abc", ()))
    monkeypatch.setattr(sweep, "_system", system)
    return clock


def swept(tick: int) -> list[Event]:
    """Sweep at a tick of the schedule."""
    message = Message(data=b"", attributes={}, published=NOW + timedelta(minutes=10 * tick), id="m")
    nothing: Any = None
    return list(sweep.run(message, nothing, nothing))


def test_a_sweep_without_time_names_the_systems_that_it_skips(slow: Any) -> None:
    *events, skipped = swept(0)
    first, second = (event.outcome for event in events)
    assert (first[1], second[1]) == ("0", "1"), "the first system was begun, and it was the last"
    assert (skipped.outcome, skipped.severity) == ("skipped", "WARNING")
    named = skipped.message.partition(": ")[2].partition(".")[0]
    assert sorted(named.split(", ")) == ["a", "b", "c"]
    assert slow.now == 400


def test_each_system_comes_first_at_some_tick(slow: Any) -> None:
    firsts = []
    for tick in range(3):
        slow.now = 0.0
        firsts.append(swept(tick)[0].outcome)
    assert sorted(firsts) == ["a0", "b0", "c0"]


def test_a_sweep_in_time_skips_nothing(slow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "SECONDS", 2000.0)
    assert sorted(event.outcome for event in swept(0)) == ["a0", "a1", "b0", "b1", "c0", "c1"]
