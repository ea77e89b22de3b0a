"""The Dataproc stand-in through Google's own REST client, with a runner that only pretends."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.dataproc_v1 import (
    Batch,
    BatchControllerClient,
    CreateBatchRequest,
    ListBatchesRequest,
)

from local_cloud.clock import VirtualClock
from local_cloud.dataproc.filter import BadFilterError, parse_filter
from local_cloud.dataproc.service import QUOTA_TEXT, Dataproc
from local_cloud.dataproc.session import SparkFailedError
from local_cloud.dataproc.worker import BatchRequest, BatchResult

PARENT = "projects/demo/locations/europe-west1"
START = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)
JOB = {"pyspark_batch": {"main_python_file_uri": "gs://code/wifi.py"}}


@dataclass
class PretendRunner:
    """Holds each batch until `go` is set, then ends it as its first argument says."""

    go: threading.Event = field(default_factory=threading.Event)
    ran: list[tuple[BatchRequest, float | None]] = field(default_factory=list)

    def run(self, batch: BatchRequest, timeout: float | None = None) -> BatchResult:
        self.ran.append((batch, timeout))
        if not self.go.wait(10):
            raise TimeoutError("the test never let the batch go")
        if batch.args == ("no session",):
            raise SparkFailedError("Spark could not be started")
        state = batch.args[0] if batch.args else "SUCCEEDED"
        return BatchResult(batch.batch_id, state, "" if state == "SUCCEEDED" else "why", 2.5)


@dataclass(frozen=True)
class Cloud:
    dataproc: Dataproc
    runner: PretendRunner
    clock: VirtualClock
    client: BatchControllerClient

    def create(self, batch_id: str, batch: dict[str, Any] = JOB, request_id: str = "") -> Any:
        request = CreateBatchRequest(
            parent=PARENT, batch=Batch(batch), batch_id=batch_id, request_id=request_id
        )
        return self.client.create_batch(request, retry=None)

    def get(self, batch_id: str) -> Batch:
        return self.client.get_batch(name=f"{PARENT}/batches/{batch_id}", retry=None)

    def finish(self) -> None:
        self.runner.go.set()
        assert self.dataproc.wait_idle(10)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    runner, clock = PretendRunner(), VirtualClock(START)
    dataproc = Dataproc(runner, clock)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(dataproc))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = BatchControllerClient(
        transport="rest",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": f"http://127.0.0.1:{server.server_port}"},
    )
    yield Cloud(dataproc, runner, clock, client)
    runner.go.set()
    dataproc.close()
    server.shutdown()
    server.server_close()


def handler_for(dataproc: Dataproc) -> type[BaseHTTPRequestHandler]:
    """The least gate there can be."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, reply = dataproc.handle(
                self.command, url.path, parse_qs(url.query), body, "submit@demo"
            )
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    return Handler


def test_a_batch_goes_from_pending_to_succeeded(cloud: Cloud) -> None:
    operation = cloud.create("wifi-1-a1", {**JOB, "labels": {"system": "wifi"}})
    assert not operation.done()
    assert operation.metadata.batch == f"{PARENT}/batches/wifi-1-a1"
    assert cloud.get("wifi-1-a1").state in (Batch.State.PENDING, Batch.State.RUNNING)
    assert cloud.dataproc.busy()

    cloud.clock.advance_to(START + timedelta(minutes=2))
    cloud.finish()

    batch = cloud.get("wifi-1-a1")
    assert batch.state == Batch.State.SUCCEEDED
    assert (batch.create_time, batch.state_time) == (START, START + timedelta(minutes=2))
    assert [past.state.name for past in batch.state_history] == ["PENDING", "RUNNING"]
    assert batch.runtime_info.approximate_usage.milli_dcu_seconds == 30_000
    assert "stand-in" in batch.runtime_info.endpoints["usage"]
    assert (batch.creator, dict(batch.labels)) == ("submit@demo", {"system": "wifi"})
    assert operation.result(timeout=10).name == batch.name
    assert not cloud.dataproc.busy()


def test_a_test_may_forget_batches_and_replace_the_runner(cloud: Cloud) -> None:
    cloud.create("wifi-1-a1")
    cloud.finish()
    cloud.dataproc.forget_batches()
    assert cloud.dataproc.batches() == []

    cloud.dataproc.runner = later = PretendRunner()
    later.go.set()
    cloud.create("wifi-1-a1")
    assert cloud.dataproc.wait_idle(10)
    assert [batch.batch_id for batch, _ in later.ran] == ["wifi-1-a1"]


def test_no_thread_runs_before_the_first_batch() -> None:
    before = set(threading.enumerate())
    Dataproc(PretendRunner(), VirtualClock(START))
    assert not set(threading.enumerate()) - before


