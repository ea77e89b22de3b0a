"""Choose the next slice of a run, and skip a slice that cannot be read.

A slice is a run of one slot. Its claim names the next slice, and the step that wrote the claim
requests it. So a run of a sliced data set goes from its first slot to the slot of its time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.cloud.storage import Bucket

from catalog import object_names, retry_policy
from catalog.contract import Contract
from catalog.runs import Run
from functions.core import gcs
from functions.core.clients import Clients
from functions.core.message import Message
from functions.core.strays import parse_names

TRIES = 3
"""After how many failures of a slice the next one is requested; its own message is still
retried."""

PATIENCE = timedelta(minutes=20)
"""How long to wait for a slice's successor: two fetches may take 400 s each."""


def following(contract: Contract, run: Run) -> str | None:
    """Return the slot after that of `run`; None after the last, and without slices."""
    if contract.source.slices is None or run.requested_slot is None:
        return None
    after = contract.calendar.shift(run.requested_slot, 1)
    return after if contract.calendar.start(after) <= run.time else None


def request(contract: Contract, run: Run) -> tuple[bytes, dict[str, str]]:
    """Build the data and attributes of the message that requests `run` and the slices after it."""
    body = {
        "dataset": contract.dataset,
        "run": Run.at(run.time).name,
        "slot": run.requested_slot,
        "onward": True,
    }
    attributes = {
        "dataset": contract.dataset,
        "system": contract.system,
        "kind": str(contract.kind),
    }
    return json.dumps(body).encode(), attributes


def ask(clients: Clients, contract: Contract, run: Run, slot: str) -> None:
    """Request the slice of `slot` in the run that `run` is a slice of."""
    data, attributes = request(contract, Run.at(run.time, slot))
    clients.publish("ingest", data, attributes)


def failed(
    clients: Clients, raw: Bucket, contract: Contract, run: Run, message: Message, reason: str
) -> None:
    """Record that a slice failed; at the third failure request the slice after it.

    The request comes first, then the note. After a crash between the two the request is repeated,
    which repeats no claim.
    """
    if contract.source.slices is None:
        return
    listed = gcs.names(raw, object_names.failed_slices(contract.dataset, run))
    number = len(list(parse_names(raw, listed, object_names.failed_slice_of))) + 1
    after = following(contract, run)
    if number > TRIES:
        return
    if number == TRIES and after:
        ask(clients, contract, run, after)
    name = object_names.failed_slice(contract.dataset, run, number, message.published)
    gcs.create(raw, name, reason.encode(), "text/plain")


@dataclass(frozen=True)
class FailedSlice:
    """How often a slice failed, and when last."""

    times: int
    last_published: datetime
    """When the newest of the messages that failed was published."""

    @classmethod
    def of(cls, notes: Iterable[tuple[Run, datetime]]) -> dict[Run, FailedSlice]:
        """Group a data set's notes, each parsed by `object_names.failed_slice_of`, by slice."""
        found: dict[Run, list[datetime]] = defaultdict(list)
        for run, published in notes:
            found[run].append(published)
        return {run: cls(len(published), max(published)) for run, published in found.items()}

    def was_skipped(self, now: datetime) -> bool:
        """Return whether the slice after it should have been requested by `now`.

        Its message requests the next slice at the third failure. It may become a dead letter
        before.
        """
        age = now - self.last_published
        return age >= retry_policy.redelivery_window() or (self.times >= TRIES and age >= PATIENCE)


@dataclass(frozen=True)
class MissingSlice:
    """A slice that possibly no message is working on."""

    run: Run
    claim: Run | None
    """The newest claimed slice before it."""
    has_failed_predecessor: bool
    """Whether a slice before it failed: then it is due, even if no claim names it."""


def missing_slices(
    contract: Contract, claimed: set[Run], failures: dict[Run, FailedSlice], now: datetime
) -> Iterator[MissingSlice]:
    """Yield each run's first slice, after its oldest one, that is neither claimed nor failed.

    A slice that failed recently is retried by its own message, so slices after it are not missing
    yet. A skipped slice counts as claimed. The caller checks whether the claim before a missing
    slice names it as the next one.
    """
    oldest: dict[str, Run] = {}
    for run in sorted(claimed | failures.keys()):
        oldest.setdefault(Run.at(run.time).name, run)
    for run in oldest.values():
        claim, failed_before, found = None, False, run
        while found in claimed or (found in failures and failures[found].was_skipped(now)):
            failed_before = failed_before or found not in claimed
            claim = found if found in claimed else claim
            slot = following(contract, found)
            if slot is None:
                break
            found = Run.at(run.time, slot)
        if found not in claimed and found not in failures:
            yield MissingSlice(found, claim, failed_before)
