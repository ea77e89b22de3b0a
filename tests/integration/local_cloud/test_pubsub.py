"""The Pub/Sub stand-in: what Google's clients see, and what it promises about delivery."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local_cloud.clock import VirtualClock
from local_cloud.ports import free_port
from local_cloud.pubsub.backlog import backoff
from local_cloud.pubsub.service import (
    DeliveryAttempt,
    DeliveryTuning,
    PublishRequestInfo,
    PubSub,
    ReceivedMessage,
    RefusedError,
    SubscriptionSpec,
)

START = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)
FIXTURES = Path(__file__).parent / "fixtures" / "pubsub"
PATIENCE = 20.0

type Answer = Callable[[dict[str, Any]], int]


def fixture(name: str) -> dict[str, Any]:
    """Read one exchange with Google's emulator."""
    loaded: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return loaded


@contextmanager
def running(clock: VirtualClock | None = None, **knobs: Any) -> Iterator[PubSub]:
    """A started Pub/Sub with a thousandth of the usual back-off."""
    knobs = {"backoff_scale": 0.001, "push_threads": 6} | knobs
    pubsub = PubSub(free_port(), clock or VirtualClock(START), **knobs)
    pubsub.start()
    try:
        yield pubsub
    finally:
        pubsub.stop()


@pytest.fixture
def pubsub() -> Iterator[PubSub]:
    """A started Pub/Sub with the topics `raw-events` and `dead-letters`."""
    with running() as started:
        started.create_topic("raw-events")
        started.create_topic("dead-letters")
        yield started


class _PushServer(ThreadingHTTPServer):
    daemon_threads = True
    answer: Answer
    seen: list[tuple[str, str, dict[str, Any]]]
    released: threading.Event


class _PushHandler(BaseHTTPRequestHandler):
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _PushServer)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.seen.append((self.path, self.headers["Content-Type"], body))
        self.send_response(server.answer(body))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Keep the tests' output clean."""


class _DrippingHandler(_PushHandler):
    """Answers the first push with a 200 whose headers come a byte each 20 ms, for two seconds."""

    def end_headers(self) -> None:
        server = self.server
        assert isinstance(server, _PushServer)
        if len(server.seen) == 1:
            self.flush_headers()
            with suppress(OSError):
                for byte in [b"X-Drip: "] + [b"."] * 100 + [b"\r\n"]:
                    self.wfile.write(byte)
                    self.wfile.flush()
                    server.released.wait(0.02)
        super().end_headers()


