"""Cloud Storage subscriptions: messages gathered into Avro files under the virtual clock.

A file is written when its oldest message has waited `max_duration`, which is when the clock is
moved past that, or when it is full, within the publish that fills it. The name has the time at
which Pub/Sub would have written the file, though the clock may have jumped further.

The stand-in cannot show: files of several writers at once, files written early, text files, a
topic's own schema, the role that the agent needs on the bucket.
"""

from __future__ import annotations

import io
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import fastavro
from google.api_core.exceptions import GoogleAPIError

from local_cloud.pubsub.backlog import Backlog, Pending, Subscription
from local_cloud.pubsub.specs import FileSink, ReceivedMessage, SubscriptionSpec, time_text

type WriteFile = Callable[[str, str, bytes], None]
"""Creates an object: bucket, name, bytes; raises OSError or GoogleAPIError where it cannot."""

SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "namespace": "com.google.pubsub",
        "name": "PubsubMessageWithMetadata",
        "fields": [
            {"name": "subscription_name", "type": "string"},
            {"name": "message_id", "type": "string"},
            {"name": "publish_time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "attributes", "type": {"type": "map", "values": "string"}},
            {"name": "data", "type": "bytes"},
        ],
    }
)
"""Of a message with metadata (cloud.google.com/pubsub/docs/create-cloudstorage-subscription)."""


class Gatherer:
    """Writes what the Cloud Storage subscriptions of `backlog` owe, once it is due."""

    def __init__(self, backlog: Backlog, write_file: WriteFile | None) -> None:
        """Write with `write_file`; a subscription that needs it is refused where it is None."""
        self._backlog = backlog
        self._write_file = write_file

    def check(self, spec: SubscriptionSpec) -> None:
        """Raise ValueError where the subscription writes files and nothing was given to do it."""
        if spec.files and self._write_file is None:
            raise ValueError(f"{spec.name} writes to Cloud Storage: give PubSub(write_file=…)")

    def write_due(self, now: datetime) -> None:
        """Write every file that is full, or whose oldest message has waited long enough.

        What cannot be written waits for the next call.
        """
        with self._backlog.lock:
            if not self._backlog.running:
                return
            gathering = [s for s in self._backlog.subscriptions.values() if s.spec.files]
        for subscription in gathering:
            while batch := self._take(subscription, now):
                if not self._written(subscription, batch):
                    break

    def _take(self, subscription: Subscription, now: datetime) -> _Batch | None:
        """Lease the messages of one file that is due; None when none is."""
        sink = subscription.spec.files
        if sink is None:
            return None
        with self._backlog.lock:
            waiting = sorted(subscription.waiting)
            if not waiting:
                return None
            count = _fitting(sink, [pending.message for pending in waiting])
            oldest = min(pending.message.publish_time for pending in waiting)
            closes = oldest + timedelta(seconds=sink.max_duration)
            if count == len(waiting) and closes > now and not _full(sink, waiting):
                return None
            leased = self._backlog.take_due(subscription, count)
        return _Batch(min(now, closes), leased) if leased else None

    def _written(self, subscription: Subscription, batch: _Batch) -> bool:
        """Write one file and settle its messages; return whether it was written."""
        spec, sink = subscription.spec, subscription.spec.files
        began = time.monotonic()
        error = ""
        if sink is None or self._write_file is None:
            return False
        body = encode(spec.name, [pending.message for pending in batch.messages])
        try:
            self._write_file(sink.bucket, file_name(sink, batch.time, str(uuid.uuid4())), body)
        except (OSError, GoogleAPIError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        for pending in batch.messages:
            seconds = time.monotonic() - began
            self._backlog.settle(subscription, pending, None, error, seconds)
        return not error


def encode(subscription: str, messages: Iterable[ReceivedMessage]) -> bytes:
    """Encode messages as an Avro file with metadata."""
    target = io.BytesIO()
    records = (
        {
            "subscription_name": subscription,
            "message_id": message.message_id,
            "publish_time": message.publish_time,
            "attributes": dict(message.attributes),
            "data": message.data,
        }
        for message in messages
    )
    fastavro.writer(target, SCHEMA, records)
    return target.getvalue()


def file_name(sink: FileSink, moment: datetime, unique: str) -> str:
    """Name a file that is written at a moment."""
    time = time_text(sink.datetime_format, moment)
    between = "" if re.search(r"[-_:/]$", time) else "_"
    return f"{sink.prefix}{time}{between}{unique}{sink.suffix}"


@dataclass(frozen=True)
class _Batch:
    """The messages of one file, leased, and when it is written."""

    time: datetime
    messages: list[Pending]


def _fitting(sink: FileSink, messages: Sequence[ReceivedMessage]) -> int:
    """Count how many of the messages one file takes, at least one."""
    size = 0
    for count, message in enumerate(messages):
        size += len(message.data)
        if count == sink.max_messages or (count and sink.max_bytes and size > sink.max_bytes):
            return count
    return len(messages)


def _full(sink: FileSink, waiting: Sequence[Pending]) -> bool:
    """Check whether these messages fill a file."""
    size = sum(len(pending.message.data) for pending in waiting)
    by_count = sink.max_messages is not None and len(waiting) >= sink.max_messages
    return by_count or (sink.max_bytes is not None and size >= sink.max_bytes)
