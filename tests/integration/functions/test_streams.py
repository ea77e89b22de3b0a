"""A stream's files through the step `split`, on the real storage server."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import object_names
from catalog.contract import Contract, load
from catalog.records import Origin, Outcome, SplitRecord
from catalog.runs import Run
from catalog.versions import revision
from functions.core import gcs
from functions.core.errors import PermanentError
from functions.core.message import Message
from functions.download import step as download
from functions.parsing.file_reader import FileReader
from functions.parsing.header import RunRefusedError
from functions.seal import slot_contents
from local_cloud.pubsub.gcs_sink import encode
from local_cloud.pubsub.service import ReceivedMessage
from tests.support.split_cloud import Desk, changed, use

TOY = Path(__file__).parents[2] / "system" / "toy_stream"
TAPS = load(TOY / "catalog" / "datasets" / "ferry_taps.toml")
TEN = datetime(2025, 6, 5, 10, tzinfo=UTC)
SLOT, NEXT = "2025-06-05T10", "2025-06-05T11"


def tap(minute: float = 1, gate: str = "north", **more: Any) -> dict[str, Any]:
    """A tap so many minutes after ten."""
    return {"tap": {"at": (TEN + timedelta(minutes=minute)).isoformat(), "fare": 250},
            "gate": gate, **more}  # fmt: skip


def avro(*bodies: Any, attributes: Mapping[str, str] | None = None, first: int = 1) -> bytes:
    """A file of these messages, numbered from `first`, published at ten."""
    made = [
        ReceivedMessage(
            "taps", str(number), TEN, body if isinstance(body, bytes) else json.dumps(body).encode(),
            attributes or {},
        )
        for number, body in enumerate(bodies, start=first)
    ]  # fmt: skip
    return encode("projects/demo/subscriptions/stream-ferry-taps-to-raw", made)


class Stream:
    """The desk with the toy stream on it."""

    def __init__(self, desk: Desk, contract: Contract = TAPS) -> None:
        self.desk = desk
        self.contract = contract

    def file(self, body: bytes, minute: float = 5, uuid: str = "uN1QuE") -> str:
        """Put a file into raw, named for so many minutes after ten; its object's name."""
        run = Run.of_file(TEN + timedelta(minutes=minute), uuid)
        name = object_names.stream_file(self.contract.dataset, run)
        self.desk.zones.raw.blob(name).upload_from_string(body)
        return name

    def split(self, name: str) -> SplitRecord:
        """Tell `split` of a file."""
        self.desk.handle({"objectId": name, "eventType": "OBJECT_FINALIZE"})
        return self.record(name)

    def record(self, name: str, replay: int = 0) -> SplitRecord:
        """The record of the run that a file is."""
        return self.desk.record(self.contract, object_names.stream_file_of(name)[1], replay)

    def taken(self, *bodies: Any, **options: Any) -> SplitRecord:
        """The record of one file of these messages."""
        return self.split(self.file(avro(*bodies, **options)))

    def rows(self, record: SplitRecord) -> list[dict[str, Any]]:
        """The rows of all its parts, in order of slot."""
        return [row for part in record.parts for row in self.desk.rows(part)]


