"""A stream of one's own: messages go by a topic into files, hours and a report.

The folder is `tests/system/toy_stream`, copied out of the repository: a message for each card that
is held to a ferry line's gate, cut into hours by the gate's clock. Each hour of the day shows one
thing that can befall a stream.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import grpc
import pytest

from catalog import object_names
from catalog.contract import Contract
from catalog.records import SplitRecord
from local_cloud.cli import trial
from local_cloud.cloud import LocalCloud
from local_cloud.pubsub.gcs_sink import encode
from local_cloud.pubsub.service import PublishRequestInfo, ReceivedMessage, RefusedError
from local_cloud.storage.server import EVENTS_TOPIC

pytestmark = pytest.mark.timeout(600)

DATASET, TOPIC = "ferry_taps", "stream-ferry-taps"
FOLDER = "toy_stream"
TEN, ELEVEN = "2025-06-07T10", "2025-06-07T11"


def at(clock: str) -> datetime:
    """A time of the day in question."""
    return datetime.fromisoformat(f"2025-06-07T{clock}:00").replace(tzinfo=UTC)


def tap(clock: str, gate: str, fare: int = 100) -> bytes:
    """A message of a tap."""
    told = {"tap": {"at": at(clock).isoformat(), "fare": fare}, "gate": gate}
    return json.dumps(told).encode()


@pytest.fixture(scope="module")
def ten(cloud: LocalCloud, root: Path) -> dict[str, Any]:
    """Ten o'clock's hour: a file, then one with a message twice, a bad and a late one."""
    cloud.scheduler.jump_to(at("10:04"))
    for message in sample(root):
        cloud.pubsub.publish(TOPIC, message, {"origin": "synthetic"})
    before_file = files(cloud)
    run_until(cloud, "10:20")
    first = files(cloud)
    cloud.pubsub.publish(TOPIC, tap("10:15", "south", 300))
    cloud.pubsub.publish(TOPIC, b"the gate is broken")
    cloud.pubsub.publish(TOPIC, tap("08:15", "south"))
    run_until(cloud, "10:40")
    write_again(cloud, first[0], "2025-06-07T10_36_00Z_again.avro")
    run_until(cloud, "11:09")
    open_hour = {"ledger": ledger(cloud), "batches": batches(cloud)}
    run_until(cloud, "11:37")
    return {
        "before_file": before_file, "first": first, "open_hour": open_hour,
        "ledger": ledger(cloud), "report": report(cloud),
    }  # fmt: skip


@pytest.fixture(scope="module")
def eleven(cloud: LocalCloud, ten: dict[str, Any]) -> dict[str, Any]:
    """Eleven o'clock's hour: two files, told of in the wrong order and twice, a third not at all."""
    with losing(cloud):
        for clock, gate in (("11:40", "north"), ("11:47", "south"), ("11:54", "west")):
            cloud.scheduler.jump_to(at(clock))
            cloud.pubsub.publish(TOPIC, tap(clock, gate))
        cloud.scheduler.jump_to(at("11:59"))
        cloud.settle()
    mine = [name for name in files(cloud) if "T11_" in name]
    untold = {"files": mine, "splits": splits(cloud)}
    for name in (mine[1], mine[0], mine[1]):
        notify(cloud, name)
        cloud.settle()
    run_until(cloud, "12:03")
    told = splits(cloud)
    run_until(cloud, "12:37")
    return {"untold": untold, "told": told, "ledger": ledger(cloud), "report": report(cloud)}


@pytest.fixture(scope="module")
def late(cloud: LocalCloud, eleven: dict[str, Any]) -> dict[str, Any]:
    """A message of eleven o'clock's hour that comes when it is loaded, and none too late."""
    cloud.pubsub.publish(TOPIC, tap("11:55", "north", 900))
    run_until(cloud, "13:07")
    return {"ledger": ledger(cloud), "report": report(cloud)}


@pytest.fixture(scope="module")
def replayed(cloud: LocalCloud, late: dict[str, Any]) -> dict[str, Any]:
    """A file's run, split again."""
    run = splits(cloud)[0]
    body = {"dataset": DATASET, "run": run, "replay": True}
    cloud.pubsub.publish("split", json.dumps(body).encode())
    cloud.pubsub.publish("ingest", json.dumps({"dataset": DATASET}).encode(), {"kind": "stream"})
    cloud.settle()
    run_until(cloud, "13:27")
    return {"run": run, "ledger": ledger(cloud), "report": report(cloud)}


