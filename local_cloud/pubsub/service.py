"""Pub/Sub in one process: topics, push, BigQuery and file subscriptions, behind gRPC.

`PublisherClient` and fake-gcs-server reach it through `PUBSUB_EMULATOR_HOST`; subscriptions are
made from inside the process. It gives the guarantees a pipeline may rely on and no others: every
message is delivered at least once, in no promised order, with back-off, dead letters and retention.

The endpoint identifies who publishes: each account has its own. The stand-in cannot show: OIDC (the
settings of a push subscription are recorded, no token is sent or checked), quotas, ordering keys,
pull, snapshots and seek, exactly-once, message transforms, the slow start of Google's push flow
control.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc

from local_cloud.ports import free_port
from local_cloud.pubsub.backlog import Backlog, DeliveryTuning, Pending, Subscription, dead_letter
from local_cloud.pubsub.bigquery_sink import Exporter, TableSchema, WriteRows
from local_cloud.pubsub.filter import parse_filter
from local_cloud.pubsub.gcs_sink import Gatherer, WriteFile
from local_cloud.pubsub.grpc_server import serve
from local_cloud.pubsub.push import ACK_STATUSES, Pusher
from local_cloud.pubsub.specs import (
    MAX_MESSAGE_BYTES,
    DeliveryAttempt,
    FileSink,
    Outcome,
    PublishRequestInfo,
    ReceivedMessage,
    RefusedError,
    SubscriptionSpec,
    check_messages,
    check_resource_id,
    check_spec,
    short_name,
)

if TYPE_CHECKING:
    from local_cloud.clock import VirtualClock

__all__ = [
    "ACK_STATUSES",
    "MAX_MESSAGE_BYTES",
    "DeliveryAttempt",
    "DeliveryTuning",
    "FileSink",
    "Outcome",
    "PubSub",
    "PublishRequestInfo",
    "ReceivedMessage",
    "RefusedError",
    "SubscriptionSpec",
    "TableSchema",
    "WriteFile",
    "WriteRows",
]


class PubSub:
    """The Pub/Sub of one project, served on `127.0.0.1:port`.

    `backoff_scale`, `reorder` and `duplicate` are those of `DeliveryTuning`; `tuning` changes them
    later. BigQuery subscriptions need `write_rows` and, with `use_table_schema`, `table_schema`; both
    are called from a thread of the subscription's own. Cloud Storage subscriptions need `write_file`,
    called by whoever moves the clock or publishes the message that fills a file.
    """

    def __init__(
        self,
        port: int,
        clock: VirtualClock,
        *,
        project: str = "demo",
        backoff_scale: float = 0.1,
        push_threads: int = 16,
        write_rows: WriteRows | None = None,
        table_schema: TableSchema | None = None,
        write_file: WriteFile | None = None,
        reorder: random.Random | None = None,
        duplicate: float = 0.0,
    ) -> None:
        """Prepare the service; nothing listens and nothing is delivered before `start`."""
        self.endpoint = f"127.0.0.1:{port}"
        self.project = project
        self.intercept: Callable[[PublishRequestInfo], None] | None = None
        self.refusal: Callable[[str, str], str | None] | None = None
        """Account and a topic's full name → why it may not publish there; None where it may."""
        self._clock = clock
        self._push_threads = push_threads
        self._backlog = Backlog(
            clock, self._dead_letter, DeliveryTuning(backoff_scale, reorder, duplicate)
        )
        self._lock = self._backlog.lock
        self.pusher = Pusher(self._backlog)
        self._exporter = Exporter(self._backlog, write_rows, table_schema)
        self._gatherer = Gatherer(self._backlog, write_file)
        clock.subscribe(self._gatherer.write_due)
        self._topics: dict[str, _Topic] = {}
        self._message_ids = count(1)
        self._published = 0
        self._in_callbacks = 0
        self._threads: list[threading.Thread] = []
        self._server: grpc.Server | None = None
        self._own: dict[str, tuple[str, grpc.Server]] = {}
        self._own_lock = threading.Lock()
        self._broken: str | None = None

    def start(self) -> None:
        """Listen and begin to deliver. Raises RuntimeError when the port is taken."""
        self._server = serve(self, self.endpoint)
        with self._lock:
            self._backlog.running = True
            exports = [s for s in self._backlog.subscriptions.values() if s.spec.bigquery_table]
        for number in range(self._push_threads):
            self._run_thread(f"pubsub-push-{number}", self.pusher.push_one)
        for subscription in exports:
            self._run_export(subscription)

    @property
    def tuning(self) -> DeliveryTuning:
        """How deliveries are timed and ordered; for tests, it may be replaced at any time."""
        return self._backlog.tuning

    @tuning.setter
    def tuning(self, tuning: DeliveryTuning) -> None:
        self._backlog.tuning = tuning

    def endpoint_of(self, account: str) -> str:
        """Return the address at which an account publishes; the first call opens it."""
        with self._own_lock:
            if account not in self._own:
                endpoint = f"127.0.0.1:{free_port()}"
                self._own[account] = endpoint, serve(self, endpoint, account)
            return self._own[account][0]

    def stop(self) -> None:
        """Stop listening and delivering, within two seconds; what is pending stays undelivered."""
        self._backlog.close()
        self.pusher.hang_up()
        stopped = self._server.stop(grace=0.2) if self._server else None
        for _, server in self._own.values():
            server.stop(grace=0.2)
        until = time.monotonic() + 1.5
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        if stopped:
            stopped.wait(max(0.0, until - time.monotonic()))

    def create_topic(self, name: str) -> None:
        """Create a topic; raise RefusedError for an ill-formed name or one that exists already."""
        path = self._path("topics", name)
        check_resource_id(path)
        with self._lock:
            if path in self._topics:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"topic {path} is there already")
            self._topics[path] = _Topic(path)

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their messages. RefusedError if it is not there."""
        with self._lock:
            del self._topics[self._topic(name).path]

    def topics(self) -> list[str]:
        """Give the full names of all topics, sorted."""
        with self._lock:
            return sorted(self._topics)

    def create_subscription(self, subscription: SubscriptionSpec) -> None:
        """Create a subscription; it receives what is published from now on.

        Raises RefusedError when a value is out of the documented range, the filter cannot be parsed, the
        topic, the dead-letter topic or the BigQuery table is not there, or the name is taken.
        """
        spec = replace(
            subscription,
            name=self._path("subscriptions", subscription.name),
            topic=self._path("topics", subscription.topic),
            dead_letter_topic=subscription.dead_letter_topic
            and self._path("topics", subscription.dead_letter_topic),
        )
        check_spec(spec)
        matches = parse_filter(spec.filter) if spec.filter else (lambda _: True)
        columns = self._exporter.columns(spec)
        self._gatherer.check(spec)
        with self._lock:
            if spec.name in self._backlog.subscriptions:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"{spec.name} is there already")
            topic = self._topic(spec.topic)
            if spec.dead_letter_topic:
                self._topic(spec.dead_letter_topic)
            created = self._backlog.add(spec, matches, columns)
            topic.subscriptions.append(created)
            running = self._backlog.running
        if running and spec.bigquery_table:
            self._run_export(created)

    def subscriptions(self) -> list[SubscriptionSpec]:
        """Give all subscriptions, sorted by name, their names in full."""
        with self._lock:
            there = self._backlog.subscriptions
            return [there[path].spec for path in sorted(there)]

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message from inside the process and give its message id.

        Returns after the topic's callbacks have run; an error of a callback is passed on. Raises
        RefusedError when the topic is not there or the message breaks a documented limit.
        """
        return self.publish_all(topic, [(data, attributes or {})])[0]

    def publish_all(
        self, topic: str, messages: Sequence[tuple[bytes, Mapping[str, str]]]
    ) -> list[str]:
        """Publish (data, attributes) messages as one request and give their ids; see `publish`."""
        check_messages(messages)
        with self._lock:
            target = self._topic(topic)
            now = self._clock.now()
            received = [
                ReceivedMessage(
                    target.path,
                    str(next(self._message_ids)),
                    now,
                    data,
                    MappingProxyType(dict(attributes)),
                )
                for data, attributes in messages
            ]
            for subscription in target.subscriptions:
                self._backlog.enqueue(subscription, received)
            callbacks = tuple(target.callbacks)
            self._in_callbacks += len(callbacks)
            self._published += len(received)
            self._backlog.changed.notify_all()
        try:
            with target.callback_turn:
                for message in received:
                    for callback in callbacks:
                        callback(message)
        finally:
            with self._lock:
                self._in_callbacks -= len(callbacks)
                self._backlog.changed.notify_all()
        self._gatherer.write_due(now)
        return [message.message_id for message in received]

    def on_publish(self, topic: str, callback: Callable[[ReceivedMessage], None]) -> None:
        """Call `callback` with each message of `topic`, one at a time, before its publish returns.

        The callback may publish, also to other topics; it must not wait for another publisher to
        the same topic. Raises RefusedError when the topic is not there.
        """
        with self._lock:
            self._topic(topic).callbacks.append(callback)

    def outstanding(self) -> int:
        """Count what push, BigQuery and callback consumers have neither acked nor dead-lettered."""
        with self._lock:
            return self._in_callbacks + self._backlog.held()

    def wait_idle(self, timeout: float, *, quiet: float = 0.05) -> None:
        """Wait until nothing is outstanding and nothing was published for `quiet` real seconds.

        `quiet` covers senders that publish in the background, as fake-gcs-server does. Raises
        TimeoutError naming what is outstanding after `timeout` real seconds, and RuntimeError when
        a delivery thread has died.
        """
        until = time.monotonic() + timeout
        with self._lock:
            while True:
                if self._broken:
                    raise RuntimeError(f"Pub/Sub stand-in: {self._broken} died; see stderr")
                idle, seen = self.outstanding() == 0, self._published
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"Pub/Sub not idle after {timeout} s: {self._describe()}")
                heard = self._backlog.changed.wait(min(quiet, left) if idle else left)
                if idle and not heard and seen == self._published and self.outstanding() == 0:
                    return

    def deliveries(self) -> list[DeliveryAttempt]:
        """Give the record of all attempts, oldest first (the last 100,000 of them)."""
        return self._backlog.deliveries()

    def _path(self, kind: str, name: str) -> str:
        return name if name.startswith("projects/") else f"projects/{self.project}/{kind}/{name}"

    def _topic(self, name: str) -> _Topic:
        path = self._path("topics", name)
        if path not in self._topics:
            there = ", ".join(short_name(each) for each in sorted(self._topics)) or "none"
            raise RefusedError(
                grpc.StatusCode.NOT_FOUND, f"topic {path} is not there; topics: {there}"
            )
        return self._topics[path]

    def _run_thread(self, name: str, step: Callable[[], bool]) -> None:
        """Repeat `step` in a daemon thread until it gives False; its death breaks `wait_idle`."""

        def work() -> None:
            """Deliver until the server stops."""
            broken = name
            try:
                while step():
                    pass
                broken = ""
            finally:
                with self._lock:
                    self._broken = self._broken or broken or None
                    self._backlog.changed.notify_all()

        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_export(self, subscription: Subscription) -> None:
        name = f"pubsub-bigquery-{short_name(subscription.spec.name)}"
        self._run_thread(name, lambda: self._exporter.export_batch(subscription))

    def _dead_letter(self, subscription: Subscription, pending: Pending, error: str) -> bool:
        spec, topic = subscription.spec, subscription.spec.dead_letter_topic
        # A dead-letter topic that was deleted takes nothing: the message stays and is retried.
        with self._lock:
            if (
                topic not in self._topics
                or pending.attempt < spec.max_delivery_attempts
                or not self._backlog.running
            ):
                return False
        self.publish_all(topic or "", [dead_letter(spec, pending, error)])
        return True

    def _describe(self) -> str:
        """Say what is outstanding, with the last error of each subscription that holds messages."""
        lines = self._backlog.describe()
        if self._in_callbacks:
            lines.append(f"{self._in_callbacks} callbacks running")
        return "; ".join(lines) or "nothing outstanding, but messages keep being published"


@dataclass(eq=False)
class _Topic:
    path: str
    subscriptions: list[Subscription] = field(default_factory=list)
    callbacks: list[Callable[[ReceivedMessage], None]] = field(default_factory=list)
    callback_turn: threading.RLock = field(default_factory=threading.RLock)
