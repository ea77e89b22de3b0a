"""Resend policy of the sweep: when the message of stalled work is sent again, and when no more.

Whatever kills its step without a word (memory, time, a bug) has no successor and no refusal. Sent
at every sweep, its messages would pile up, retry side by side and fill the step's instances. So
each resend is recorded in quarantine before it is sent (ADR 39).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from google.cloud.storage import Bucket

from catalog import delivery, names
from catalog.records import Event, ResendRecord
from functions import store
from functions.boundary import event
from functions.clients import Clients
from functions.messages import Message
from functions.settings import Settings
from functions.strays import parse_names

MAX_RESENDS = 3
"""How often the sweep sends one object's message: two days, as each may live for 16 hours."""


@dataclass(frozen=True)
class StalledWork:
    """Work without a successor, and the message that its step is called with."""

    step: str
    topic: str
    name: str
    """The object that the step works on."""
    attributes: dict[str, str]
    data: bytes = b"{}"
    attempt: int = 0
    """The batch that a manifest waits for: each has resends of its own. 0 for other work."""

    @property
    def key(self) -> str:
        """Return the name that its resends are counted under."""
        return f"{self.name}/a{self.attempt}" if self.attempt else self.name


class Action(StrEnum):
    """What the sweep does about stalled work."""

    SEND = "send"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Resend:
    """A recorded resend of an object: its number, and when. A crash may have kept its message back."""

    number: int
    at: datetime


def decide(last: Resend | None, now: datetime) -> Action:
    """Decide what to do about stalled work whose newest resend is `last`.

    The first resend does not wait for the original message, which may have been lost. Each further
    step waits until the resend before it can no longer be delivered.
    """
    if last is None:
        return Action.SEND
    if now - last.at <= delivery.life():
        return Action.WAIT
    return Action.SEND if last.number < MAX_RESENDS else Action.REFUSE


@dataclass(frozen=True)
class Decision:
    """Stalled work that must not wait: it is sent again or refused."""

    work: StalledWork
    action: Action
    last: Resend | None


def decisions(
    quarantine: Bucket, stalled: Iterable[StalledWork], now: datetime
) -> Iterator[Decision]:
    """Decide about each piece of stalled work; leave out what waits."""
    for work in stalled:
        last = _last(quarantine, work)
        action = decide(last, now)
        if action is not Action.WAIT:
            yield Decision(work, action, last)


def apply(
    decided: Iterable[Decision], system: str, message: Message, clients: Clients, settings: Settings
) -> Iterator[Event]:
    """Send or refuse, and report each.

    A resend is recorded first and sent then: a crash in between costs one of the resends, where the
    other order would send without end if records failed. A refusal is reported first, so that a
    crash cannot hide it.
    """
    quarantine = clients.storage.bucket(settings.quarantine)
    for each in decided:
        work = each.work
        if each.last and each.action is Action.REFUSE:
            reason = _reason(quarantine, work, each.last)
            yield _event(work, "refused", "ERROR", reason, system, message)
            _refuse(quarantine, work, reason)
        elif _record(quarantine, work, each.last, message):
            clients.publish(work.topic, work.data, work.attributes)
            text = f"{work.name} has no successor"
            yield _event(work, f"sent to {work.topic}", "WARNING", text, system, message)


def _last(quarantine: Bucket, work: StalledWork) -> Resend | None:
    """Read the newest resend of a piece of work."""
    listed = store.names(quarantine, names.resends(work.step, work.key))
    numbers = [number for _, number in parse_names(quarantine, listed, names.resend_of)]
    if not numbers:
        return None
    name = names.resend(work.step, work.key, max(numbers))
    body = store.read(quarantine, name)
    return (
        Resend(max(numbers), datetime.fromisoformat(ResendRecord.decode(body).at)) if body else None
    )


def _record(quarantine: Bucket, work: StalledWork, last: Resend | None, message: Message) -> bool:
    """Record the next resend; False where another call of the sweep has recorded it already."""
    body = ResendRecord(at=message.published.isoformat(), call=uuid.uuid4().hex).encode()
    name = names.resend(work.step, work.key, last.number + 1 if last else 1)
    return store.create(quarantine, name, body) == body


def _refuse(quarantine: Bucket, work: StalledWork, reason: str) -> None:
    """Refuse an object for good, in the form in which its own step would."""
    body = {
        "step": work.step,
        "reason": reason,
        "message": {"attributes": work.attributes, "data": work.data.decode()},
    }
    store.create(quarantine, names.refused(work.step, work.name), json.dumps(body).encode())


def _reason(quarantine: Bucket, work: StalledWork, last: Resend) -> str:
    """Explain a refusal by the sweep and how to undo it."""
    bucket = f"gs://{quarantine.name}"
    return (
        f"{work.name}: {work.step} neither finished nor refused it, though the sweep recorded "
        f"{last.number} resends, the last at {last.at:%Y-%m-%d %H:%M} UTC. It is not sent again. "
        f"Repair the cause (lines and memory of {work.step}), then delete "
        f"{bucket}/{names.resends(work.step, work.name)} and then "
        f"{bucket}/{names.refused(work.step, work.name)}"
    )


def _event(
    work: StalledWork, outcome: str, severity: str, text: str, system: str, message: Message
) -> Event:
    return event(
        "sweep",
        message,
        outcome,
        subject=f"{work.topic} {work.name}",
        severity=severity,
        message=text,
        system=system,
        object=work.name,
    )
