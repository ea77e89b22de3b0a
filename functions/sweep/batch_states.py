"""Report the states of Dataproc batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from google.cloud.dataproc_v1 import Batch

from catalog.records import Event
from functions.core import dataproc
from functions.core.clients import Clients
from functions.core.message import Message
from functions.core.settings import Settings
from functions.sweep.stalled_work import HORIZON

STATE_EVENT_WINDOW = timedelta(hours=1)
"""How long a batch's state is reported; each state has one event id."""


def batch_state_events(
    system: str, message: Message, clients: Clients, settings: Settings
) -> Iterator[Event]:
    """Report each batch's state that was reached in the last hour, under the same id each time."""
    for batch in dataproc.newest(clients, settings, system):
        if message.published - _instant(batch.create_time) > HORIZON:
            return
        if message.published - _instant(batch.state_time) <= STATE_EVENT_WINDOW:
            yield _state_event(system, batch, message)


def _state_event(system: str, batch: Batch, message: Message) -> Event:
    """Build the event of a batch's state: its duration in seconds and what it is billed for."""
    identity = batch.name.rpartition("/")[2]
    state = batch.state.name.lower()
    usage = batch.runtime_info.approximate_usage
    detail = {
        "milli_dcu_seconds": usage.milli_dcu_seconds,
        "shuffle_storage_gb_seconds": usage.shuffle_storage_gb_seconds,
        "message": batch.state_message[:500],
    }
    return Event(
        event_id=hashlib.sha256(f"batch\n{identity}\n{state}".encode()).hexdigest()[:32],
        at=message.published.isoformat(),
        step="batch",
        outcome=state,
        severity="ERROR" if batch.state == Batch.State.FAILED else "INFO",
        message=f"{identity} {state}",
        system=system,
        object=identity,
        seconds=(_instant(batch.state_time) - _instant(batch.create_time)).total_seconds(),
        detail=json.dumps(detail, ensure_ascii=False),
    )


def _instant(moment: datetime) -> datetime:
    """Convert a batch's time to a plain aware datetime."""
    return datetime.fromtimestamp(moment.timestamp(), tz=moment.tzinfo)