@pytest.fixture
def stream(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Stream:
    use(monkeypatch, TAPS)
    return Stream(desk)


def test_messages_become_rows_of_the_slots_of_their_events(stream: Stream) -> None:
    record = stream.taken(tap(1), tap(61, "south"), tap(2))
    assert (record.outcome, record.rows_in) == (Outcome.ACCEPTED, 3)
    assert {part.slot: part.rows for part in record.parts} == {SLOT: 2, NEXT: 1}
    assert stream.rows(record)[0] == {
        "message_id": "1", "published_at": "2025-06-05T10:00:00+00:00",
        "tapped_at": "2025-06-05T10:01:00+00:00", "gate": "north", "fare_cents": "250",
        "run": "20250605T100500Z_uN1QuE", "line": 1,
    }  # fmt: skip
    assert [row["line"] for row in stream.rows(record)] == [1, 3, 2]
    assert stream.desk.names("landing", "dirty/") == [
        f"dirty/ferry_taps/{slot}/20250605T100500Z_uN1QuE" for slot in (SLOT, NEXT)
    ]
    assert stream.desk.clients.published == [], "a stream's slots wait for their grace"


def test_the_record_says_which_bytes_were_read(stream: Stream) -> None:
    name = stream.file(avro(tap()))
    blob = stream.desk.zones.raw.get_blob(name)
    [report] = stream.split(name).files
    assert blob is not None
    assert (report.object, report.generation) == (name, blob.generation)
    assert len(report.sha256) == 64
    assert (report.shape, report.encoding) == ("messages", "utf-8")
    assert report.aliases["tapped_at"] == "tap.at"
    assert report.unknown_columns == {}


BAD_MESSAGES = [
    (b"tap!", "not JSON"),
    (b"", "not JSON"),
    (b'{"gate": "north"', "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b"[1]", "not an object"),
    (b'{"gate": "\xff"}', "bytes that are not of the encoding"),
    (b'{"gate": "\\u0000"}', "a NUL byte"),
    (json.dumps(tap(gate="")).encode(), "gate: empty"),
    (json.dumps(tap() | {"tap": {"at": "soon"}}).encode(), "tapped_at: not a timestamp"),
    (json.dumps(tap(60 * 24 * 3)).encode(), "tapped_at: in the future"),
    (json.dumps(tap(-120)).encode(), "later than late_until"),
]


@pytest.mark.parametrize(("body", "reason"), BAD_MESSAGES, ids=[r for _, r in BAD_MESSAGES])
def test_a_bad_message_goes_to_quarantine(stream: Stream, body: bytes, reason: str) -> None:
    record = stream.taken(tap(), body, tap())
    assert record.outcome is Outcome.ACCEPTED, record.reason
    [reject] = stream.desk.rejects(record)
    assert (reject["line"], reject["reason"]) == (2, reason)
    assert [row["line"] for row in stream.rows(record)] == [1, 3]


def test_late_messages_do_not_take_the_others_with_them(stream: Stream) -> None:
    record = stream.taken(tap(), *(tap(-120) for _ in range(50)))
    assert (record.outcome, record.no_slot) == (Outcome.ACCEPTED, {"later than late_until": 50})
    assert len(stream.rows(record)) == 1


def test_late_messages_are_not_named_as_what_refused_a_file(stream: Stream) -> None:
    record = stream.taken(tap(), b"?", b"?", *(tap(-120) for _ in range(50)))
    assert record.outcome is Outcome.REFUSED
    assert "not JSON (2); see" in (record.reason or "")
    assert "late" not in (record.reason or "").removeprefix(record.dataset)


def test_a_file_of_bad_messages_is_refused(stream: Stream) -> None:
    record = stream.taken(tap(), b"?", b"?")
    assert record.outcome is Outcome.REFUSED
    assert "2 of 3 rows are rejected, more than the contract allows" in (record.reason or "")
    assert len(stream.desk.rejects(record)) == 2
    assert stream.desk.names("landing", "parts/") == []


def test_an_unknown_field_is_reported_and_pubsubs_own_are_not(stream: Stream) -> None:
    record = stream.taken(tap(colour="red", message_id="mine"))
    assert record.files[0].unknown_columns == {"colour": "red", "message_id": "mine"}
    assert stream.rows(record)[0]["message_id"] == "1"


def test_a_message_cannot_give_itself_an_id(stream: Stream) -> None:
    forged = tap() | {"@message_id": "99", "@publish_time": "2020-01-01"}
    [row] = stream.rows(stream.taken(forged))
    assert (row["message_id"], row["published_at"][:4]) == ("1", "2025")


def cut(size: int) -> bytes:
    """The beginning of a file of twenty messages; of a negative size, all but so many bytes."""
    return avro(*(tap(minute) for minute in range(20)))[:size]


def schemaed(kind: str, **record: Any) -> bytes:
    """A file of one record of another schema."""
    target = io.BytesIO()
    fields = [{"name": name, "type": kind} for name in record]
    fastavro.writer(target, {"type": "record", "name": "x", "fields": fields}, [record])
    return target.getvalue()


BAD_FILES = [
    (b"", "is cut or broken after 0 messages"),
    (b'{"gate": "north"}', "is cut or broken after 0 messages"),
    (b"<html>", "is cut or broken after 0 messages"),
    (cut(3), "is cut or broken after 0 messages"),
    (cut(200), "is cut or broken after 0 messages"),
    (cut(-1), "is cut or broken after"),
    (cut(-16), "is cut or broken after"),
    (cut(-30), "is cut or broken after"),
    (avro(), "the file has 0 rows of data"),
    (schemaed("string", data="x"), "no messages with metadata"),
    (schemaed("bytes", data=b"{}"), "required field `message_id`"),
    (avro({"gate": "x"}, {"gate": "y"}), 'column "tap.at" (tapped_at) is missing'),
]


@pytest.mark.parametrize(("body", "said"), BAD_FILES, ids=[str(n) for n in range(len(BAD_FILES))])
def test_a_bad_file_is_a_refused_run(stream: Stream, body: bytes, said: str) -> None:
    record = stream.split(stream.file(body))
    assert record.outcome is Outcome.REFUSED
    assert said in (record.reason or "")
    assert "ferry_taps 20250605T100500Z_uN1QuE 2025-06-05T10_05_00Z_uN1QuE.avro" in (
        record.reason or ""
    )
    assert stream.desk.names("landing", "parts/") == []


def test_a_file_over_the_bounds_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    small = changed(TAPS, bounds__bytes_max=600)
    use(monkeypatch, small)
    record = Stream(desk, small).taken(*(tap(minute) for minute in range(10)))
    assert "over the 600 bytes of the contract" in (record.reason or "")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 3_000), st.integers(0, 255))
