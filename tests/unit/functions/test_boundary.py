"""Telemetry cannot stop a step: whatever becomes of its events, the step is acknowledged."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cloudevents.http import CloudEvent

from catalog.records import Event
from functions.core import clients, handler, telemetry
from functions.core.clients import Clients
from functions.core.errors import UnknownSlotError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.strays import parse_names

NOW = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)
SETTINGS = Settings(
    project="p", region="r", raw="raw", landing="landing", lake="lake", quarantine="quarantine"
)


class Publisher:
    """Pub/Sub's client as far as a step uses it: `answer` gives a future or raises."""

    def __init__(self, answer: Callable[[], Future[str]]) -> None:
        self.answer = answer
        self.rows: list[dict[str, Any]] = []

    def publish(self, path: str, data: bytes, **attributes: str) -> Future[str]:
        assert path == "projects/p/topics/events"
        self.rows.append(json.loads(data))
        return self.answer()


class EventClients(Clients):
    """Clients of which only the publisher is there."""

    def __init__(self, answer: Callable[[], Future[str]]) -> None:
        super().__init__(SETTINGS)
        self.publisher = Publisher(answer)


def accept() -> Future[str]:
    future: Future[str] = Future()
    future.set_result("1")
    return future


def deny() -> Future[str]:
    future: Future[str] = Future()
    future.set_exception(PermissionError("403 events"))
    return future


def stay_silent() -> Future[str]:
    return Future()


def refuse_at_once() -> Future[str]:
    raise RuntimeError("the channel is closed")


def delivered() -> CloudEvent:
    about = {"id": "e1", "source": "toy", "type": "google.cloud.pubsub.topic.v1.messagePublished"}
    return CloudEvent(about, {"message": {"publishTime": NOW.isoformat(), "messageId": "m1"}})


class Handled:
    """A step of some events, run by the boundary."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Future[str]]) -> None:
        self.clients = EventClients(answer)
        self.over = False
        self.rows_during_work = -1
        monkeypatch.setattr(handler, "clients", lambda: self.clients)
        monkeypatch.setattr(handler, "settings", lambda: SETTINGS)

    def run(self, count: int = 2, error: Exception | None = None) -> None:
        def step(message: Message, _: Clients, __: Settings) -> Iterator[Event]:
            for number in range(count):
                yield telemetry.event("load", message, "loaded", subject=str(number))
            self.rows_during_work = len(self.clients.publisher.rows)
            if error:
                raise error
            self.over = True

        handler.handle("load", delivered(), step)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (deny, "PermissionError: 403 events"),
        (stay_silent, "TimeoutError: no answer in 0 s"),
        (refuse_at_once, "RuntimeError: the channel is closed"),
    ],
)
def test_a_step_whose_events_are_lost_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: Callable[[], Future[str]],
    fault: str,
) -> None:
    monkeypatch.setattr(clients, "EVENTS_SECONDS", 0.0)
    handled = Handled(monkeypatch, answer)
    handled.run()
    assert handled.over
    *events, lost = lines(capsys)
    assert [each["outcome"] for each in events] == ["loaded", "loaded"]
    assert (lost["step"], lost["outcome"], lost["severity"]) == ("load", "events lost", "WARNING")
    assert "2 of 2 events were not published" in lost["message"]
    assert fault in lost["message"]


def test_clients_that_cannot_be_made_stop_no_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Clients):
        @property
        def publisher(self) -> Any:
            raise OSError("no credentials")

    handled = Handled(monkeypatch, accept)
    broken = Broken(SETTINGS)
    monkeypatch.setattr(handled.clients, "publish_events", broken.publish_events)
    handled.run()
    assert handled.over
    assert "OSError: no credentials" in lines(capsys)[-1]["message"]


def test_events_are_published_after_the_work_with_one_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits: list[int] = []

    def wait(futures: list[Future[str]], timeout: float) -> Any:
        waits.append(len(futures))
        assert timeout == clients.EVENTS_SECONDS
        return concurrent.futures.wait(futures, timeout)

    monkeypatch.setattr(clients, "wait", wait)
    handled = Handled(monkeypatch, accept)
    handled.run(1000)
    assert waits == [1000]
    assert handled.rows_during_work == 0
    assert len(handled.clients.publisher.rows) == len(lines(capsys)) == 1000


def test_a_step_that_fails_publishes_what_it_reported_and_raises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handled = Handled(monkeypatch, accept)
    with pytest.raises(OSError, match="gone"):
        handled.run(error=OSError("gone"))
    assert [row["outcome"] for row in handled.clients.publisher.rows] == ["loaded", "loaded"]
    assert [line["outcome"] for line in lines(capsys)] == ["loaded", "loaded", "failed"]


@pytest.mark.parametrize(("count", "more"), [(20, []), (21, ["1 more"]), (5000, ["4980 more"])])
def test_many_skipped_objects_are_counted(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
    more: list[str],
) -> None:
    """One unknown slot among them has its line: many strays do not hide it."""
    bucket: Any = SimpleNamespace(name="landing")

    def parse(name: str) -> int:
        if name == "slot":
            raise UnknownSlotError("no day")
        return int(name)

    def step(*_: object) -> Iterable[Event]:
        assert list(parse_names(bucket, [*(f"x{n}" for n in range(count)), "slot"], parse)) == []
        return []

    handled = Handled(monkeypatch, accept)
    handler.handle("seal", delivered(), step)
    slot, *strays = lines(capsys)
    assert (slot["outcome"], slot["object"]) == ("unknown slot", "gs://landing/slot")
    assert {line["outcome"] for line in strays} == {"stray"}
    assert [line["object"] for line in strays[:20]] == [f"gs://landing/x{n}" for n in range(20)]
    assert [
        line["message"][: len(text)] for line, text in zip(strays[20:], more, strict=True)
    ] == more
    assert len({row["event_id"] for row in handled.clients.publisher.rows}) == 21 + len(more)


def test_a_stray_is_reported_once_a_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket: Any = SimpleNamespace(name="landing")

    def step(*_: object) -> Iterable[Event]:
        for _again in range(2):
            assert list(parse_names(bucket, ["3", "dirty/x/"], int)) == [("3", 3)]
        return []

    handled = Handled(monkeypatch, accept)
    for _call in range(2):
        handler.handle("seal", delivered(), step)
        (line,) = lines(capsys)
        assert (line["step"], line["outcome"], line["severity"]) == ("seal", "stray", "WARNING")
        assert line["object"] == "gs://landing/dirty/x/"
        assert line["message"].startswith("gs://landing/dirty/x/ was skipped")
        assert line["message"].endswith("delete it")
    assert [row["outcome"] for row in handled.clients.publisher.rows] == ["stray", "stray"]
