"""Find earlier runs of a data set, newest first, by the names of their objects alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeVar

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.object_names import SplitKey
from catalog.records import Claim, Outcome, SplitRecord
from catalog.runs import Run
from functions.core import gcs
from functions.core.records import read_split
from functions.core.strays import parse_names

T = TypeVar("T")

MONTHS = 24
"""How many months back an earlier run is searched for."""

READS = 60
"""The most records that are read to find one; if none fits, the run counts as the first."""


def accepted_split(landing: Bucket, dataset: str, run: Run) -> SplitRecord | None:
    """Find the newest accepted split before `run` with the same request: all slots or one."""
    like = (
        key for key in _keys(landing, dataset, run) if key.run.requested_slot == run.requested_slot
    )
    for key in islice(like, READS):
        record = read_split(landing, dataset, key)
        if record is not None and record.outcome is Outcome.ACCEPTED:
            return record
    return None


def earlier_split(landing: Bucket, dataset: str, key: SplitKey) -> SplitRecord | None:
    """Find the newest accepted split of the same run before the replay `key`."""
    for earlier in sorted(_splits_of(landing, dataset, key.run), reverse=True):
        record = read_split(landing, dataset, earlier) if earlier < key else None
        if record is not None and record.outcome is Outcome.ACCEPTED:
            return record
    return None


def last_accepted(
    raw: Bucket, landing: Bucket, dataset: str, run: Run
) -> tuple[Claim, bool] | None:
    """Find the newest accepted claim before `run` whose split did not refuse it.

    Considers claims of all slots, or of the slot that `run` requests. Returns the claim and whether
    it was split: after the split its bytes are in the lake, before that they may still be refused.
    Returns None if there is no such claim, and if the newest one covers more or less than `run`
    requests.
    """
    alike = (
        r
        for r in _claims(raw, dataset, run)
        if None in (r.requested_slot, run.requested_slot) or r.requested_slot == run.requested_slot
    )
    for earlier in islice(alike, READS):
        body = gcs.read(raw, object_names.claim(dataset, earlier))
        claim = Claim.decode(body) if body else None
        if claim is None or claim.outcome is not Outcome.ACCEPTED:
            continue
        outcome = _split_outcome(landing, dataset, earlier)
        if outcome is not Outcome.REFUSED:
            return (
                (claim, outcome is not None)
                if earlier.requested_slot == run.requested_slot
                else None
            )
    return None


def _split_outcome(landing: Bucket, dataset: str, run: Run) -> Outcome | None:
    """Return a run's outcome: accepted if any of its splits was, None before the first."""
    outcomes = {
        record.outcome
        for key in _splits_of(landing, dataset, run)
        if (record := read_split(landing, dataset, key))
    }
    if Outcome.ACCEPTED in outcomes:
        return Outcome.ACCEPTED
    return Outcome.REFUSED if outcomes else None


def _splits_of(landing: Bucket, dataset: str, run: Run) -> list[SplitKey]:
    """List the keys of a run's split records."""
    found = gcs.names(landing, f"splits/{dataset}/{run.name}")
    named = parse_names(landing, found, object_names.split_of)
    return [key for _, (_, key) in named if key.run == run]


def _claims(raw: Bucket, dataset: str, run: Run) -> Iterator[Run]:
    found = _newest(raw, f"runs/{dataset}/", run, lambda name: object_names.claim_of(name)[1])
    return (earlier for earlier in found if earlier < run)


def _keys(landing: Bucket, dataset: str, run: Run) -> Iterator[SplitKey]:
    found = _newest(landing, f"splits/{dataset}/", run, lambda name: object_names.split_of(name)[1])
    return (key for key in found if key.run < run)


def _newest(bucket: Bucket, prefix: str, run: Run, read: Callable[[str], T]) -> Iterator[T]:
    """Parse the names below a prefix, newest first: by day, then by month."""
    days = [run.time, run.time - timedelta(days=1)]
    seen: set[str] = set()
    for span in [day.strftime("%Y%m%d") for day in days] + _months(run.time):
        listed = sorted(gcs.names(bucket, prefix + span), reverse=True)
        unseen = (name for name in listed if name[: len(prefix) + 8] not in seen)
        yield from (value for _, value in parse_names(bucket, unseen, read))
        if len(span) == 8:
            seen.add(prefix + span)


def _months(instant: datetime) -> list[str]:
    month = instant.year * 12 + instant.month - 1
    return [f"{at // 12:04d}{at % 12 + 1:02d}" for at in range(month, month - MONTHS, -1)]
