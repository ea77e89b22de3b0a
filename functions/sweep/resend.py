"""Resend policy of the sweep: when the message of stalled work is sent again, and when no more.

Whatever kills its step without a word (memory, time, a bug) has no successor and no refusal. Sent
at every sweep, its messages would pile up, retry side by side and fill the step's instances. So
each resend is recorded in quarantine before it is sent (ADR 39).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from google.cloud.storage import Blob, Bucket

from catalog import object_names, retry_policy
from catalog.records import RESENT_AT, Event, ResendRecord
from functions.core import gcs
from functions.core.clients import Clients
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.strays import parse_names
from functions.core.telemetry import event

MAX_RESENDS = 3
"""How often the sweep sends one object's message: two days, as each may live for 16 hours."""

ON_ITS_WAY = timedelta(hours=1)
"""How long a manifest's resend counts among the batches that may run."""


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
    if now - last.at <= retry_policy.redelivery_window():
        return Action.WAIT
    return Action.SEND if last.number < MAX_RESENDS else Action.REFUSE


@dataclass(frozen=True)
class Decision:
    """What the sweep does about stalled work, and the newest resend that it decided by."""

    work: StalledWork
    action: Action
    last: Resend | None


@dataclass(frozen=True)
class Past:
    """What quarantine says of some objects of one step: which are refused, and the newest resends."""

    refused: frozenset[str]
    """Names of objects."""
    resends: Mapping[str, Resend]
    """Key of stalled work → its newest resend."""

    def recent(self, now: datetime) -> frozenset[str]:
        """Return the manifests whose newest resend is on its way: it may become a batch."""
        found = (key for key, last in self.resends.items() if now - last.at < ON_ITS_WAY)
        return frozenset(key.rpartition("/a")[0] for key in found)

    def decide(self, work: StalledWork, now: datetime) -> Decision:
        """Decide about a piece of work that is not refused."""
        last = self.resends.get(work.key)
        return Decision(work, decide(last, now), last)


def past(quarantine: Bucket, step: str, objects: Collection[str]) -> Past:
    """List what quarantine says of a step's objects, which are all in one folder.

    Two lists for all of them, each from the first object to the last.
    """
    if not objects:
        return Past(frozenset(), {})
    first, last = min(objects), max(objects)
    folder = f"{first.rpartition('/')[0]}/"
    refused = quarantine.list_blobs(
        prefix=object_names.refused(step, folder),
        start_offset=object_names.refused(step, first),
        end_offset=f"{object_names.refused(step, last)}~",
        fields="items(name),nextPageToken",
    )
    root = object_names.refused(step, "")
    found = frozenset(blob.name.removeprefix(root) for blob in refused)
    return Past(found, _resends(quarantine, step, folder, first, last))


def _resends(
    quarantine: Bucket, step: str, folder: str, first: str, last: str
) -> dict[str, Resend]:
    """List the newest resend of each key from the first object to the last."""
    listed = quarantine.list_blobs(
        prefix=object_names.resends(step, folder.rstrip("/")),
        start_offset=object_names.resends(step, first),
        end_offset=f"{object_names.resends(step, last)}~",
        fields="items(name,metadata),nextPageToken",
    )
    blobs = {blob.name: blob for blob in listed}
    newest: dict[str, tuple[int, Blob]] = {}
    for name, (key, number) in parse_names(quarantine, blobs, object_names.resend_of):
        if key not in newest or newest[key][0] < number:
            newest[key] = number, blobs[name]
    times = {key: _time(quarantine, blob) for key, (_, blob) in newest.items()}
    return {key: Resend(newest[key][0], at) for key, at in times.items() if at}


def _time(quarantine: Bucket, record: Blob) -> datetime | None:
    """Return the time of a resend; read its record only if the list does not have it."""
    at: str | None = (record.metadata or {}).get(RESENT_AT)
    if at is None and (body := gcs.read(quarantine, record.name)):
        at = ResendRecord.decode(body).at
    return datetime.fromisoformat(at) if at else None


def decisions(
    quarantine: Bucket, stalled: Iterable[StalledWork], now: datetime
) -> Iterator[Decision]:
    """Decide about each piece of stalled work; leave out what is refused and what waits."""
    folders: dict[tuple[str, str], list[StalledWork]] = {}
    for work in stalled:
        folders.setdefault((work.step, work.name.rpartition("/")[0]), []).append(work)
    for (step, _), works in folders.items():
        found = past(quarantine, step, [work.name for work in works])
        decided = (found.decide(work, now) for work in works if work.name not in found.refused)
        yield from (each for each in decided if each.action is not Action.WAIT)


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


def _record(quarantine: Bucket, work: StalledWork, last: Resend | None, message: Message) -> bool:
    """Record the next resend; return False where another call of the sweep was first."""
    record = ResendRecord(at=message.published.isoformat(), call=uuid.uuid4().hex)
    body = record.encode()
    name = object_names.resend(work.step, work.key, last.number + 1 if last else 1)
    return gcs.create(quarantine, name, body, metadata=record.metadata) == body


def _refuse(quarantine: Bucket, work: StalledWork, reason: str) -> None:
    """Refuse an object permanently, in the form in which its own step would."""
    body = {
        "step": work.step,
        "reason": reason,
        "message": {"attributes": work.attributes, "data": work.data.decode()},
    }
    gcs.create(quarantine, object_names.refused(work.step, work.name), json.dumps(body).encode())


def _reason(quarantine: Bucket, work: StalledWork, last: Resend) -> str:
    """Explain a refusal by the sweep and how to undo it."""
    bucket = f"gs://{quarantine.name}"
    return (
        f"{work.name}: {work.step} neither finished nor refused it, though the sweep recorded "
        f"{last.number} resends, the last at {last.at:%Y-%m-%d %H:%M} UTC. It is not sent again. "
        f"Repair the cause (lines and memory of {work.step}), then delete "
        f"{bucket}/{object_names.resends(work.step, work.name)} and then "
        f"{bucket}/{object_names.refused(work.step, work.name)}"
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