def test_the_runner_gets_what_the_batch_says_in_order(cloud: Cloud) -> None:
    job = {
        "main_python_file_uri": "gs://code/a/wifi.py",
        "python_file_uris": ["gs://code/a/shared.zip"],
        "args": ["SUCCEEDED", "gs://landing/manifests/wifi/1.json"],
    }
    cloud.create(
        "wifi-1-a1",
        {
            "pyspark_batch": job,
            "runtime_config": {"version": "2.3", "properties": {"spark.sql.ansi.enabled": "true"}},
            "environment_config": {"execution_config": {"ttl": timedelta(minutes=30)}},
        },
    )
    cloud.create("wifi-2-a1")
    cloud.finish()
    (first, ttl), (second, default_ttl) = cloud.runner.ran
    assert first == BatchRequest(
        batch_id="wifi-1-a1",
        main_python_file_uri="gs://code/a/wifi.py",
        python_file_uris=("gs://code/a/shared.zip",),
        args=("SUCCEEDED", "gs://landing/manifests/wifi/1.json"),
        properties={"spark.sql.ansi.enabled": "true"},
    )
    assert second.batch_id == "wifi-2-a1"
    assert (ttl, default_ttl) == (1800.0, 4 * 3600.0)


@pytest.mark.parametrize(
    ("argument", "state", "message"),
    [
        ("FAILED", "FAILED", "why"),
        ("CANCELLED", "CANCELLED", "why"),
        ("no session", "FAILED", "Spark could not be started"),
    ],
)
def test_a_batch_that_does_not_succeed_says_why(
    cloud: Cloud, argument: str, state: str, message: str
) -> None:
    job = {"main_python_file_uri": "gs://code/wifi.py", "args": [argument]}
    operation = cloud.create("wifi-1-a1", {"pyspark_batch": job})
    cloud.finish()
    batch = cloud.get("wifi-1-a1")
    assert (batch.state.name, batch.state_message) == (state, message)
    with pytest.raises(exceptions.Aborted, match=message):
        operation.result(timeout=10)


def test_the_same_id_is_refused_and_the_same_request_is_the_same_operation(cloud: Cloud) -> None:
    first = cloud.create("wifi-1-a1", request_id="delivery-1")
    again = cloud.create("wifi-1-a1", request_id="delivery-1")
    assert again.operation.name == first.operation.name
    with pytest.raises(exceptions.Conflict, match="wifi-1-a1"):
        cloud.create("wifi-1-a1", request_id="delivery-2")
    cloud.finish()
    with pytest.raises(exceptions.Conflict):
        cloud.create("wifi-1-a1")
    assert len(cloud.runner.ran) == 1


@pytest.mark.parametrize(
    ("batch_id", "batch", "reason"),
    [
        ("abc", JOB, "Batch ID"),
        ("a" * 64, JOB, "Batch ID"),
        ("Wifi_1", JOB, "Batch ID"),
        ("wifi-1", {}, "main_python_file_uri"),
        ("wifi-1", {"pyspark_batch": {"main_python_file_uri": "/jobs/a.py"}}, "gs://"),
        (
            "wifi-1",
            {"pyspark_batch": {**JOB["pyspark_batch"], "python_file_uris": ["gs://code/a.jar"]}},
            "a.jar",
        ),
        (
            "wifi-1",
            {**JOB, "environment_config": {"execution_config": {"ttl": timedelta(minutes=9)}}},
            "10 minutes",
        ),
        (
            "wifi-1",
            {**JOB, "environment_config": {"execution_config": {"ttl": timedelta(days=15)}}},
            "14 days",
        ),
        ("wifi-1", {**JOB, "labels": {f"k{n}": "v" for n in range(33)}}, "32"),
    ],
)
def test_what_the_service_would_not_take_is_refused(
    cloud: Cloud, batch_id: str, batch: dict[str, Any], reason: str
) -> None:
    with pytest.raises(exceptions.BadRequest, match=reason):
        cloud.create(batch_id, batch)
    assert cloud.dataproc.batches() == []


