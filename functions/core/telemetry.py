"""Build the events of a step, as log lines and as messages of topic `events`."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime

from catalog.records import Event
from functions.core.message import Message

UNREADABLE = Message(
    data=b"", attributes={}, published=datetime.fromtimestamp(0, UTC), id="unreadable"
)
"""Replaces the message of an event that has none."""


def event(
    step: str,
    message: Message,
    outcome: str,
    /,
    *,
    subject: str = "",
    **facts: str | int | float | None,
) -> Event:
    """Build an event of a step; the same message, subject and outcome give the same `event_id`."""
    identity = "\n".join((step, message.id, subject, outcome))
    return Event(
        event_id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        at=message.published.isoformat(),
        step=step,
        outcome=outcome,
        **facts,  # type: ignore[arg-type]
    )


def event_row(each: Event) -> bytes:
    """Encode an event as a row of `ops.events`."""
    row = {k: v for k, v in json.loads(each.encode()).items() if v is not None}
    row.pop("format")
    return json.dumps(row).encode()


def log(entry: Event) -> None:
    """Print one JSON line on standard output, as Cloud Logging reads it."""
    line = {k: v for k, v in json.loads(entry.encode()).items() if v is not None}
    line["message"] = entry.message or f"{entry.step}: {entry.outcome}"
    print(json.dumps(line, ensure_ascii=False), file=sys.stdout, flush=True)
