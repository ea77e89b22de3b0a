"""Handle events and requests: run the step, log, publish events, report errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cloudevents.http import CloudEvent

from catalog import object_names
from catalog.records import Event
from functions.core import gcs, strays
from functions.core.clients import Clients
from functions.core.errors import PermanentError, UnknownSlotError
from functions.core.message import Message, from_cloud_event
from functions.core.settings import Settings, settings
from functions.core.telemetry import UNREADABLE, event, event_row, log

Step = Callable[[Message, Clients, Settings], Iterable[Event]]
"""A step: processes one message and reports what it did, one event for each slot or run."""

_CLIENTS: list[Clients] = []

MOST_SKIPPED = 20
"""The most skipped objects of a kind that one call reports one by one."""


class _Skip(NamedTuple):
    """How a skipped object is reported, and how to fix it."""

    outcome: str
    severity: str
    fix: str


_STRAY = _Skip("stray", "WARNING", "The pipeline did not write it: delete it")

_UNKNOWN_SLOT = _Skip(
    "unknown slot",
    "ERROR",
    "The pipeline wrote it for another slot_unit: restore slot_unit in the contract, or move it out "
    "of the folder. During a deployment, wait for its end",
)


def clients() -> Clients:
    """Return the clients of this process; create them at the first call."""
    if not _CLIENTS:
        _CLIENTS.append(Clients(settings()))
    return _CLIENTS[0]


def handle(name: str, cloud_event: CloudEvent, step: Step) -> None:
    """Run a step on an event, then publish what it reported.

    After a PermanentError the message is acknowledged, stored in quarantine and logged at ERROR.
    Any other error is logged and raised, so that the message is delivered again and in the end
    becomes a dead letter. Each event of the step is logged at once and published after the step's
    work, so that telemetry never changes the outcome.
    """
    begin = time.monotonic()
    message: Message | None = None
    events: list[Event] = []

    def report(each: Event) -> None:
        """Log an event and remember it for publishing."""
        log(each)
        events.append(each)

    with strays.collect() as skipped:
        try:
            message = from_cloud_event(cloud_event)
            for each in step(message, clients(), settings()):
                report(each)
        except PermanentError as error:
            _keep(name, cloud_event, message, error)
            report(_failed(name, message, "refused", "ERROR", str(error), begin))
        except Exception as error:  # logged, then raised so that the message is delivered again
            text = f"{type(error).__name__}: {error}"
            log(_failed(name, message, "failed", "WARNING", text, begin))
            raise
        finally:
            for each in _skipped(name, message, skipped):
                report(each)
            _publish(name, message, events)


def respond[Request, Response](
    name: str,
    request: Request,
    answer: Callable[[Request], Response],
    failed: Callable[[Exception], Response],
) -> Response:
    """Answer a reader's request; log an error and answer with `failed`, which hides its text."""
    begin = time.monotonic()
    try:
        return answer(request)
    except Exception as error:  # noqa: BLE001 - logged here; the reader gets no error text
        text = f"{type(error).__name__}: {error}"
        log(_failed(name, None, "failed", "ERROR", text, begin))
        return failed(error)


def _failed(
    name: str, message: Message | None, outcome: str, severity: str, text: str, begin: float
) -> Event:
    """Build the event of a step that ended in an error."""
    base = message or UNREADABLE
    return event(
        name,
        base,
        outcome,
        severity=severity,
        message=text,
        object=base.object,
        seconds=round(time.monotonic() - begin, 3),
    )


def _skipped(
    name: str, message: Message | None, found: Mapping[str, ValueError]
) -> Iterator[Event]:
    """Build the events of the objects that a step skipped because of their names.

    The first `MOST_SKIPPED` objects of each kind have one event each; one event counts the others.
    """
    kinds: dict[_Skip, list[str]] = {_UNKNOWN_SLOT: [], _STRAY: []}
    for address, fault in found.items():
        kinds[_UNKNOWN_SLOT if isinstance(fault, UnknownSlotError) else _STRAY].append(address)
    for kind, addresses in kinds.items():
        for address in addresses[:MOST_SKIPPED]:
            text = f"{address} was skipped: {found[address]}. {kind.fix}"
            yield _skip(name, message, kind, text, address)
        if more := addresses[MOST_SKIPPED:]:
            text = f"{len(more)} more objects were skipped, the first is {more[0]}. {kind.fix}"
            yield _skip(name, message, kind, text, None)


def _skip(name: str, message: Message | None, kind: _Skip, text: str, address: str | None) -> Event:
    """Build an event of one skipped object, or of the number of others."""
    return event(
        name,
        message or UNREADABLE,
        kind.outcome,
        subject=address or "more",
        severity=kind.severity,
        message=text,
        object=address,
    )


def _publish(name: str, message: Message | None, events: Sequence[Event]) -> None:
    """Publish events to topic `events`; log a failure, since the log has the events already."""
    if not events:
        return
    try:
        failures = clients().publish_events(
            [(event_row(each), {"step": each.step}) for each in events]
        )
    except Exception as error:  # noqa: BLE001 - telemetry must not stop a step
        failures = [error] * len(events)
    if failures:
        first = f"{type(failures[0]).__name__}: {failures[0]}"
        text = (
            f"{name}: {len(failures)} of {len(events)} events were not published to topic events, "
            f"the first for {first}; their lines are in the log. If this lasts, check the topic "
            "and the grant of the function's account on it"
        )
        lost = event(name, message or UNREADABLE, "events lost", severity="WARNING", message=text)
        log(lost)


def _keep(
    name: str, cloud_event: CloudEvent, message: Message | None, error: PermanentError
) -> None:
    """Store a message that cannot be processed, with the reason, in quarantine.

    If the message names an object, store it also under that object's name, where `sweep` looks for
    it.
    """
    bucket = clients().storage.bucket(settings().quarantine)
    document = {"step": name, "reason": str(error), "event": cloud_event.data}
    body = json.dumps(document, ensure_ascii=False, default=str).encode()
    gcs.create(bucket, f"messages/{name}/{cloud_event['id']}.json", body)
    if message and message.object:
        gcs.create(bucket, object_names.refused(name, message.object), body)
