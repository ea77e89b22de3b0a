"""The filters of Pub/Sub subscriptions: what they match and which of them are refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import grpc
import pytest

from local_cloud.clock import VirtualClock
from local_cloud.ports import free_port
from local_cloud.pubsub.filter import parse_filter
from local_cloud.pubsub.service import PubSub, RefusedError, SubscriptionSpec


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ('attributes.type = "raw"', {"type": "raw"}, {"type": "landing"}),
        ('attributes.type!="raw"', {}, {"type": "raw"}),
        ("attributes:run", {"run": ""}, {"type": "raw"}),
        ("NOT attributes:run", {}, {"run": "1"}),
        ('hasPrefix(attributes.object, "raw/")', {"object": "raw/a"}, {"object": "a/raw/"}),
        ('hasPrefix(attributes.object, "")', {"object": ""}, {}),
        ('attributes.a = "1" AND attributes.b = "2"', {"a": "1", "b": "2"}, {"a": "1"}),
        ('attributes.a = "1" OR attributes.b = "2"', {"b": "2"}, {"a": "2"}),
        ("attributes:a AND (attributes:b OR attributes:c)", {"a": "", "c": ""}, {"a": ""}),
        ("NOT (attributes:a OR attributes:b)", {"c": ""}, {"b": ""}),
        ('attributes.ce-type = "x"', {"ce-type": "x"}, {"ce": "x"}),
        ('attributes."iana.org/tag" = "en"', {"iana.org/tag": "en"}, {"iana": "en"}),
        (r'attributes.a = "say \"hi\""', {"a": 'say "hi"'}, {"a": "say hi"}),
    ],
)
def test_filters_match(text: str, matching: Mapping[str, str], other: Mapping[str, str]) -> None:
    test = parse_filter(text)
    assert test(matching)
    assert not test(other)


@pytest.mark.parametrize(
    "text",
    [
        "attributes.a",
        'attributes.a == "1"',
        "attributes.a = 1",
        'attributes.a = "1" attributes.b = "2"',
        "attributes:a AND attributes:b OR attributes:c",
        "(attributes:a",
        'hasPrefix(attributes.a "x")',
        'data = "x"',
        'attributes.a =~ "x"',
        "attributes:a and attributes:b",
        'attributes.a = "' + "x" * 250 + '"',
    ],
)
def test_filters_that_cannot_be_read_are_refused_at_creation(text: str) -> None:
    pubsub = PubSub(free_port(), VirtualClock(datetime(2025, 6, 5, tzinfo=UTC)))
    pubsub.create_topic("raw-events")
    with pytest.raises(RefusedError, match="filter") as refused:
        pubsub.create_subscription(SubscriptionSpec("filtered", "raw-events", filter=text))
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert pubsub.subscriptions() == []
