"""Run the step `split`: write a part for each slot of a run, then the split record.

A part that no record names does not count, so an attempt that fails part-way has no effect.
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
from functions.split.attempt import split_run
from functions.split.events import run_event, split_events


class Replay(msgspec.Struct, frozen=True):
    """A request to split a run again: `replay` is true, or the milliseconds of the request."""

    dataset: str
    run: str
    replay: Literal[True] | int = True


def run(message: Message, clients: Clients, settings: Settings) -> Iterable[Event]:
    """Split the run that the message or a replay names.

    A message names the run's claim or a stream's file. Raises PermanentError for a run that cannot
    be split. A refused run raises nothing: its record has the reason, and an event at ERROR reports
    it.
    """
    begin = time.monotonic()
    dataset, key = _requested_split(message)
    contract = contract_of(dataset)
    if contract.retired:
        yield run_event(message, "retired", contract, key)
        return
    buckets = Buckets.of(clients, settings)
    claim = _claim(buckets.raw, contract, key, settings)
    if claim.outcome is not Outcome.ACCEPTED:
        yield run_event(message, str(claim.outcome), contract, key, message=claim.reason or "")
        return
    record = records.read_split(buckets.landing, dataset, key)
    again = record is not None
    if record is None:
        record = split_run(contract, claim, key, buckets)
    # The last slice or the schedule seals all slices: a batch for each slice would cost too much.
    if (
        record.outcome is Outcome.ACCEPTED
        and contract.kind.newest_run_wins
        and not claim.next_slice
    ):
        body = json.dumps({"system": contract.system}).encode()
        clients.publish("seal", body, {"system": contract.system})
    yield from split_events(message, contract, key, record, again, time.monotonic() - begin)


def _requested_split(message: Message) -> tuple[str, SplitKey]:
    """Return the data set and the split that a message requests."""
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
"""Folder of raw → function that parses the names below it."""


def _claim(raw: Bucket, contract: Contract, key: SplitKey, settings: Settings) -> Claim:
    """Read the claim of the run to split; raise PermanentError if there is nothing to split."""
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