def test_no_broken_byte_is_an_error_of_ours(at: int, value: int) -> None:
    body = bytearray(avro(*(tap(minute) for minute in range(20))))
    body[at % len(body)] = value
    batches = []
    with suppress(RunRefusedError), ThreadPoolExecutor(1) as pool:
        batches = list(FileReader("o", "there", TAPS, pool).batches(iter([bytes(body)])))
    assert sum(len(batch.lines) + len(batch.broken) for batch in batches) in (0, 20)


ORIGINS = [
    (Origin.PUBLISHER, None, Origin.PUBLISHER),
    (Origin.PUBLISHER, "sample", Origin.SAMPLE),
    (Origin.SAMPLE, "synthetic", Origin.SYNTHETIC),
    (Origin.SAMPLE, "publisher", Origin.SAMPLE),
]


@pytest.mark.parametrize(("stack", "told", "origin"), ORIGINS)
def test_a_message_can_make_the_origin_worse_never_better(
    stream: Stream, stack: Origin, told: str | None, origin: Origin
) -> None:
    settings = stream.desk.settings
    object.__setattr__(settings, "origins", {"*": stack})
    attributes = {"origin": told} if told else {}
    assert stream.taken(tap(), attributes=attributes).origin is origin


def test_an_origin_that_is_none_is_a_bad_message(stream: Stream) -> None:
    record = stream.taken(tap(), attributes={"origin": "heaven"})
    [reject] = stream.desk.rejects(record)
    assert reject["reason"] == "origin: not one of publisher, sample, synthetic"


def test_a_doubled_notification_is_the_same_run(stream: Stream) -> None:
    name = stream.file(avro(tap()))
    first = stream.split(name)
    events = stream.desk.handle({"objectId": name, "eventType": "OBJECT_FINALIZE"})
    assert [event.outcome for event in events] == ["done already"]
    assert stream.record(name) == first
    assert len(stream.desk.names("landing", "parts/")) == 1


def test_a_replay_splits_the_file_again(stream: Stream) -> None:
    name = stream.file(avro(tap()))
    first = stream.split(name)
    body = {"dataset": "ferry_taps", "run": first.run, "replay": 7}
    stream.desk.handle({}, body)
    assert stream.record(name, 7).parts[0].hash == first.parts[0].hash
    assert len(stream.desk.names("landing", "splits/")) == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0, 1)])
def test_files_in_any_order_come_to_the_same_slot(stream: Stream, order: tuple[int, ...]) -> None:
    files = [
        stream.file(avro(tap(n), tap(n + 1), first=n), minute=5 * n, uuid=f"f{n}")
        for n in (1, 2, 3)
    ]
    for at in order:
        stream.split(files[at])
    content = slot_contents.contents(stream.desk.zones.landing, TAPS, {SLOT: 0})[SLOT]
    assert content is not None
    assert content.parts.version == "20250605T101500Z_f3 000003 00000000000000"
    assert content.parts.rows_in == 6
    tried = [uri.rpartition("/")[2].partition(".")[0] for uri in content.parts.parts]
    assert tried == [f"20250605T10{5 * n:02d}00Z_f{n}" for n in (1, 2, 3)]
    hashes = [stream.record(file).parts[0].hash for file in files]
    assert content.parts.revision == revision(hashes)


NO_RUNS = [
    ({"objectId": "streams/ferry_taps/notes.txt"}, None, "is no run"),
    ({"objectId": "data/ferry_taps/x"}, None, "split reads runs/ and streams/ only"),
    ({}, {"dataset": "ferry_taps", "run": "20250605T100500Z"}, "name it as split records do"),
    ({}, {"dataset": "ferry_taps", "run": "20250605T100500Z_gone"}, "is not in raw"),
]


@pytest.mark.parametrize(("attributes", "body", "said"), NO_RUNS)
def test_what_is_no_file_of_the_stream_is_refused_for_good(
    stream: Stream, attributes: dict[str, str], body: Any, said: str
) -> None:
    with pytest.raises(PermanentError, match=said):
        stream.desk.handle(attributes, body)


def test_a_file_where_there_is_no_stream_is_refused_for_good(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, changed(TAPS, kind="full_export"))
    stream = Stream(desk)
    with pytest.raises(PermanentError, match="correct kind in the contract"):
        stream.split(stream.file(avro(tap())))


def test_a_retired_streams_late_files_are_acknowledged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, changed(TAPS, retired=True))
    name = Stream(desk).file(avro(tap()))
    events = desk.handle({"objectId": name, "eventType": "OBJECT_FINALIZE"})
    assert [event.outcome for event in events] == ["retired"]
    assert not gcs.exists(
        desk.zones.landing,
        object_names.split_record(
            "ferry_taps", object_names.SplitKey(Run("20250605T100500Z_uN1QuE"))
        ),
    )


def test_a_stream_is_not_fetched(stream: Stream) -> None:
    message = Message(data=b'{"dataset": "ferry_taps"}', attributes={}, published=TEN, id="1")
    with pytest.raises(PermanentError, match="messages come by the topic stream-ferry-taps"):
        list(download.run(message, stream.desk.clients, stream.desk.settings))
