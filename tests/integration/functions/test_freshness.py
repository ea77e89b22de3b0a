"""A data set is overdue when nothing good came within its objective."""

from __future__ import annotations

from datetime import timedelta

import pytest

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.records import Claim, Origin, Outcome
from catalog.runs import Run
from catalog.slots import Unit
from functions.core import gcs
from functions.sweep.freshness import overdue
from tests.support.step_cloud import NOW, Toy, contract, message

HOURS = 2
"""The toys' objective."""


def claim(toy: Toy, of: Contract, hours_ago: float, outcome: Outcome, *, told: bool) -> None:
    """Leave a claim in raw, its outcome told in its metadata or in its text alone."""
    run = Run.at(NOW - timedelta(hours=hours_ago))
    made = Claim(
        dataset=of.dataset, run=run.name, outcome=outcome, origin=Origin.PUBLISHER, source="it",
        fetched_at=run.time.isoformat(),
    )  # fmt: skip
    gcs.create(
        toy.raw,
        object_names.claim(of.dataset, run),
        made.encode(),
        metadata=made.metadata if told else None,
    )


CASES: dict[str, tuple[list[tuple[float, Outcome]], bool]] = {
    "nothing ever": ([], True),
    "long ago": ([(3, Outcome.ACCEPTED)], True),
    "just now": ([(0.5, Outcome.ACCEPTED)], False),
    "nothing new is good": ([(3, Outcome.ACCEPTED), (1, Outcome.UNCHANGED)], False),
    "refused is not": ([(3, Outcome.ACCEPTED), (1, Outcome.REFUSED)], True),
    "refused after a good one": ([(1.5, Outcome.ACCEPTED), (1, Outcome.REFUSED)], False),
}


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_a_fetch_within_the_objective(toy: Toy, case: str, told: bool) -> None:
    claims, late = CASES[case]
    for hours_ago, outcome in claims:
        claim(toy, toy.full, hours_ago, outcome, told=told)
    events = list(overdue([toy.full], toy.raw, message(b"{}", NOW)))
    assert [event.dataset for event in events] == ([toy.full.dataset] if late else [])
    for event in events:
        assert (event.step, event.outcome, event.severity) == ("sweep", "overdue", "ERROR")
        assert "2025-06-05 00:10 UTC, 2 hours" in event.message


@pytest.mark.parametrize(("hours_ago", "late"), [(1, False), (3, True)])
def test_a_streams_file_within_the_objective(toy: Toy, hours_ago: int, late: bool) -> None:
    stream = contract(toy.system, "taps", Kind.STREAM, Unit.HOUR)
    run = Run.of_file(NOW - timedelta(hours=hours_ago), "u")
    toy.raw.blob(object_names.stream_file(stream.dataset, run)).upload_from_string(b"")
    assert bool(list(overdue([stream], toy.raw, message(b"{}", NOW)))) is late
