"""Resolve a request to fetch to a run: which data set, time and slot it names."""

from __future__ import annotations

from datetime import datetime

import msgspec

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.runs import TICK_TOLERANCE, Run, tick
from functions.core.errors import PermanentError
from functions.core.message import Message


class Ingest(msgspec.Struct, frozen=True):
    """A request to fetch: a past `run` or `slot` only if the data set can be fetched again.

    For a sliced data set: without a slot every slice of the run, with a slot that slice alone, and
    with `onward` those after it too.
    """

    dataset: str
    run: str | None = None
    slot: str | None = None
    onward: bool = False


def continues_run(request: Ingest) -> bool:
    """Return whether the slices after the one that is fetched are requested too."""
    return request.onward or not (request.slot or (request.run and Run(request.run).requested_slot))


def resolve_run(request: Ingest, contract: Contract, message: Message) -> Run:
    """Return the run that a request names, else that of the schedule's tick; of slices the first.

    Raises PermanentError if the run cannot be fetched.
    """
    if contract.kind is Kind.STREAM:
        raise PermanentError(
            f"{contract.dataset}: a stream is not fetched, its messages come by the topic "
            f"{object_names.stream_topic(contract.dataset)}; publish there, or replay one of its files: "
            "split {dataset, run, replay}"
        )
    _require_present(request.run or request.slot, contract, message)
    try:
        named = Run(request.run) if request.run else None
        slot = request.slot or (named.requested_slot if named else None)
        if slot:
            contract.calendar.parse(slot)
    except ValueError as error:
        raise PermanentError(f"{contract.dataset}: {error}") from error
    if slot and not contract.names_slots:
        raise PermanentError(
            f"{contract.dataset} {slot}: its URLs name no slot; ask without one, and the "
            "whole is fetched"
        )
    if named is not None and named.time > message.published + TICK_TOLERANCE:
        raise PermanentError(
            f"{contract.dataset} {named.name}: the run lies in the future of the request, every "
            "later one would count as older; ask for a time that has passed, or for none"
        )
    return _of_slot(contract, _time(named, slot, contract, message), slot)


def _require_present(named: str | None, contract: Contract, message: Message) -> None:
    """Raise PermanentError if a request would store a publisher's present as its past."""
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


def _time(named: Run | None, slot: str | None, contract: Contract, message: Message) -> datetime:
    """Return the time that names the run of a request."""
    if named is not None:
        return named.time
    if slot and contract.source.slices:
        # The tick's own run of that slice is claimed, or will be.
        return message.published
    return tick(contract.schedule, message.published)


def _of_slot(contract: Contract, time: datetime, slot: str | None) -> Run:
    """Return the run of a time and slot; of a sliced data set without a slot its first slice."""
    slices = contract.source.slices
    slot = slot or (slices.first if slices else None)
    if slices and slot and contract.calendar.start(slot) > time:
        raise PermanentError(
            f"{contract.dataset} {slot}: the slice begins after its run of {time:%Y-%m-%d %H:%M}; "
            "ask for a slot that has begun, or correct source.slices.first"
        )
    return Run.at(time, slot)
