"""The step `split`: a run's files cut into parts, a slot each; the record is written last.

A part that no record names does not count, so a try that dies half-way leaves nothing that does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Literal

import msgspec
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.object_names import SplitKey
from catalog.records import Claim, Event, Outcome
from catalog.runs import Run
from functions.core import gcs, records
from functions.core.clients import Buckets, Clients
from functions.core.contracts import contract_of
from functions.core.errors import PermanentError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.split import stream_files
from functions.split.attempt import SplitAttempt
from functions.split.events import run_event, split_events


class Replay(msgspec.Struct, frozen=True):
    """A request to split a run again: `replay` is true, or the milliseconds of the request."""

    dataset: str
    run: str
    replay: Literal[True] | int = True


def run(message: Message, clients: Clients, settings: Settings) -> Iterable[Event]:
    """Split the run whose claim, or stream's file, the message tells of, or that a replay names.

    Raises Permanent for a run that cannot be split; a run that is refused is no error: its record
    says why, and an event at ERROR.
    """
    begin = time.monotonic()
    dataset, key = _requested_split(message)
    contract = contract_of(dataset)
    if contract.retired:
        yield run_event(message, "retired", contract, key)
        return
    zones = Buckets.of(clients, settings)
    claim = _claim(zones.raw, contract, key, settings)
    if claim.outcome is not Outcome.ACCEPTED:
        yield run_event(message, str(claim.outcome), contract, key, message=claim.reason or "")
        return
    record = records.read_split(zones.landing, dataset, key)
    again = record is not None
    if record is None:
        record = SplitAttempt(contract, claim, key, zones).record()
    # Slices are sealed together, by the last or by the schedule: a batch each would be dear.
    if (
        record.outcome is Outcome.ACCEPTED
        and contract.kind.newest_run_wins
        and not claim.next_slice
    ):
        body = json.dumps({"system": contract.system}).encode()
        clients.publish("seal", body, {"system": contract.system})
    yield from split_events(message, contract, key, record, again, time.monotonic() - begin)


def _requested_split(message: Message) -> tuple[str, SplitKey]:
    """The data set and split that a message asks for."""
    if message.object is not None:
        read = _OBJECTS.get(message.object.partition("/")[0])
        if read is None:
            raise PermanentError(f"{message.object} is no run: split reads runs/ and streams/ only")
        try:
            dataset, found = read(message.object)
        except ValueError as error:
            raise PermanentError(f"{message.object} is no run: {error}") from error
        return dataset, SplitKey(found)
    request = message.body(Replay)
    replay = message.milliseconds if request.replay is True else int(request.replay)
    try:
        return request.dataset, SplitKey(Run(request.run), replay)
    except ValueError as error:
        raise PermanentError(f"{request.dataset}: {error}") from error


_OBJECTS = {"runs": object_names.claim_of, "streams": object_names.stream_file_of}
"""Folder of raw → how the names below it are read."""


def _claim(raw: Bucket, contract: Contract, key: SplitKey, settings: Settings) -> Claim:
    """The claim of the run to split; raises Permanent where there is nothing to split."""
    dataset = contract.dataset
    if contract.kind is Kind.STREAM:
        return stream_files.claim_of(raw, contract, key, settings.origin(dataset))
    if key.run.file:
        raise PermanentError(
            f"{dataset} {key.run.name}: a file of a stream, and {dataset} is a {contract.kind}; "
            "remove the file, or correct kind in the contract"
        )
    body = gcs.read(raw, object_names.claim(dataset, key.run))
    if body is None:
        raise PermanentError(
            f"{dataset} {key.run.name}: there is no such run in raw; fetch it first"
        )
    claim = Claim.decode(body)
    if key.replay and claim.outcome is not Outcome.ACCEPTED:
        instead = f": replay {claim.same_as}, whose bytes these are" if claim.same_as else ""
        raise PermanentError(
            f"{dataset} {key.run.name}: a run that is {claim.outcome} cannot be replayed{instead}"
        )
    return claim