@contextmanager
def receiver(
    answer: Answer, handler: type[BaseHTTPRequestHandler] = _PushHandler
) -> Iterator[tuple[str, list[tuple[str, str, dict[str, Any]]]]]:
    """An HTTP endpoint: its URL, and what it was sent as (path, content type, body)."""
    server = _PushServer(("127.0.0.1", 0), handler)
    server.answer, server.seen, server.released = answer, [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/push", server.seen
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def publisher(pubsub: PubSub, monkeypatch: pytest.MonkeyPatch) -> pubsub_v1.PublisherClient:
    """Google's own client, told of the stand-in the usual way."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.endpoint)
    return pubsub_v1.PublisherClient()


def outcomes(pubsub: PubSub) -> list[str]:
    """What became of each attempt, oldest first."""
    return [delivery.outcome for delivery in pubsub.deliveries()]


def statuses(*answers: int) -> Answer:
    """Answer with each status in turn, then with the last one for ever."""
    left = list(answers)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


# Google's clients


def test_google_client_administers_topics_and_publishes(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = publisher(pubsub, monkeypatch)
    path = client.topic_path("demo", "landing-events")
    got: list[ReceivedMessage] = []
    client.create_topic(name=path)
    pubsub.on_publish("landing-events", got.append)

    message_id = client.publish(path, b"{}", dataset="velib").result(timeout=PATIENCE)

    assert client.get_topic(topic=path).name == path
    assert path in [topic.name for topic in client.list_topics(project="projects/demo")]
    assert [(m.message_id, m.data, dict(m.attributes), m.publish_time) for m in got] == [
        (message_id, b"{}", {"dataset": "velib"}, START)
    ]
    with pytest.raises(exceptions.AlreadyExists):
        client.create_topic(name=path)
    client.delete_topic(topic=path)
    with pytest.raises(exceptions.NotFound, match="landing-events is not there; topics: dead-let"):
        client.publish(path, b"{}").result(timeout=PATIENCE)
    with pytest.raises(exceptions.NotFound):
        client.get_topic(topic=path)


@pytest.mark.parametrize("case", fixture("short_topic_id")["create_topic"], ids=lambda c: c["name"])
def test_topic_ids_as_googles_emulator_takes_them(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch, case: dict[str, str]
) -> None:
    client = publisher(pubsub, monkeypatch)
    code = "OK"
    try:
        client.create_topic(name=case["name"])
    except exceptions.GoogleAPICallError as refused:
        code = getattr(refused.grpc_status_code, "name", "")
    assert code == case["code"]


@pytest.mark.parametrize(
    ("data", "attributes", "text"),
    [
        (b"", {}, "needs data or at least one attribute"),
        (b"x", {"googfoo": "1"}, "not starting with 'goog'"),
        (b"x", {"k" * 257: "1"}, "1-256 bytes"),
        (b"x", {"k": "v" * 1025}, "more than 1024 bytes"),
        (b"x", {f"k{n}": "v" for n in range(101)}, "at most 100 attributes"),
        (b"x" * 10_000_001, {}, "at most 10000000 bytes"),
    ],
)
def test_messages_over_a_documented_limit_are_refused(
    pubsub: PubSub, data: bytes, attributes: dict[str, str], text: str
) -> None:
    with pytest.raises(RefusedError, match=text) as refused:
        pubsub.publish("raw-events", data, attributes)
    assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(("phase", "accepted"), [("before", 0), ("after", 1)])
def test_an_intercepted_publish_fails_before_or_after_it_took_effect(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch, phase: str, accepted: int
) -> None:
    got: list[ReceivedMessage] = []
    seen: list[PublishRequestInfo] = []
    pubsub.on_publish("raw-events", got.append)

    def crash(info: PublishRequestInfo) -> None:
        seen.append(info)
        if info.phase == phase:
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"cut {phase}")

    pubsub.intercept = crash
    client = publisher(pubsub, monkeypatch)
    with pytest.raises(exceptions.InvalidArgument, match=f"cut {phase}"):
        client.publish("projects/demo/topics/raw-events", b"x", k="v").result(timeout=PATIENCE)

    assert len(got) == accepted
    assert [info.phase for info in seen] == ["before", "after"][: accepted + 1]
    assert (seen[0].topic, seen[0].messages) == ("raw-events", ((b"x", {"k": "v"}),))
    assert seen[-1].message_ids == tuple(message.message_id for message in got)


# Push


def test_push_body_as_googles_emulator_sends_it(pubsub: PubSub) -> None:
    expected = fixture("push_body")
    sent = expected["publish"]
    with receiver(statuses(200)) as (url, seen):
        pubsub.create_subscription(SubscriptionSpec("raw-events-push", sent["topic"], url))
        message_id = pubsub.publish(sent["topic"], sent["data"].encode(), sent["attributes"])
        pubsub.wait_idle(PATIENCE)

    ((path, content_type, body),) = seen
    assert (path, content_type) == ("/push", expected["push"]["content_type"])
    assert sorted(body) == expected["push"]["keys"]
    assert set(expected["push"]["message_keys_at_least"]) <= set(body["message"])
    assert body == {
        "message": {
            "attributes": sent["attributes"],
            "data": base64.b64encode(sent["data"].encode()).decode(),
            "messageId": message_id,
            "message_id": message_id,
            "publishTime": "2025-06-05T02:10:00.000000Z",
            "publish_time": "2025-06-05T02:10:00.000000Z",
        },
        "subscription": expected["push"]["subscription"],
    }


@pytest.mark.parametrize("name", ["redelivery", "dead_letter"])
def test_refused_pushes_go_as_googles_emulator_has_them(pubsub: PubSub, name: str) -> None:
    expected = fixture(name)
    dead: list[ReceivedMessage] = []
    pubsub.on_publish("dead-letters", dead.append)
    limit = expected.get("max_delivery_attempts")
    with receiver(statuses(*expected["answers"])) as (url, seen):
        pubsub.create_subscription(
            SubscriptionSpec(
                "raw-push",
                "raw-events",
                url,
                dead_letter_topic="dead-letters" if limit else None,
                max_delivery_attempts=limit or 5,
            )
        )
        message_id = pubsub.publish("raw-events", b"poison", {"dataset": "velib"})
        pubsub.wait_idle(PATIENCE)

    assert outcomes(pubsub) == expected["outcomes"]
    assert [d.status for d in pubsub.deliveries()] == expected["answers"]
    assert [d.attempt for d in pubsub.deliveries()] == [1, 2, 3, 4, 5]
    assert {body["message"]["messageId"] for _, _, body in seen} == {message_id}
    attempts = [body.get("deliveryAttempt") for _, _, body in seen]
    assert attempts == ([1, 2, 3, 4, 5] if limit else [None] * 5)
    if limit:
        assert [(m.data, dict(m.attributes)) for m in dead] == [
            (
                b"poison",
                {
                    "dataset": "velib",
                    "CloudPubSubDeadLetterSourceSubscription": "raw-push",
                    "CloudPubSubDeadLetterSourceSubscriptionProject": "demo",
                    "CloudPubSubDeadLetterSourceTopicPublishTime": "2025-06-05T02:10:00.000+00:00",
                }
                | expected["dead_letter_attributes"],
            )
        ]
    else:
        assert dead == []


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(102, "acked"), (201, "acked"), (202, "acked"), (204, "acked")]
    + [(code, "retried") for code in (203, 302, 400, 404, 429, 503)],
)
def test_only_five_statuses_acknowledge(pubsub: PubSub, status: int, outcome: str) -> None:
    with receiver(statuses(status, 200)) as (url, _):
        pubsub.create_subscription(SubscriptionSpec("raw-push", "raw-events", url))
        pubsub.publish("raw-events", b"x")
        pubsub.wait_idle(PATIENCE)
    assert (outcomes(pubsub)[0], pubsub.deliveries()[0].status) == (outcome, status)


def test_a_push_that_pubsub_may_not_sign_is_not_sent_and_says_why(pubsub: PubSub) -> None:
    reasons = ["the agent may not sign"]
    pubsub.pusher.refusal = lambda account: reasons.pop() if reasons else None
    with receiver(statuses(200)) as (url, seen):
        pubsub.create_subscription(
            SubscriptionSpec("raw-push", "raw-events", url, service_account="push@demo")
        )
        pubsub.publish("raw-events", b"x")
        pubsub.wait_idle(PATIENCE)
    assert outcomes(pubsub) == ["retried", "acked"]
    assert pubsub.deliveries()[0].error == "the agent may not sign"
    assert len(seen) == 1


def test_a_push_without_an_answer_is_redelivered_after_the_ack_deadline(pubsub: PubSub) -> None:
    release = threading.Event()
    calls: list[int] = []

    def answer(body: dict[str, Any]) -> int:
        calls.append(1)
        if len(calls) == 1:
            release.wait(PATIENCE)
        return 200

    with receiver(answer) as (url, _):
        pubsub.create_subscription(
            SubscriptionSpec("raw-push", "raw-events", url, ack_deadline_seconds=0.2)
        )
        pubsub.publish("raw-events", b"x")
        pubsub.wait_idle(PATIENCE)
        release.set()
    first = pubsub.deliveries()[0]
    assert outcomes(pubsub) == ["retried", "acked"]
    assert (first.status, first.error) == (None, "no answer within 0.2 s")


def test_an_answer_that_drips_does_not_outlast_the_ack_deadline(pubsub: PubSub) -> None:
    with receiver(statuses(200), _DrippingHandler) as (url, _):
        pubsub.create_subscription(
            SubscriptionSpec("raw-push", "raw-events", url, ack_deadline_seconds=0.3)
        )
        pubsub.publish("raw-events", b"x")
        pubsub.wait_idle(PATIENCE)
    first = pubsub.deliveries()[0]
    assert outcomes(pubsub) == ["retried", "acked"]
    assert (first.status, first.error) == (None, "no answer within 0.3 s")
    assert first.seconds < 1.5


def test_nobody_listening_is_retried_and_named(pubsub: PubSub) -> None:
    pubsub.create_subscription(
        SubscriptionSpec(
            "raw-push", "raw-events", f"http://127.0.0.1:{free_port()}/", min_backoff=1
        )
    )
    pubsub.publish("raw-events", b"x")
    with pytest.raises(TimeoutError, match=r"raw-push: .*ConnectionRefusedError"):
        pubsub.wait_idle(0.3)
    assert pubsub.outstanding() == 1


@pytest.mark.parametrize(
    ("bounds", "seconds"),
    [
        ((10, 600), [1, 2, 4, 8, 16, 32, 60, 60]),
        ((0, 600), [0, 0, 0, 0, 0, 0, 0, 0]),
        ((5, 5), [0.5] * 8),
    ],
)
def test_back_off_doubles_up_to_its_maximum(
    bounds: tuple[float, float], seconds: list[float]
) -> None:
    spec = SubscriptionSpec("raw-push", "raw-events", min_backoff=bounds[0], max_backoff=bounds[1])
    assert [backoff(spec, attempt, 0.1) for attempt in range(1, 9)] == pytest.approx(seconds)


def test_no_more_pushes_in_flight_than_each_subscription_allows() -> None:
    arrived, release = threading.Semaphore(0), threading.Event()

    def answer(body: dict[str, Any]) -> int:
        arrived.release()
        return 200 if release.wait(PATIENCE) else 500

    with receiver(answer) as (url, seen), running(push_threads=6) as pubsub:
        pubsub.create_topic("raw-events")
        for name, bound in (("narrow", 2), ("wide", 4)):
            pubsub.create_subscription(
                SubscriptionSpec(name, "raw-events", url, max_outstanding=bound)
            )
        for number in range(8):
            pubsub.publish("raw-events", str(number).encode())
        # All six threads are in a push now: what has arrived is all there can be.
        assert all(arrived.acquire(timeout=PATIENCE) for _ in range(6))
        in_flight = Counter(body["subscription"].rsplit("/", 1)[-1] for _, _, body in seen)
        release.set()
        pubsub.wait_idle(PATIENCE)
    assert in_flight == {"narrow": 2, "wide": 4}
    assert len(seen) == 16


def test_messages_older_than_the_retention_are_dropped_at_delivery() -> None:
    clock = VirtualClock(START)
    with receiver(statuses(200)) as (url, seen):
        late = PubSub(free_port(), clock)
        late.create_topic("raw-events")
        for name, retention in (("short", 3600), ("long", 7200)):
            late.create_subscription(
                SubscriptionSpec(name, "raw-events", url, retention_seconds=retention)
            )
        late.publish("raw-events", b"x")
        clock.advance_to(START + timedelta(seconds=3601))
        late.start()
        late.wait_idle(PATIENCE)
        late.stop()
    assert {d.subscription: d.outcome for d in late.deliveries()} == {
        "short": "expired",
        "long": "acked",
    }
    assert [body["subscription"] for _, _, body in seen] == ["projects/demo/subscriptions/long"]


def test_stop_does_not_wait_for_a_push_that_hangs() -> None:
    reached, release, answered = threading.Event(), threading.Event(), threading.Event()

    def answer(body: dict[str, Any]) -> int:
        reached.set()
        release.wait(PATIENCE)
        answered.set()
        return 200

    with receiver(answer) as (url, _), running() as pubsub:
        pubsub.create_topic("raw-events")
        pubsub.create_subscription(
            SubscriptionSpec("raw-push", "raw-events", url, ack_deadline_seconds=600)
        )
        pubsub.publish("raw-events", b"x")
        assert reached.wait(PATIENCE)
        pubsub.stop()
        assert not answered.is_set()
        assert [t.name for t in pubsub._threads if t.is_alive()] == []
        release.set()


# Callbacks and idleness


def test_callbacks_run_in_order_before_publish_returns(pubsub: PubSub) -> None:
    got: list[str] = []
    pubsub.on_publish("raw-events", lambda m: got.append(f"first {m.data.decode()}"))
    pubsub.on_publish("raw-events", lambda m: got.append(f"second {m.data.decode()}"))
    pubsub.publish("raw-events", b"a")
    pubsub.publish("projects/demo/topics/raw-events", b"b")
    assert got == ["first a", "second a", "first b", "second b"]


def test_a_callback_that_routes_onwards_and_fails_tells_the_publisher(pubsub: PubSub) -> None:
    pubsub.create_topic("routed")
    got: list[bytes] = []
    pubsub.on_publish("routed", lambda message: got.append(message.data))

    def route(message: ReceivedMessage) -> None:
        assert pubsub.outstanding() >= 1
        pubsub.publish("routed", message.data)
        if message.data == b"bad":
            raise KeyError("bucket")

    pubsub.on_publish("raw-events", route)
    pubsub.publish("raw-events", b"good")
    with pytest.raises(KeyError, match="bucket"):
        pubsub.publish("raw-events", b"bad")
    assert got == [b"good", b"bad"]
    assert pubsub.outstanding() == 0


def test_wait_idle_follows_a_chain_of_pushes_to_its_end(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = publisher(pubsub, monkeypatch)
    pubsub.create_topic("landing-events")

    def forward(body: dict[str, Any]) -> int:
        client.publish("projects/demo/topics/landing-events", b"landed").result(timeout=PATIENCE)
        return 200

    with ExitStack() as stack:
        first, _ = stack.enter_context(receiver(forward))
        last, landed = stack.enter_context(receiver(statuses(500, 200)))
        pubsub.create_subscription(SubscriptionSpec("raw-push", "raw-events", first))
        pubsub.create_subscription(SubscriptionSpec("landing-push", "landing-events", last))
        for _ in range(3):
            pubsub.publish("raw-events", b"x")
        pubsub.wait_idle(PATIENCE)
        assert Counter(outcomes(pubsub)) == {"acked": 6, "retried": 1}
        assert len(landed) == 4


# Filters


def test_a_filtered_message_is_neither_pushed_nor_outstanding(pubsub: PubSub) -> None:
    with receiver(statuses(200)) as (url, seen):
        pubsub.create_subscription(
            SubscriptionSpec("raw-push", "raw-events", url, filter='attributes.keep = "yes"')
        )
        pubsub.publish("raw-events", b"a", {"keep": "no"})
        pubsub.publish("raw-events", b"b", {"keep": "yes"})
        pubsub.wait_idle(PATIENCE)
    assert [body["message"]["attributes"] for _, _, body in seen] == [{"keep": "yes"}]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"topic": "nowhere"}, "nowhere is not there"),
        ({"dead_letter_topic": "nowhere"}, "nowhere is not there"),
        ({"max_delivery_attempts": 4}, "5-100"),
        ({"ack_deadline_seconds": 601}, "at most 600"),
        ({"retention_seconds": 599}, "600-2678400"),
        ({"min_backoff": 20, "max_backoff": 10}, "min_backoff ≤ max_backoff"),
        ({"max_outstanding": 0}, "at least 1"),
        ({"push_endpoint": "https://example.org"}, "http://"),
        ({"name": "ab"}, "3-255"),
    ],
    ids=str,
)
def test_subscriptions_out_of_range_are_refused(
    pubsub: PubSub, wrong: dict[str, Any], text: str
) -> None:
    with pytest.raises(RefusedError, match=text):
        pubsub.create_subscription(
            SubscriptionSpec(**({"name": "wanted", "topic": "raw-events"} | wrong))
        )


# BigQuery


SCHEMA = [
    ("station", "STRING", "REQUIRED"),
    ("bikes", "INT64", "NULLABLE"),
    ("seen", "TIMESTAMP", "NULLABLE"),
    ("tags", "STRING", "REPEATED"),
    ("raw", "JSON", "NULLABLE"),
]


class _Table:
    """A table in memory: `write_rows` and `table_schema` for a `PubSub`."""

    def __init__(self, schema: list[tuple[str, str, str]]) -> None:
        self.schema = schema
        self.rows: list[dict[str, Any]] = []
        self.calls: list[int] = []
        self.refuse: Callable[[dict[str, Any]], bool] = lambda row: False

    def write(self, table: str, rows: list[dict[str, Any]]) -> list[str]:
        assert table == "ops.stations"
        self.calls.append(len(rows))
        errors = [f"row {n}: stopped" for n, row in enumerate(rows) if self.refuse(row)]
        if not errors:
            self.rows += rows
        return errors

    def columns(self, table: str) -> list[tuple[str, str, str]]:
        if table != "ops.stations":
            raise LookupError(table)
        return self.schema


@contextmanager
def exporting(table: _Table, **spec: Any) -> Iterator[tuple[PubSub, list[ReceivedMessage]]]:
    """A Pub/Sub whose topic `rows-in` flows into `table`, and the dead letters it made."""
    dead: list[ReceivedMessage] = []
    with running(write_rows=table.write, table_schema=table.columns) as pubsub:
        pubsub.create_topic("rows-in")
        pubsub.create_topic("dead-letters")
        pubsub.on_publish("dead-letters", dead.append)
        pubsub.create_subscription(
            SubscriptionSpec(
                "to-bigquery",
                "rows-in",
                bigquery_table="ops.stations",
                dead_letter_topic="dead-letters",
                min_backoff=0,
                **spec,
            )
        )
        yield pubsub, dead


@pytest.mark.parametrize(
    ("data", "row"),
    [
        ({"station": "a"}, {"station": "a"}),
        ({"station": "a", "bikes": None}, {"station": "a"}),
        (
            {"station": "a", "bikes": 3, "seen": "2025-06-05T04:10:00+02:00", "tags": ["x"]},
            {"station": "a", "bikes": 3, "seen": "2025-06-05T02:10:00.000000Z", "tags": ["x"]},
        ),
        (
            {"station": "a", "seen": 1_749_089_400_000_000},
            {"station": "a", "seen": "2025-06-05T02:10:00.000000Z"},
        ),
        ({"station": "a", "raw": '{"k": 1}'}, {"station": "a", "raw": '{"k": 1}'}),
    ],
    ids=str,
)
def test_json_messages_become_rows_of_the_tables_schema(
    data: dict[str, Any], row: dict[str, Any]
) -> None:
    table = _Table(SCHEMA)
    with exporting(table, use_table_schema=True) as (pubsub, dead):
        pubsub.publish("rows-in", json.dumps(data).encode())
        pubsub.wait_idle(PATIENCE)
    assert (table.rows, dead) == ([row], [])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"not json", "Expecting value"),
        (b"\xff", "utf-8"),
        (b"[1]", "no object"),
        (b'{"bikes": 1}', "REQUIRED column station"),
        (b'{"station": null}', "REQUIRED column station"),
        (b'{"station": "a", "color": "red"}', "['color'] are not columns"),
        (b'{"station": 7}', "column station: 7 is no STRING"),
        (b'{"station": "a", "bikes": "three"}', "is no INT64"),
        (b'{"station": "a", "bikes": true}', "is no INT64"),
        (b'{"station": "a", "bikes": 1.5}', "is no INT64"),
        (b'{"station": "a", "seen": "2025-06-05T02:10:00"}', "is no TIMESTAMP"),
        (b'{"station": "a", "tags": "x"}', "no list"),
        (b'{"station": "a", "raw": {"k": 1}}', "is no JSON"),
    ],
)
def test_messages_that_do_not_fit_the_table_are_dead_lettered(data: bytes, text: str) -> None:
    table = _Table(SCHEMA)
    with exporting(table, use_table_schema=True) as (pubsub, dead):
        pubsub.publish("rows-in", data)
        pubsub.wait_idle(PATIENCE)
    (letter,) = dead
    assert table.rows == []
    assert letter.data == data
    assert letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert text in letter.attributes["CloudPubSubDeadLetterSourceDeliveryErrorMessage"]


def test_unknown_fields_are_dropped_when_asked() -> None:
    table = _Table(SCHEMA)
    with exporting(table, use_table_schema=True, drop_unknown_fields=True) as (pubsub, _):
        pubsub.publish("rows-in", b'{"station": "a", "color": "red"}')
        pubsub.wait_idle(PATIENCE)
    assert table.rows == [{"station": "a"}]


@pytest.mark.parametrize(
    ("kind", "column"),
    [("STRING", '{"k": "é"}'), ("JSON", '{"k": "é"}'), ("BYTES", "eyJrIjogIsOpIn0=")],
)
def test_without_schema_the_message_is_the_data_column(kind: str, column: str) -> None:
    table = _Table([("data", kind, "NULLABLE"), ("message_id", "STRING", "NULLABLE")])
    with exporting(table, write_metadata=True) as (pubsub, _):
        message_id = pubsub.publish("rows-in", '{"k": "é"}'.encode(), {"run": "1"})
        pubsub.wait_idle(PATIENCE)
    assert table.rows == [
        {
            "data": column,
            "subscription_name": "projects/demo/subscriptions/to-bigquery",
            "message_id": message_id,
            "publish_time": "2025-06-05T02:10:00.000000Z",
            "attributes": '{"run": "1"}',
        }
    ]


def test_rows_go_in_batches_and_a_refused_row_does_not_hold_up_the_rest() -> None:
    table = _Table([("data", "STRING", "NULLABLE")])
    table.refuse = lambda row: row["data"] == "13"
    with exporting(table) as (pubsub, dead):
        for number in range(40):
            pubsub.publish("rows-in", str(number).encode())
        pubsub.wait_idle(PATIENCE)
    assert sorted(int(row["data"]) for row in table.rows) == [n for n in range(40) if n != 13]
    assert [letter.data for letter in dead] == [b"13"]
    assert max(table.calls) > 1


def test_a_column_added_to_the_table_is_seen_on_retry() -> None:
    table = _Table(SCHEMA[:1])
    with exporting(table, use_table_schema=True) as (pubsub, dead):
        table.schema = SCHEMA[:2]
        pubsub.publish("rows-in", b'{"station": "a", "bikes": 2}')
        pubsub.wait_idle(PATIENCE)
    assert (table.rows, dead) == ([{"station": "a", "bikes": 2}], [])


def test_a_bigquery_subscription_needs_its_table() -> None:
    table = _Table(SCHEMA)
    with running(write_rows=table.write, table_schema=table.columns) as pubsub:
        pubsub.create_topic("rows-in")
        with pytest.raises(RefusedError, match=r"no table ops\.absent"):
            pubsub.create_subscription(
                SubscriptionSpec("to-bigquery", "rows-in", bigquery_table="ops.absent")
            )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_breaks_is_said_by_wait_idle() -> None:
    table = _Table([("data", "STRING", "NULLABLE")])

    def broken(row: dict[str, Any]) -> bool:
        raise ZeroDivisionError

    table.refuse = broken
    with exporting(table) as (pubsub, _):
        pubsub.publish("rows-in", b"x")
        with pytest.raises(RuntimeError, match="pubsub-bigquery-to-bigquery died"):
            pubsub.wait_idle(PATIENCE)


# The promise


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    failures=st.lists(st.integers(0, 7), min_size=1, max_size=12),
    dead_letters=st.booleans(),
    seed=st.none() | st.integers(0, 2**16),
    duplicate=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_every_message_is_delivered_and_none_is_lost(
    failures: list[int], dead_letters: bool, seed: int | None, duplicate: float
) -> None:
    left = {str(number): failed for number, failed in enumerate(failures)}
    lock = threading.Lock()
    delivered: defaultdict[str, int] = defaultdict(int)

    def answer(body: dict[str, Any]) -> int:
        number = body["message"]["attributes"]["number"]
        with lock:
            delivered[number] += 1
            left[number] -= 1
            return 500 if left[number] >= 0 else 200

    dead: list[str] = []
    reorder = None if seed is None else random.Random(seed)
    with (
        receiver(answer) as (url, _),
        running(reorder=reorder, duplicate=duplicate, backoff_scale=0.0001) as pubsub,
    ):
        pubsub.create_topic("raw-events")
        pubsub.create_topic("dead-letters")
        pubsub.on_publish("dead-letters", lambda m: dead.append(m.attributes["number"]))
        pubsub.create_subscription(
            SubscriptionSpec(
                "raw-push",
                "raw-events",
                url,
                dead_letter_topic="dead-letters" if dead_letters else None,
            )
        )
        ids = {
            pubsub.publish("raw-events", b"x", {"number": str(number)}): str(number)
            for number in range(len(failures))
        }
        pubsub.wait_idle(PATIENCE, quiet=0.01)
        record = pubsub.deliveries()
    _check_promise(failures, ids, record, dead, delivered, dead_letters, duplicate)


def test_deliveries_follow_the_tuning_that_a_test_sets(pubsub: PubSub) -> None:
    pubsub.tuning = DeliveryTuning(0.001, random.Random(1), duplicate=1.0)
    with receiver(lambda _: 200) as (url, seen):
        pubsub.create_subscription(SubscriptionSpec("raw-push", "raw-events", url))
        pubsub.publish("raw-events", b"x")
        pubsub.wait_idle(PATIENCE)
        assert len(seen) == 2
        pubsub.tuning = replace(pubsub.tuning, duplicate=0.0)
        pubsub.publish("raw-events", b"y")
        pubsub.wait_idle(PATIENCE)
        assert len(seen) == 3


def _check_promise(
    failures: list[int],
    ids: Mapping[str, str],
    record: list[DeliveryAttempt],
    dead: list[str],
    delivered: Mapping[str, int],
    dead_letters: bool,
    duplicate: float,
) -> None:
    everything = set(ids.values())
    acked = {ids[d.message_id] for d in record if d.outcome == "acked"}
    assert set(delivered) == everything
    assert acked | set(dead) == everything
    assert sum(delivered.values()) == len(record)
    if not dead_letters:
        assert acked == everything
    if not duplicate:
        expected = {str(n) for n, failed in enumerate(failures) if failed >= 5 and dead_letters}
        assert (set(dead), len(dead)) == (expected, len(expected))
    if duplicate == 1.0 and not dead_letters:
        assert all(times >= 2 for times in delivered.values())


def test_reordering_shuffles_what_is_pending() -> None:
    orders = []
    for reorder in (None, random.Random(3)):
        with receiver(statuses(200)) as (url, seen):
            pubsub = PubSub(free_port(), VirtualClock(START), push_threads=1, reorder=reorder)
            pubsub.create_topic("raw-events")
            pubsub.create_subscription(SubscriptionSpec("raw-push", "raw-events", url))
            for _ in range(20):
                pubsub.publish("raw-events", b"x")
            pubsub.start()
            pubsub.wait_idle(PATIENCE)
            pubsub.stop()
            orders.append([int(body["message"]["messageId"]) for _, _, body in seen])
    assert orders[0] == sorted(orders[0])
    assert orders[1] != sorted(orders[1])
    assert sorted(orders[1]) == orders[0]


# The clock


def test_the_clock_moves_forward_only_and_tells_its_subscribers() -> None:
    clock = VirtualClock(datetime.fromisoformat("2025-06-05T04:10:00+02:00"))
    moments: list[datetime] = []
    clock.subscribe(moments.append)
    assert clock.now() == START
    assert clock.now().tzinfo is UTC
    clock.advance_to(START + timedelta(hours=1))
    assert moments == [clock.now()] == [START + timedelta(hours=1)]
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance_to(START)
    with pytest.raises(ValueError, match="no time zone"):
        clock.advance_to(datetime(2026, 1, 1))