def sample(root: Path) -> list[bytes]:
    """Return the sample's messages, as of two days later."""
    body = (root / "tests" / "data" / "ferry" / "taps.jsonl").read_bytes()
    return body.replace(b"2025-06-05", b"2025-06-07").splitlines()


def batches(cloud: LocalCloud) -> list[str]:
    """Return the names of the ferry's batches."""
    return [batch.name for batch in cloud.dataproc.batches() if "/ferry-" in batch.name]


def run_until(cloud: LocalCloud, clock: str) -> None:
    """Let everything of the ferry's, and the sweep, happen until then."""
    cloud.scheduler.run_until(at(clock), only=lambda name: "ferry" in name or name == "sweep")


def files(cloud: LocalCloud) -> list[str]:
    """Names of the stream's files, in order of time."""
    listed = cloud.bucket("raw").list_blobs(prefix=object_names.stream_folder(DATASET))
    return sorted(blob.name for blob in listed)


def splits(cloud: LocalCloud) -> list[str]:
    """The runs that have a split record."""
    listed = cloud.bucket("landing").list_blobs(prefix=f"splits/{DATASET}/")
    return sorted(object_names.split_of(blob.name)[1].run.name for blob in listed)


def write_again(cloud: LocalCloud, name: str, other: str) -> None:
    """Write the first message of a file into another one too, as Pub/Sub may."""
    told = next(fastavro.reader(io.BytesIO(cloud.read("raw", name) or b"")))
    message = ReceivedMessage(
        TOPIC, told["message_id"], told["publish_time"], told["data"], told["attributes"]
    )
    blob = cloud.bucket("raw").blob(object_names.stream_folder(DATASET) + other)
    blob.upload_from_string(encode(told["subscription_name"], [message]))
    cloud.settle()


@contextmanager
def losing(cloud: LocalCloud) -> Iterator[None]:
    """Lose every notification of the stream's files."""

    def lose(info: PublishRequestInfo) -> None:
        told = [attributes.get("objectId", "") for _, attributes in info.messages]
        if info.topic == EVENTS_TOPIC and any(name.startswith("streams/") for name in told):
            raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "made to be lost")

    cloud.pubsub.intercept = lose
    try:
        yield
    finally:
        cloud.pubsub.intercept = None


def notify(cloud: LocalCloud, name: str) -> None:
    """Send the message of a file that was made, as its bucket does."""
    blob = cloud.bucket("raw").get_blob(name)
    assert blob is not None, name
    attributes = {
        "bucketId": blob.bucket.name, "objectId": name,
        "objectGeneration": str(blob.generation), "eventType": "OBJECT_FINALIZE",
    }  # fmt: skip
    cloud.pubsub.publish("split", b"{}", attributes)


def ledger(cloud: LocalCloud) -> dict[str, dict[str, Any]]:
    """The ledger's rows by slot."""
    rows = cloud.rows(f"SELECT * FROM ops.loads WHERE dataset = '{DATASET}'")
    return {row["slot"]: row for row in rows}


def report(cloud: LocalCloud) -> dict[tuple[str, str], tuple[Any, ...]]:
    """(hour, gate) → fares, longest delay, sample size, origin, as published."""
    columns = ("fares_cents", "longest_delay_s", "sample_size", "origin")
    rows = cloud.rows("SELECT * FROM reports.rides_by_hour")
    return {(f"{r['hour']:%H}", r["gate"]): tuple(r[name] for name in columns) for r in rows}


def counts(row: dict[str, Any]) -> tuple[int, ...]:
    """Rows in, out, rejected, duplicates."""
    return tuple(row[name] for name in ("rows_in", "rows_out", "rejected", "duplicates"))


def test_pubsub_looks_at_the_bucket_and_creates_files_by_its_grants(
    cloud: LocalCloud, ten: dict[str, Any]
) -> None:
    assert ten["first"]
    used = {grant.name: asked for grant, asked in cloud.authority.used().items()}
    assert used["agent-raw-objectCreator"] == {"storage.objects.create"}
    assert used["agent-raw-legacyBucketReader"] == {"storage.buckets.get"}


def test_messages_wait_for_their_file(cloud: LocalCloud, ten: dict[str, Any]) -> None:
    assert ten["before_file"] == []
    [name] = ten["first"]
    assert name.startswith("streams/ferry_taps/2025-06-07T10_09_00Z_")
    assert name.endswith(".avro")


def test_an_hour_is_left_alone_until_its_grace_is_over(ten: dict[str, Any]) -> None:
    assert ten["open_hour"] == {"ledger": {}, "batches": []}


