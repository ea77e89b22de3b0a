"""Cloud Storage subscriptions: which messages are in which file, when, and under which name."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_cloud.clock import VirtualClock
from local_cloud.pubsub.gcs_sink import file_name
from local_cloud.pubsub.service import FileSink, PubSub, RefusedError, SubscriptionSpec
from local_cloud.pubsub.specs import time_text
from tests.integration.local_cloud.test_pubsub import START, running

SINK = FileSink(
    "raw", "streams/taps/", ".avro", "YYYY-MM-DDThh_mm_ssZ", max_bytes=2_000, max_messages=1_000
)


class _Bucket:
    """A bucket in memory: `write_file` for a `PubSub`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken = False

    def write(self, bucket: str, name: str, body: bytes) -> None:
        assert bucket == "raw"
        if self.broken:
            raise ConnectionError("nobody there")
        assert name not in self.files
        self.files[name] = body

    def records(self) -> list[list[dict[str, Any]]]:
        """The messages of each file, in order of name."""
        bodies = [io.BytesIO(self.files[name]) for name in sorted(self.files)]
        return [list(fastavro.reader(body)) for body in bodies]

    def data(self) -> list[list[bytes]]:
        """The data of each file."""
        return [[record["data"] for record in file] for file in self.records()]


@contextmanager
def gathering(**knobs: Any) -> Iterator[tuple[PubSub, VirtualClock, _Bucket]]:
    """A Pub/Sub whose topic `taps` flows into files."""
    bucket, clock = _Bucket(), VirtualClock(START)
    with running(clock, write_file=bucket.write, **knobs) as pubsub:
        pubsub.create_topic("taps")
        pubsub.create_subscription(
            SubscriptionSpec("to-raw", "taps", files=SINK, ack_deadline_seconds=600)
        )
        yield pubsub, clock, bucket


def later(clock: VirtualClock, seconds: float) -> None:
    clock.advance_to(clock.now() + timedelta(seconds=seconds))


def test_a_file_is_written_when_its_oldest_message_has_waited() -> None:
    with gathering() as (pubsub, clock, bucket):
        pubsub.publish("taps", b"a")
        later(clock, 200)
        pubsub.publish("taps", b"b", {"origin": "sample"})
        later(clock, 99)
        assert bucket.files == {}
        pubsub.wait_idle(5)
        later(clock, 1)
        [(name, _)] = bucket.files.items()
        [[first, second]] = bucket.records()
        assert pubsub.outstanding() == 0
    assert re.fullmatch(r"streams/taps/2025-06-05T02_15_00Z_[0-9a-f-]{36}\.avro", name)
    assert first == {
        "subscription_name": "projects/demo/subscriptions/to-raw", "message_id": "1",
        "publish_time": START, "attributes": {}, "data": b"a",
    }  # fmt: skip
    assert second["publish_time"] == START + timedelta(seconds=200)
    assert second["attributes"] == {"origin": "sample"}


def test_a_jump_of_the_clock_leaves_the_name_its_time() -> None:
    with gathering() as (pubsub, clock, bucket):
        pubsub.publish("taps", b"a")
        later(clock, 3_600)
        [name] = bucket.files
    assert name.startswith("streams/taps/2025-06-05T02_15_00Z_")


def test_a_full_file_is_written_at_once() -> None:
    with gathering() as (pubsub, clock, bucket):
        for _ in range(3):
            pubsub.publish("taps", b"x" * 900)
        assert [len(file) for file in bucket.data()] == [2]
        pubsub.publish_all("taps", [(b"y", {}) for _ in range(1_000)])
        later(clock, 300)
        assert sorted(len(file) for file in bucket.data()) == [1, 2, 1_000]
        pubsub.publish("taps", b"z" * 5_000)
        assert b"z" * 5_000 in [file[0] for file in bucket.data()]


