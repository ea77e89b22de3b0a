"""Sweep: find work that has no successor and publish the step's own message again."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import datetime

from catalog.contract import Contract, Kind, load_all, systems
from catalog.records import Event
from functions.core.clients import Clients
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.telemetry import event
from functions.sweep import freshness, resend
from functions.sweep.batch_states import batch_state_events
from functions.sweep.stalled_work import (
    has_dirty_slot,
    stalled_claims,
    stalled_manifests,
    stalled_stream_files,
)

MOST_SENT = 100
"""For how many objects of a data set, and manifests of a system, one call sends at most."""

SECONDS = 300.0
"""How long one call sweeps; then it ends after the event that it works on."""

_INTERVAL = 600
"""Seconds between two ticks of the schedule."""


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Send stalled work's messages again, report the states of batches and what is overdue.

    Ages are the differences of publish times, so that they hold on any clock. Work that is being
    done, or done already, is sent again at worst: each step reads that and does nothing. A fault of
    one system is reported and stops no other; the schedule is its retry. Raises ExceptionGroup
    where no system could be swept, so that the message comes again.
    """
    end = time.monotonic() + SECONDS
    found = systems(load_all())
    faults: dict[str, Exception] = {}
    late: list[str] = []
    swept = False
    for system in _in_turn(list(found), message.published):
        if time.monotonic() >= end:
            late.append(system)
            continue
        try:
            events = _system(system, found[system], message, clients, settings)
            if (yield from _until(end, events)):
                late.append(system)
            swept = True
        except Exception as error:  # noqa: BLE001 - isolated: reported below
            faults[system] = error
    if late:
        yield _no_time(late, message)
    for system, fault in faults.items():
        yield _fault(system, fault, message, again=not swept)
    if faults and not swept:
        raise ExceptionGroup(f"sweep failed for {', '.join(faults)}", list(faults.values()))


def _in_turn(found: list[str], now: datetime) -> list[str]:
    """Order the systems so that each tick begins with another: none is always the last."""
    first = int(now.timestamp() // _INTERVAL) % max(len(found), 1)
    return found[first:] + found[:first]


def _until(end: float, events: Iterable[Event]) -> Generator[Event, None, bool]:
    """Yield events until the time is over; return whether it was over before they were."""
    for each in events:
        yield each
        if time.monotonic() >= end:
            return True
    return False


def _no_time(late: Sequence[str], message: Message) -> Event:
    """Build the event of the systems that were not swept to the end in time."""
    return event(
        "sweep",
        message,
        "skipped",
        severity="WARNING",
        message=f"not swept to the end within {SECONDS:g} s: {', '.join(late)}. The next sweep "
        "begins with another system. If this lasts, look for slow calls in the lines before",
    )


def _fault(system: str, error: Exception, message: Message, *, again: bool) -> Event:
    """Build the event of a system that could not be swept; ERROR where no retry follows."""
    fate = (
        "No system was swept, so the message is tried again"
        if again
        else "At least one other was swept; the next sweep tries this one again"
    )
    return event(
        "sweep",
        message,
        "failed",
        subject=system,
        severity="WARNING" if again else "ERROR",
        message=f"{system} was not swept whole: {type(error).__name__}: {error}. {fate}",
        system=system,
    )


def _system(
    system: str,
    contracts: Sequence[Contract],
    message: Message,
    clients: Clients,
    settings: Settings,
) -> Iterator[Event]:
    """Sweep one system: first its freshness, which needs only storage and raises an alert."""
    yield from freshness.overdue(contracts, clients.storage.bucket(settings.raw), message)
    now = message.published
    landing = clients.storage.bucket(settings.landing)
    for contract in contracts:
        unsplit = stalled_stream_files if contract.kind is Kind.STREAM else stalled_claims
        due = itertools.islice(unsplit(clients, settings, contract, now), MOST_SENT)
        yield from resend.apply(due, system, message, clients, settings)
    if any(has_dirty_slot(landing, contract, now) for contract in contracts):
        yield _seal(system, message, clients)
    due = itertools.islice(stalled_manifests(system, now, clients, settings), MOST_SENT)
    yield from resend.apply(due, system, message, clients, settings)
    yield from batch_state_events(system, message, clients, settings)


def _seal(system: str, message: Message, clients: Clients) -> Event:
    """Send a seal message for a system. It is not counted: seal works on whatever is marked."""
    clients.publish("seal", json.dumps({"system": system}).encode(), {})
    name = f"dirty/ of {system}"
    return event(
        "sweep",
        message,
        "sent to seal",
        subject=f"seal {name}",
        severity="WARNING",
        message=f"{name} has no successor",
        system=system,
        object=name,
    )