def test_a_doubled_message_counts_once(ten: dict[str, Any]) -> None:
    assert set(ten["ledger"]) == {TEN}
    row = ten["ledger"][TEN]
    assert counts(row) == (5, 4, 0, 1)
    assert row["version"].split(" ")[:2] == ["20250607T103600Z_again", "000003"]
    assert f"{row['newest']:%H:%M}" == "10:15"


def test_the_hour_is_reported_and_says_that_a_message_was_synthetic(ten: dict[str, Any]) -> None:
    assert ten["report"] == {
        ("10", "north"): (370, 180, 2, "synthetic"),
        ("10", "south"): (550, 300, 2, "synthetic"),
    }


def test_a_bad_and_a_late_message_are_named(cloud: LocalCloud, ten: dict[str, Any]) -> None:
    second = next(run for run in splits(cloud) if run.startswith("20250607T1025"))
    body = cloud.read("landing", f"splits/{DATASET}/{second}.json")
    record = SplitRecord.decode(body or b"")
    assert record.no_slot == {"later than late_until": 1, "not JSON": 1}
    kept = cloud.read("quarantine", record.quarantine or "") or b""
    assert {json.loads(line)["line"] for line in kept.splitlines()} == {2, 3}


def test_files_without_notice_wait_for_the_sweep(eleven: dict[str, Any]) -> None:
    assert len(eleven["untold"]["files"]) == 3
    assert not any("T11" in run for run in eleven["untold"]["splits"])
    assert sum("T11" in run for run in eleven["told"]) == 2
    assert counts(eleven["ledger"][ELEVEN]) == (3, 3, 0, 0)
    assert {key[1] for key in eleven["report"] if key[0] == "11"} == {"north", "south", "west"}


def test_a_late_message_comes_into_its_hour_and_no_other(
    eleven: dict[str, Any], late: dict[str, Any]
) -> None:
    assert counts(late["ledger"][ELEVEN]) == (4, 4, 0, 0)
    assert late["report"]["11", "north"][0] == 1_000
    assert late["ledger"][TEN] == eleven["ledger"][TEN]


def test_a_replay_gives_the_same_rows(late: dict[str, Any], replayed: dict[str, Any]) -> None:
    assert replayed["run"].startswith("20250607T100900Z_")
    assert replayed["report"] == late["report"]
    assert counts(replayed["ledger"][TEN]) == counts(late["ledger"][TEN])
    assert replayed["ledger"][TEN]["version"] > late["ledger"][TEN]["version"]


def test_a_stream_is_not_fetched(cloud: LocalCloud, replayed: dict[str, Any]) -> None:
    kept = [blob.name for blob in cloud.bucket("quarantine").list_blobs(prefix="messages/")]
    reasons = [json.loads(cloud.read("quarantine", name) or b"")["reason"] for name in kept]
    assert len(reasons) == 1, reasons
    assert "its messages come by the topic stream-ferry-taps" in reasons[0]


def test_files_of_it_can_be_tried(
    cloud: LocalCloud, contract: Contract, tmp_path: Path, replayed: dict[str, Any]
) -> None:
    """Lines become messages; a file that Pub/Sub wrote is taken as it is; a cut one is refused."""
    lines, cut = tmp_path / "taps.jsonl", tmp_path / "cut.avro"
    lines.write_bytes(b"\n".join([tap("15:01", "east"), tap("15:02", "east"), b"?"]))
    written = cloud.read("raw", files(cloud)[0]) or b""
    cut.write_bytes(written[:-10])
    given = [f"{lines}@2025-06-07T15:05", f"{cut}@2025-06-07T15:10"]
    runs = trial.timed([trial.parse(text) for text in given], cloud.clock.now())
    told = trial.try_files(cloud, contract, runs, [])["files"]
    assert [file["outcome"] for file in told] == ["accepted", "refused"]
    assert told[0]["slots"] == {
        "2025-06-07T15": {"rows_in": 2, "rows_out": 2, "duplicates": 0, "rejected": {}},
        "none": {"rows_in": 1, "rows_out": 0, "duplicates": 0, "rejected": {"not JSON": 1}},
    }
    assert "the Avro file is cut or broken" in told[1]["reason"]


def test_its_checks_ran_and_none_failed(cloud: LocalCloud, replayed: dict[str, Any]) -> None:
    runs = cloud.rows("SELECT * FROM ops.report_runs WHERE system = 'ferry'")
    assert {row["outcome"] for row in runs} == {"published"}
    assert all(run.ok for run in cloud.scheduler.runs)
    assert cloud.rows("SELECT * FROM ops.dead_letters") == []
