"""Which notifications get an event, and what they get. The server itself is seen in test_sql_gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from local_cloud.storage.server import EVENTS_TOPIC, NotificationRouter


@dataclass(frozen=True)
class Message:
    data: bytes
    attributes: Mapping[str, str]


@dataclass
class Bus:
    """Keeps what is published."""

    sent: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    callbacks: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> str:
        self.sent.append((topic, data, dict(attributes)))
        return str(len(self.sent))

    def on_publish(self, topic: str, callback: Callable[[Any], None]) -> None:
        self.callbacks[topic] = callback


def event(bucket: str, name: str, kind: str = "OBJECT_FINALIZE") -> Message:
    attributes = {
        "bucketId": bucket,
        "objectId": name,
        "objectGeneration": "17",
        "eventType": kind,
        "eventTime": "2025-06-05T02:10:00Z",
        "payloadFormat": "JSON_API_V1",
    }
    return Message(b'{"name": "..."}', attributes)


@pytest.mark.parametrize(
    ("message", "topics"),
    [
        (event("raw", "runs/wifi/1.json"), ["split", "audit"]),
        (event("raw", "data/wifi/1.csv"), ["audit"]),
        (event("raw", "runs/wifi/1.json", "OBJECT_DELETE"), ["audit"]),
        (event("landing", "runs/1.json"), []),
        (event("landing", "manifests/1.json"), ["submit"]),
        (event("lake", "manifests/1.json"), []),
    ],
)
def test_an_event_goes_to_those_who_asked(message: Message, topics: list[str]) -> None:
    bus = Bus()
    router = NotificationRouter(bus)
    router.add("raw", "projects/demo/topics/split", "runs/", ["OBJECT_FINALIZE"])
    router.add("raw", "//pubsub.googleapis.com/projects/demo/topics/audit")
    router.add("landing", "submit", "manifests/", ["OBJECT_FINALIZE"], {"step": "submit"})
    bus.callbacks[EVENTS_TOPIC](message)
    assert [topic for topic, _, _ in bus.sent] == topics
    assert all(data == message.data for _, data, _ in bus.sent)


def test_a_notification_says_what_google_says() -> None:
    bus = Bus()
    router = NotificationRouter(bus)
    number = router.add("landing", "submit", "manifests/", attributes={"step": "submit"})
    router.route(event("landing", "manifests/1.json"))
    assert bus.sent[0][2] == {
        "step": "submit",
        "notificationConfig": f"projects/_/buckets/landing/notificationConfigs/{number}",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": "landing",
        "objectId": "manifests/1.json",
        "objectGeneration": "17",
        "eventTime": "2025-06-05T02:10:00Z",
    }
