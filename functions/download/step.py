"""The step `download`: a run of a data set fetched from its publisher; the claim is written last.

Claimed once, a run is never fetched again. A try that loses the claim deletes its own bytes. Of a
sliced data set each claim is of one slice, and once it stands the next slice is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

import msgspec

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.records import Claim, Event, Outcome
from catalog.runs import TICK_TOLERANCE, Run, tick
from functions.core import gcs, slices
from functions.core.clients import Buckets, Clients
from functions.core.contracts import contract_of
from functions.core.errors import PermanentError, RetryLaterError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.telemetry import event
from functions.download.attempt import DownloadAttempt


class Ingest(msgspec.Struct, frozen=True):
    """A request to fetch: a past `run` or `slot` only where the data set can be fetched again.

    Of a sliced data set no slot asks for every slice of the run, one alone for that slice, and with
    `onward` for those after it too.
    """

    dataset: str
    run: str | None = None
    slot: str | None = None
    onward: bool = False


def run(message: Message, clients: Clients, settings: Settings) -> Iterable[Event]:
    """Fetch the run that the message asks for, unless it is claimed; then ask for its next slice.

    Raises PermanentError for a run that may not be asked for, and RetryLaterError where no source could be read
    this time. A run that is refused is no error: its claim says why, and an event at ERROR.
    """
    begin = time.monotonic()
    request = message.body(Ingest)
    contract = contract_of(request.dataset)
    if contract.kind is Kind.STREAM:
        raise PermanentError(
            f"{contract.dataset}: a stream is not fetched, its messages come by the topic "
            f"{object_names.stream_topic(contract.dataset)}; publish there, or replay one of its files: "
            "split {dataset, run, replay}"
        )
    asked = _run(request, contract, message)
    if contract.retired:
        yield _event(message, "retired", contract, asked)
        return
    zones = Buckets.of(clients, settings)
    onward = _continues_run(request)
    following = slices.following(contract, asked) if onward else None
    found = gcs.read(zones.raw, object_names.claim(contract.dataset, asked))
    if found is not None:
        claim, won = Claim.decode(found), False
    else:
        try:
            claim, won = DownloadAttempt(
                contract, asked, message, zones, settings, following
            ).claim()
        except RetryLaterError as failure:
            if onward:
                slices.failed(clients, zones.raw, contract, asked, message, str(failure))
            raise
    # A claim that names the next slice was made by one who asks for it: twice would be for ever.
    if following and (won or claim.next_slice != following):
        slices.ask(clients, contract, asked, following)
    if not won:
        yield _event(message, "claimed", contract, asked)
        return
    yield _event(
        message, str(claim.outcome), contract, asked,
        severity=_severity(claim), message=claim.reason or _passed_over(claim), bytes=sum(file.bytes for file in claim.files),
        seconds=round(time.monotonic() - begin, 3), detail=claim.source,
    )  # fmt: skip


def _severity(claim: Claim) -> str:
    """How loud the event of a claim is: a source that was passed over wants to be looked at."""
    if claim.outcome is Outcome.REFUSED:
        return "ERROR"
    return "WARNING" if claim.passed_over else "INFO"


def _passed_over(claim: Claim) -> str:
    """Why sources were passed over for the one that was claimed, in words."""
    told = "; ".join(f"{name}: {why}" for name, why in claim.passed_over.items())
    return f"{claim.dataset} {claim.run}: {claim.source} instead of {told}" if told else ""


def _continues_run(request: Ingest) -> bool:
    """Whether the slices after the one that is fetched are asked for."""
    return request.onward or not (request.slot or (request.run and Run(request.run).requested_slot))


def _run(request: Ingest, contract: Contract, message: Message) -> Run:
    """The run that a request names, else that of the schedule's tick; of slices the first."""
    _require_present(request.run or request.slot, contract, message)
    try:
        found = Run(request.run) if request.run else None
        slot = request.slot or (found.requested_slot if found else None)
        if slot:
            contract.calendar.parse(slot)
    except ValueError as error:
        raise PermanentError(f"{contract.dataset}: {error}") from error
    if slot and not contract.names_slots:
        raise PermanentError(
            f"{contract.dataset} {slot}: its URLs name no slot; ask without one, and the "
            "whole is fetched"
        )
    if found is not None and found.time > message.published + TICK_TOLERANCE:
        raise PermanentError(
            f"{contract.dataset} {found.name}: the run lies in the future of the request, every "
            "later one would count as older; ask for a time that has passed, or for none"
        )
    return _of_slot(contract, _time(found, slot, contract, message), slot)


def _require_present(named: str | None, contract: Contract, message: Message) -> None:
    """Raise PermanentError where a request would have a publisher's present count as its past."""
    if named and not contract.refetchable:
        raise PermanentError(
            f"{contract.dataset} {named}: a {contract.kind} cannot be fetched again, its publisher "
            "shows the present only; ask without run and slot"
        )
    if contract.kind is Kind.SNAPSHOT and message.attributes.get("kind") != contract.kind:
        raise PermanentError(
            f"{contract.dataset}: the message lacks the attribute kind={contract.kind}, so it would "
            "be kept for days, and what is fetched late would count as shown at its tick; run the "
            f"data set's schedule, or publish with --attribute=kind={contract.kind}, which is "
            "dropped after ten minutes"
        )


def _time(found: Run | None, slot: str | None, contract: Contract, message: Message) -> datetime:
    """The time that names the run of a request."""
    if found is not None:
        return found.time
    if slot and contract.source.slices:
        # The tick's own run of that slice is claimed, or will be.
        return message.published
    return tick(contract.schedule, message.published)


def _of_slot(contract: Contract, time: datetime, slot: str | None) -> Run:
    """The run of a time and slot; of a sliced data set without a slot its first slice."""
    cut = contract.source.slices
    asked = slot or (cut.first if cut else None)
    if cut and asked and contract.calendar.start(asked) > time:
        raise PermanentError(
            f"{contract.dataset} {asked}: the slice begins after its run of {time:%Y-%m-%d %H:%M}; "
            "ask for a slot that has begun, or correct source.slices.first"
        )
    return Run.at(time, asked)


def _event(
    message: Message,
    outcome: str,
    contract: Contract,
    run: Run,
    /,
    **facts: str | int | float | None,
) -> Event:
    return event(
        "download", message, outcome, subject=run.name, dataset=contract.dataset,
        system=contract.system, run=run.name, object=object_names.claim(contract.dataset, run), **facts,
    )  # fmt: skip