def test_what_cannot_be_written_is_written_later() -> None:
    with gathering() as (pubsub, clock, bucket):
        bucket.broken = True
        pubsub.publish("taps", b"a")
        later(clock, 300)
        bucket.broken = False
        until = datetime.now(UTC) + timedelta(seconds=10)
        while not bucket.files and datetime.now(UTC) < until:
            later(clock, 1)
        assert bucket.data() == [[b"a"]]
        outcomes = [delivery.outcome for delivery in pubsub.deliveries()]
    assert outcomes[0] == "retried"
    assert outcomes[-1] == "acked"


def test_a_message_may_be_in_two_files() -> None:
    with gathering(duplicate=1.0) as (pubsub, clock, bucket):
        pubsub.publish("taps", b"a")
        later(clock, 300)
        assert bucket.data() == [[b"a"], [b"a"]]
        assert {record["message_id"] for file in bucket.records() for record in file} == {"1"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 1_500)), max_size=12))
def test_every_message_is_in_one_file_that_keeps_its_bounds(
    published: list[tuple[int, int]],
) -> None:
    with gathering() as (pubsub, clock, bucket):
        for number, (wait, size) in enumerate(published):
            later(clock, wait)
            pubsub.publish("taps", json.dumps(number).encode().ljust(size))
        later(clock, 300)
        files = bucket.records()
    numbers = sorted(int(record["data"]) for file in files for record in file)
    assert numbers == list(range(len(published)))
    for file in files:
        times = [record["publish_time"] for record in file]
        assert max(times) - min(times) <= timedelta(seconds=SINK.max_duration)
        size = sum(len(record["data"]) for record in file[:-1])
        assert size < 2_000


FORMATS = [
    ("YYYY-MM-DDThh_mm_ssZ", "2025-06-05T04_03_02Z_u.avro"),
    ("YYYY-MM-DD/hh_mm_ssZ", "2025-06-05/04_03_02Z_u.avro"),
    ("YYYY-MM-DDThh:mm:ss+00:00", "2025-06-05T04:03:02+00:00_u.avro"),
    ("YYMMDDhhmmss-", "250605040302-u.avro"),
]


@pytest.mark.parametrize(("form", "name"), FORMATS)
def test_names_as_google_documents_them(form: str, name: str) -> None:
    sink = FileSink("raw", suffix=".avro", datetime_format=form)
    assert file_name(sink, datetime(2025, 6, 5, 4, 3, 2, tzinfo=UTC), "u") == name


@pytest.mark.parametrize(
    "form", ["YYYY-MM-DD", "YY-YYYY-MM-DDThh:mm:ss", "YYYY-MMM-DDThh:mm:ss", "dt=YYYYMMDDhhmmss"]
)
def test_a_format_that_google_refuses_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        time_text(form, START)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"files": FileSink("raw", max_duration=59)}, "max_duration is 60-600"),
        ({"files": FileSink("raw"), "ack_deadline_seconds": 120}, "max_duration is 60-120"),
        ({"files": FileSink("raw", max_messages=999)}, "max_messages"),
        ({"files": FileSink("raw", max_bytes=999)}, "max_bytes"),
        ({"files": FileSink("raw", suffix="x/")}, "does not end in /"),
        ({"files": FileSink("raw", datetime_format="YYYY")}, "once each"),
        ({"files": FileSink("raw"), "bigquery_table": "ops.x"}, "exclude each other"),
    ],
    ids=str,
)
def test_files_out_of_range_are_refused(wrong: dict[str, Any], text: str) -> None:
    spec = SubscriptionSpec("wanted", "taps", **({"ack_deadline_seconds": 600} | wrong))
    with gathering() as (pubsub, _, _), pytest.raises(RefusedError, match=text):
        pubsub.create_subscription(spec)


def test_files_need_somebody_to_write_them() -> None:
    with running() as pubsub:
        pubsub.create_topic("taps")
        with pytest.raises(ValueError, match="write_file"):
            pubsub.create_subscription(
                SubscriptionSpec("to-raw", "taps", files=SINK, ack_deadline_seconds=600)
            )
