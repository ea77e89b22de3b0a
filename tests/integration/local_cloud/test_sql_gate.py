"""The gate with real servers behind it and real clients in front."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from google.api_core import exceptions
from google.cloud import bigquery, storage
from google.cloud.storage.retry import DEFAULT_RETRY

from local_cloud.bigquery.server import BigQueryServer
from local_cloud.clock import VirtualClock
from local_cloud.gateway.proxy import Call, Gate, Intervention, Phase
from local_cloud.iam.accounts import Accounts
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor
from local_cloud.pubsub.service import PubSub, ReceivedMessage
from local_cloud.storage.server import EVENTS_TOPIC, NotificationRouter, StorageServer

LOADER = "load@demo.iam.gserviceaccount.com"
QUICK = DEFAULT_RETRY.with_delay(initial=0.01, maximum=0.05, multiplier=2).with_timeout(10)


class Batches:
    """Dataproc in four lines."""

    def __init__(self) -> None:
        self.created: list[str] = []

    def handle(
        self, method: str, path: str, query: dict[str, str], body: bytes, account: str
    ) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            self.created.append(query["batchId"])
        return 200, {"method": method, "path": path, "account": account, "size": len(body)}


@dataclass(frozen=True)
class Cloud:
    gate: Gate
    pubsub: PubSub
    router: NotificationRouter
    storage: StorageServer
    bigquery: BigQueryServer
    batches: Batches
    accounts: Accounts


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    supervisor = Supervisor(folder)
    pubsub = PubSub(free_port(), VirtualClock(datetime(2025, 6, 5, tzinfo=UTC)))
    pubsub.start()
    pubsub.create_topic(EVENTS_TOPIC)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    files = StorageServer(supervisor, free_port(), gate_url=url, pubsub_endpoint=pubsub.endpoint)
    warehouse = BigQueryServer(supervisor, free_port(), free_port(), url, folder / "warehouse")
    batches = Batches()
    gate = Gate(port, storage=files.address, bigquery=warehouse.address, dataproc=batches)
    gate.start()
    files.start()
    warehouse.start()
    files.wait_ready()
    warehouse.wait_ready()
    for bucket in ("raw", "lake", "closed"):
        files.create_bucket(bucket)
    accounts = Accounts(folder / "keys", f"{gate.url}/token")
    router = NotificationRouter(pubsub)
    yield Cloud(gate, pubsub, router, files, warehouse, batches, accounts)
    gate.stop()
    supervisor.stop()
    pubsub.stop()


@pytest.fixture
def cloud(running: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud, with the environment that a function of account LOADER has."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(running.accounts.key_file(LOADER)))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
    for name, value in running.gate.environment().items():
        monkeypatch.setenv(name, value)
    running.gate.calls.clear()
    running.gate.record = True
    yield running
    running.gate.intercept = running.gate.grants = None


@pytest.fixture
def bucket(cloud: Cloud) -> storage.Bucket:
    return storage.Client().bucket("raw")


@pytest.fixture
def warehouse(cloud: Cloud) -> bigquery.Client:
    client = bigquery.Client()
    for name in ("lake", "staging", "ops"):
        client.create_dataset(name, exists_ok=True)
    return client


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


CHANGES = ("objects.compose", "objects.rewrite", "objects.delete")


def actions(cloud: Cloud) -> list[tuple[str, str]]:
    return [(call.action, call.name) for call in cloud.gate.calls]


def test_a_claim_is_won_once(cloud: Cloud, bucket: storage.Bucket) -> None:
    bucket.blob("runs/a.json").upload_from_string("first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("runs/a.json").upload_from_string("second", if_generation_match=0)
    assert bucket.blob("runs/a.json").download_as_bytes() == b"first"
    assert actions(cloud).count(("objects.insert", "raw/runs/a.json")) == 2
    assert {call.account for call in cloud.gate.calls if call.service == "storage"} == {LOADER}


def test_one_of_eight_wins_a_claim(bucket: storage.Bucket) -> None:
    def claim(number: int) -> int:
        try:
            bucket.blob("runs/race.json").upload_from_string(str(number), if_generation_match=0)
        except exceptions.PreconditionFailed:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 256 * 1024, 9_000_001])
def test_bytes_arrive_as_they_were_sent(bucket: storage.Bucket, size: int) -> None:
    body = noise(size)
    bucket.blob(f"one/{size}").upload_from_string(body)
    resumable = bucket.blob(f"many/{size}", chunk_size=1 << 20)
    with resumable.open("wb", ignore_flush=True) as sink:
        sink.write(body)
    assert bucket.blob(f"one/{size}").download_as_bytes(raw_download=True) == body
    assert bucket.blob(f"many/{size}").download_as_bytes() == body


def test_a_resumable_upload_is_one_insert(cloud: Cloud, bucket: storage.Bucket) -> None:
    with bucket.blob("parts/ä b.csv", chunk_size=1 << 20).open("wb", ignore_flush=True) as sink:
        sink.write(noise(3_500_000))
    seen = [action for action, name in actions(cloud) if name == "raw/parts/ä b.csv"]
    assert seen == ["uploads.start", *["uploads.chunk"] * 3, "objects.insert"]


def test_a_range_and_a_gzipped_object_come_whole(cloud: Cloud, bucket: storage.Bucket) -> None:
    text = b"id;name\n" * 4000
    blob = bucket.blob("zipped.csv")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(text))
    assert bucket.blob("zipped.csv").download_as_bytes() == text
    bucket.blob("plain").upload_from_string(text)
    assert bucket.blob("plain").download_as_bytes(start=8, end=14) == text[8:15]


def test_list_delete_compose_and_copy(cloud: Cloud, bucket: storage.Bucket) -> None:
    for name in ("x/1", "x/2", "y/1"):
        bucket.blob(name).upload_from_string(name)
    bucket.blob("x/all").compose([bucket.blob("x/1"), bucket.blob("x/2")])
    bucket.copy_blob(bucket.blob("x/all"), bucket, "x/copy")
    bucket.blob("x/1").delete()
    found = {blob.name: blob.download_as_bytes() for blob in bucket.list_blobs(prefix="x/")}
    assert found == {"x/2": b"x/2", "x/all": b"x/1x/2", "x/copy": b"x/1x/2"}
    changed = [seen for seen in actions(cloud) if seen[0] in CHANGES]
    assert changed == [
        ("objects.compose", "raw/x/all"),
        ("objects.rewrite", "raw/x/copy"),
        ("objects.delete", "raw/x/1"),
    ]


def test_an_upload_in_chunks_of_unknown_number(cloud: Cloud) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.gate.port, timeout=10)
    path = "/upload/storage/v1/b/raw/o?uploadType=media&name=chunked"
    blocks = [noise(size) for size in (1, 70_000, 300_000)]
    connection.request("POST", path, iter(blocks), encode_chunked=True)
    assert connection.getresponse().read()
    connection.request("GET", "/raw/chunked")
    assert connection.getresponse().read() == b"".join(blocks)


@pytest.mark.parametrize("reset", [False, True])
def test_half_an_upload_makes_no_object(cloud: Cloud, bucket: storage.Bucket, reset: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.gate.port, timeout=10)
    connection.putrequest("POST", "/upload/storage/v1/b/raw/o?uploadType=media&name=half")
    connection.putheader("Content-Length", "100000")
    connection.endheaders(noise(50_000))
    if reset:
        abort = struct.pack("ii", 1, 0)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abort)
    connection.close()
    bucket.blob("after").upload_from_string("x")
    assert not bucket.blob("half").exists()


def test_an_event_reaches_the_topics_that_asked(cloud: Cloud, bucket: storage.Bucket) -> None:
    got: list[ReceivedMessage] = []
    arrived = threading.Event()

    def keep(message: ReceivedMessage) -> None:
        got.append(message)
        arrived.set()

    cloud.pubsub.create_topic("split")
    cloud.pubsub.on_publish("split", keep)
    cloud.router.add("raw", "projects/demo/topics/split", "claims/", ["OBJECT_FINALIZE"])
    bucket.blob("data/z").upload_from_string("no")
    bucket.blob("claims/z.json").upload_from_string("{}")
    assert arrived.wait(10)
    bucket.blob("claims/z.json").delete()
    assert json.loads(got[0].data)["name"] == "claims/z.json"
    attributes = dict(got[0].attributes)
    assert int(attributes.pop("objectGeneration")) > 0
    assert attributes.pop("eventTime")
    assert attributes == {
        "bucketId": "raw",
        "objectId": "claims/z.json",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "notificationConfig": "projects/_/buckets/raw/notificationConfigs/1",
    }


def test_what_was_not_granted_is_forbidden(cloud: Cloud) -> None:
    cloud.gate.grants = lambda call: not call.name.startswith("closed/")
    client = storage.Client()
    with pytest.raises(exceptions.Forbidden, match=f"{LOADER} was not granted objects.insert"):
        client.bucket("closed").blob("x").upload_from_string("x")
    client.bucket("raw").blob("granted").upload_from_string("x")
    cloud.gate.grants = None
    assert not client.bucket("closed").blob("x").exists()


def once(phase: Phase, verdict: Intervention) -> Callable[[Call, Phase], Intervention]:
    """Give the verdict to the first call in a phase, and let the others pass."""
    left = [verdict]

    def intercept(call: Call, at: Phase) -> Intervention:
        return left.pop() if at is phase and left else Intervention.PASS

    return intercept


@pytest.mark.parametrize("resumable", [False, True])
@pytest.mark.parametrize(
    ("phase", "verdict", "error", "exists"),
    [
        (Phase.BEFORE, Intervention.REFUSE, exceptions.BadRequest, False),
        (Phase.AFTER, Intervention.REFUSE, exceptions.BadRequest, True),
        (Phase.BEFORE, Intervention.UNAVAILABLE, None, True),
        (Phase.AFTER, Intervention.UNAVAILABLE, None, True),
    ],
)
def test_a_crash_around_an_upload(
    cloud: Cloud,
    bucket: storage.Bucket,
    phase: Phase,
    verdict: Intervention,
    error: type[Exception] | None,
    exists: bool,
    resumable: bool,
) -> None:
    pieces = 256 << 10 if resumable else None
    blob = bucket.blob(f"crash/{phase.value}/{verdict.value}/{resumable}", chunk_size=pieces)

    def upload() -> None:
        if resumable:
            blob.upload_from_file(io.BytesIO(noise(600_000)), retry=QUICK)
        else:
            blob.upload_from_string(noise(600_000), retry=QUICK)

    cloud.gate.intercept = once(phase, verdict)
    if error:
        with pytest.raises(error, match=r"made to crash: objects\.insert"):
            upload()
    else:
        upload()
    cloud.gate.intercept = None
    assert blob.exists() is exists
    if exists:
        assert blob.download_as_bytes() == noise(600_000)


def test_a_lost_reply_to_a_claim_shows_as_taken(cloud: Cloud, bucket: storage.Bucket) -> None:
    cloud.gate.intercept = once(Phase.AFTER, Intervention.UNAVAILABLE)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("runs/lost").upload_from_string("x", if_generation_match=0, retry=QUICK)
    assert bucket.blob("runs/lost").download_as_bytes() == b"x"


def test_a_crash_around_a_job(cloud: Cloud, warehouse: bigquery.Client) -> None:
    warehouse.query_and_wait("CREATE OR REPLACE TABLE ops.crash (a INT64)")
    for phase, rows in ((Phase.BEFORE, 0), (Phase.AFTER, 1)):
        cloud.gate.intercept = once(phase, Intervention.REFUSE)
        with pytest.raises(exceptions.BadRequest, match=r"made to crash: jobs\.insert one_"):
            warehouse.query(
                "INSERT INTO ops.crash (a) VALUES (1)",
                job_id=f"one_{phase.value}",
                job_retry=None,
            )
        cloud.gate.intercept = None
        if rows:
            warehouse.get_job(f"one_{phase.value}").result()
        found = warehouse.query_and_wait("SELECT COUNT(*) AS n FROM ops.crash")
        assert [row.n for row in found] == [rows]


def test_batches_are_answered_here(cloud: Cloud) -> None:
    path = "/v1/projects/demo/locations/europe-west9/batches?batchId=wifi-a1"
    for phase, batches in ((Phase.BEFORE, []), (Phase.AFTER, ["wifi-a1"])):
        cloud.gate.intercept = once(phase, Intervention.REFUSE)
        with closing(
            http.client.HTTPConnection("127.0.0.1", cloud.gate.port, timeout=10)
        ) as connection:
            connection.request("POST", path, b"{}")
            reply = connection.getresponse()
            assert reply.status == 400
            assert json.loads(reply.read())["error"]["errors"][0]["reason"] == "crashed"
        assert cloud.batches.created == batches
    with closing(
        http.client.HTTPConnection("127.0.0.1", cloud.gate.port, timeout=10)
    ) as connection:
        connection.request("GET", path.replace("?batchId=", "/"))
        assert json.loads(connection.getresponse().read())["path"].endswith("/batches/wifi-a1")
    assert ("batches.create", "wifi-a1") in actions(cloud)


SCHEMA = [
    bigquery.SchemaField("slot_start", "DATE", "REQUIRED"),
    bigquery.SchemaField("site", "STRING"),
    bigquery.SchemaField("sessions", "INT64"),
]


def lake_file(*rows: tuple[date, str, int]) -> bytes:
    columns = pa.schema(
        [("slot_start", pa.date32()), ("site", pa.string()), ("sessions", pa.int64())]
    )
    names = ("slot_start", "site", "sessions")
    records = [dict(zip(names, row, strict=True)) for row in rows]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records, schema=columns), sink, compression="zstd")
    return sink.getvalue()


def test_parquet_is_loaded_through_the_gate(cloud: Cloud, warehouse: bigquery.Client) -> None:
    lake = storage.Client().bucket("lake")
    names = []
    for month in (5, 6):
        names.append(f"wifi/m1-a1/slot=2024-0{month}/part-0.zstd.parquet")
        row = (date(2024, month, 1), "A", month)
        lake.blob(names[-1]).upload_from_string(lake_file(row))
    job = warehouse.load_table_from_uri(
        [f"gs://lake/{name}" for name in names],
        "demo.staging.wifi_m1",
        job_id="wifi_m1_load",
        job_config=bigquery.LoadJobConfig(
            schema=SCHEMA, source_format="PARQUET", write_disposition="WRITE_TRUNCATE"
        ),
    )
    assert job.result().output_rows == 2
    rows = warehouse.query_and_wait("SELECT * FROM staging.wifi_m1 ORDER BY slot_start")
    assert [dict(row) for row in rows] == [
        {"slot_start": date(2024, month, 1), "site": "A", "sessions": month} for month in (5, 6)
    ]
    inserts = [call for call in cloud.gate.calls if call.name == "wifi_m1_load"]
    assert inserts[0].action == "jobs.insert"
    assert inserts[0].account == LOADER
    read = {name for action, name in actions(cloud) if action == "objects.get"}
    assert {f"lake/{name}" for name in names} <= read


def test_a_script_swaps_or_changes_nothing(warehouse: bigquery.Client) -> None:
    warehouse.query_and_wait(
        "CREATE OR REPLACE TABLE ops.swap (slot STRING, run STRING);"
        "INSERT INTO ops.swap VALUES ('2024-05', 'a'), ('2024-06', 'a')"
    )
    script = """
        BEGIN TRANSACTION;
        DELETE FROM ops.swap WHERE slot IN (SELECT JSON_VALUE(s, '$.slot')
          FROM UNNEST(JSON_QUERY_ARRAY(@slots)) AS s);
        INSERT INTO ops.swap (slot, run) SELECT JSON_VALUE(s, '$.slot'), @run
          FROM UNNEST(JSON_QUERY_ARRAY(@slots)) AS s;
        IF @run = 'bad' THEN RAISE USING MESSAGE = 'no good'; END IF;
        COMMIT TRANSACTION;
    """

    def swap(run: str) -> None:
        slots = json.dumps([{"slot": "2024-05"}])
        parameters = [
            bigquery.ScalarQueryParameter("run", "STRING", run),
            bigquery.ScalarQueryParameter("slots", "STRING", slots),
        ]
        config = bigquery.QueryJobConfig(query_parameters=parameters)
        warehouse.query(script, job_config=config).result()

    swap("b")
    with pytest.raises(exceptions.BadRequest, match="no good"):
        swap("bad")
    rows = warehouse.query_and_wait("SELECT slot, run FROM ops.swap ORDER BY slot")
    assert [tuple(row.values()) for row in rows] == [("2024-05", "b"), ("2024-06", "a")]


def test_rows_inserted_and_a_file_loaded_from_here(
    cloud: Cloud, warehouse: bigquery.Client
) -> None:
    table = bigquery.Table("demo.ops.rows", SCHEMA)
    warehouse.create_table(table)
    rows = [{"slot_start": "2024-05-01", "site": "A", "sessions": 1}]
    assert warehouse.insert_rows_json("demo.ops.rows", rows) == []
    body = lake_file(*[(date(2024, 5, 1), "B", 2)] * 3)
    warehouse.load_table_from_file(
        io.BytesIO(body),
        "demo.ops.rows",
        job_config=bigquery.LoadJobConfig(source_format="PARQUET"),
    ).result()
    found = list(warehouse.query_and_wait("SELECT COUNT(*) AS n FROM ops.rows"))
    assert found[0].n == 4
    warehouse.delete_table("demo.ops.rows")
    changes = [seen for seen in actions(cloud) if seen[1] == "ops.rows"]
    assert [action for action, _ in changes if action != "bigquery.other"] == [
        "tables.insert",
        "tabledata.insertAll",
        "tables.delete",
    ]


def test_a_connection_to_the_gate_is_one_to_the_server(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.Client().bucket("raw").blob("small").upload_from_string("x" * 100)
    opened: list[tuple[int, socket.socket]] = []

    def open_one(*arguments: Any) -> socket.socket:
        opened_socket = created(*arguments)
        if tuple(arguments[0]) == cloud.gate.upstream("storage"):  # others connect elsewhere
            opened.append((threading.get_ident(), opened_socket))
        return opened_socket

    created = socket.create_connection
    wire = http.client.HTTPConnection("127.0.0.1", cloud.gate.port, timeout=10)
    wire.connect()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "create_connection", open_one)
        for _ in range(20):
            wire.request("GET", "/storage/v1/b/raw/o/small?alt=media")
            assert wire.getresponse().read() == b"x" * 100
        # A reply in two segments would wait for the first one's acknowledgement, 40 ms a call.
        options = {each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for _, each in opened}
    wire.close()
    # The gate has a thread for each connection to it; clients of other tests may have some too.
    assert set(Counter(thread for thread, _ in opened).values()) == {1}
    assert options == {1}


def test_nothing_leaves_the_local_cloud(cloud: Cloud, bucket: storage.Bucket) -> None:
    bucket.exists()
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://iamcredentials.googleapis.com/v1/x", timeout=5)
    outside = [call for call in cloud.gate.calls if call.service == "outside"]
    assert {call.name for call in outside} == {"iamcredentials.googleapis.com:443"}


def test_a_server_that_is_gone_is_named(tmp_path: Path) -> None:
    gate = Gate(free_port(), storage=("127.0.0.1", free_port()))
    gate.start()
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=10)
    for path, code, text in (
        ("/storage/v1/b/raw/o/x", 503, "storage does not answer"),
        ("/bigquery/v2/projects", 501, "has no bigquery"),
        ("/v1/projects/demo/locations/x/batches", 501, "has no Dataproc"),
    ):
        connection.request("GET", path)
        reply = connection.getresponse()
        assert reply.status == code
        assert text in json.loads(reply.read())["error"]["message"]
    gate.stop()


def test_a_call_is_a_value() -> None:
    call = Call(LOADER, "storage", "PUT", "/x/y", "x/y", b"", "objects.insert")
    assert call == replace(call)
    assert call.mutating
    assert not replace(call, action="objects.get").mutating


@pytest.mark.parametrize("count", [1, 2, 4, 10, 1000])
@pytest.mark.parametrize("values", [[7], [3, 1, 2], [5, 5, 1, 9, 2, 2], list(range(100, 0, -3))])
def test_quantiles_are_values_of_their_rank(
    warehouse: bigquery.Client, values: list[int], count: int
) -> None:
    listed = ", ".join(map(str, values))
    found = warehouse.query_and_wait(
        f"SELECT APPROX_QUANTILES(x, {count} IGNORE NULLS) AS q FROM UNNEST([{listed}, NULL]) AS x"
    )
    ranks = [max(1, -(-at * len(values) // count)) for at in range(count + 1)]
    assert [row["q"] for row in found] == [[sorted(values)[rank - 1] for rank in ranks]]


def test_quantiles_of_nothing_are_null(warehouse: bigquery.Client) -> None:
    sql = "SELECT APPROX_QUANTILES(x, 2)[SAFE_OFFSET(1)] AS q FROM UNNEST([1]) AS x WHERE x > 1"
    assert [row["q"] for row in warehouse.query_and_wait(sql)] == [None]