def test_a_field_that_batches_do_not_have_is_refused(cloud: Cloud) -> None:
    body = b'{"pysparkBatch": {"mainPythonFileUri": "gs://code/a.py", "color": "red"}}'
    status, reply = cloud.dataproc.handle(
        "POST", f"/v1/{PARENT}/batches", {"batchId": "wifi-1"}, body, "submit@demo"
    )
    assert (status, reply["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "color" in reply["error"]["message"]


def refuse_more_than_one(cloud: Cloud) -> None:
    cloud.create("wifi-0-a1")
    cloud.dataproc.max_running = 1


def refuse_for_an_hour(cloud: Cloud) -> None:
    cloud.dataproc.refuse_quota_until = START + timedelta(hours=1)


def refuse_by_hook(cloud: Cloud) -> None:
    cloud.dataproc.quota_hook = lambda batch: (
        QUOTA_TEXT if cloud.clock.now() == START and batch.name.endswith("wifi-1-a1") else None
    )


@pytest.mark.parametrize("refuse", [refuse_more_than_one, refuse_for_an_hour, refuse_by_hook])
def test_a_quota_refusal_leaves_nothing_and_passes(
    cloud: Cloud, refuse: Callable[[Cloud], None]
) -> None:
    refuse(cloud)
    with pytest.raises(exceptions.TooManyRequests, match="Insufficient 'CPUS' quota"):
        cloud.create("wifi-1-a1")
    with pytest.raises(exceptions.NotFound):
        cloud.get("wifi-1-a1")
    cloud.clock.advance_to(START + timedelta(hours=1))
    cloud.finish()
    cloud.create("wifi-1-a1")
    cloud.finish()
    assert cloud.get("wifi-1-a1").state == Batch.State.SUCCEEDED


def test_batches_are_listed_newest_first_in_pages(cloud: Cloud) -> None:
    for number in range(5):
        cloud.clock.advance_to(START + timedelta(minutes=number))
        cloud.create(f"wifi-{number}", {**JOB, "labels": {"system": "wifi", "n": str(number)}})
    cloud.finish()
    request = ListBatchesRequest(parent=PARENT, page_size=2, filter="labels.system = wifi")
    pages = [
        [batch.name.rsplit("/", 1)[1] for batch in page.batches]
        for page in cloud.client.list_batches(request).pages
    ]
    assert pages == [["wifi-4", "wifi-3"], ["wifi-2", "wifi-1"], ["wifi-0"]]


def test_a_filter_that_cannot_be_read_is_refused(cloud: Cloud) -> None:
    with pytest.raises(exceptions.BadRequest, match="colour"):
        cloud.client.list_batches(ListBatchesRequest(parent=PARENT, filter="colour = red"))


def test_only_ended_batches_can_be_deleted(cloud: Cloud) -> None:
    cloud.create("wifi-1-a1")
    name = f"{PARENT}/batches/wifi-1-a1"
    with pytest.raises(exceptions.BadRequest, match="only ended"):
        cloud.client.delete_batch(name=name)
    cloud.finish()
    cloud.client.delete_batch(name=name)
    with pytest.raises(exceptions.NotFound, match="wifi-1-a1"):
        cloud.client.delete_batch(name=name)


def test_the_next_batches_can_be_made_to_fail(cloud: Cloud) -> None:
    cloud.runner.go.set()
    cloud.dataproc.fail_next(2, "Driver compute node failed to initialize")
    for number in range(3):
        cloud.create(f"wifi-{number}")
    cloud.finish()
    states = [cloud.get(f"wifi-{number}").state.name for number in range(3)]
    assert states == ["FAILED", "FAILED", "SUCCEEDED"]
    assert cloud.get("wifi-1").state_message == "Driver compute node failed to initialize"
    assert len(cloud.runner.ran) == 1


FIELDS = {
    "batch_id": "wifi-1-a1",
    "state": "RUNNING",
    "create_time": "2025-06-05T02:10:00Z",
    "labels.system": "wifi",
    "labels.note": "AND so on",
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", True),
        ("state = RUNNING", True),
        ("state=RUNNING", True),
        ("state != RUNNING", False),
        ('labels.system = "wifi"', True),
        ('labels.note = "AND so on"', True),
        ("labels.system:*", True),
        ("labels.absent:*", False),
        ('labels.absent != "x"', False),
        ('create_time < "2025-06-05T03:00:00Z"', True),
        ("state = PENDING OR state = RUNNING", True),
        ("labels.system = velib AND state = PENDING OR state = RUNNING", False),
        ("state = RUNNING or state = PENDING and labels.system = wifi", True),
        ("(labels.system = velib AND state = PENDING) OR state = RUNNING", True),
        ("batch_id = wifi-1-a1", True),
    ],
)
def test_a_filter_takes(text: str, wanted: bool) -> None:
    assert parse_filter(text)(FIELDS) is wanted


@pytest.mark.parametrize(
    "text",
    ["state", "state =", "state RUNNING x", "(state = RUNNING", "colour = red", "state = A B", '"'],
)
def test_a_filter_that_makes_no_sense_says_where(text: str) -> None:
    with pytest.raises(BadFilterError, match="filter"):
        parse_filter(text)


def test_every_call_that_is_not_there_is_named(cloud: Cloud) -> None:
    calls = itertools.product(["PATCH", "PUT"], [f"/v1/{PARENT}/batches", f"/v1/{PARENT}/sessions"])
    for method, path in calls:
        status, reply = cloud.dataproc.handle(method, path, {}, b"", "submit@demo")
        assert (status, reply["error"]["status"]) == (501, "UNIMPLEMENTED")
        assert path in reply["error"]["message"]
