"""The whole local cloud: it comes up from the stack's program, works, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from catalog.contract import load_all, systems
from functions.core.settings import settings
from local_cloud.cloud import LocalCloud
from local_cloud.functions_runtime.processes import FunctionProcesses
from local_cloud.pulumi.mocks import Resource, UnknownResourceError
from local_cloud.pulumi.provision import RECORDED, Provisioner
from tests.support.recorded_batch import RecordedBatch

SYSTEMS = systems(load_all())


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """One local cloud for the tests that only look on: none of them runs a batch."""
    with LocalCloud(batch_server=RecordedBatch) as running:
        yield running


CONFIGURED = {
    "gcp:billing/budget:Budget",
    "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    "gcp:monitoring/notificationChannel:NotificationChannel",
    "gcp:secretmanager/secretIamMember:SecretIamMember",
}
"""Types that a stack has only where its settings ask for them."""


def test_every_function_answers_from_its_archive_alone(cloud: LocalCloud) -> None:
    endpoints = {s.push_endpoint for s in cloud.pubsub.subscriptions() if s.push_endpoint}
    assert len(endpoints) == 7
    for endpoint in endpoints:
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(endpoint, timeout=10)
        assert answer.value.code == 405
    assert isinstance(cloud.functions, FunctionProcesses)
    process = Path("/proc") / str(cloud.functions.child("seal").pid)
    assert (process / "cwd").resolve().is_relative_to(cloud.folder)
    assert b"PYTHONPATH" not in (process / "environ").read_bytes()


def test_serve_answers_readers_by_its_own_grants(cloud: LocalCloud) -> None:
    cloud.bigquery.query_and_wait(
        "CREATE OR REPLACE TABLE reports.wifi_day_types AS SELECT 2024 AS year, DATE '2024-01-01' AS "
        "year_start, '=cmd' AS day_type, 5 AS sample_size, TIMESTAMP '2024-05-02 00:00:00+00' AS "
        "data_as_of, 'synthetic' AS origin"
    )
    question = "columns=year,day_type,sample_size&sort=year"
    rows = f"{cloud.address}/api/v1/reports/wifi_day_types/rows?{question}"
    with urllib.request.urlopen(rows, timeout=60) as answer:
        document, tag = json.load(answer), answer.headers["ETag"]
    assert document["rows"] == [{"year": 2024, "day_type": "=cmd", "sample_size": 5}]
    assert (document["origin"], document["data_as_of"]) == ("synthetic", "2024-05-02T00:00:00Z")
    with urllib.request.urlopen(f"{rows}&format=csv", timeout=60) as answer:
        assert answer.read() == b'"year","day_type","sample_size"\r\n2024,"\'=cmd",5\r\n'
    with pytest.raises(urllib.error.HTTPError) as unchanged:
        urllib.request.urlopen(urllib.request.Request(rows, headers={"If-None-Match": tag}))
    assert unchanged.value.code == 304
    used = {grant.name for grant, permissions in cloud.authority.used().items() if permissions}
    assert {"fn-serve-reports", "fn-serve-jobUser"} <= used
    assert cloud.authority.refused() == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v1/reports/x?" + "a" * 1_000_000, 414),
        ("/api/v1/../../main.py", 404),
        ("/assets/../main.py", 404),
        ("/api/v1/reports/..%2f..%2fmain.py", 404),
        ("http://evil.example/api/v1/reports/x/rows", 400),
    ],
)
def test_serve_as_the_framework_runs_it_refuses_what_is_forged(
    cloud: LocalCloud, target: str, status: int
) -> None:
    wire = http.client.HTTPConnection(cloud.address.removeprefix("http://"), timeout=60)
    wire.putrequest("GET", target, skip_host=True)
    wire.putheader("Host", "evil.example")
    wire.endheaders()
    answer = wire.getresponse()
    assert (answer.status, answer.getheader("Content-Type")) == (status, "application/problem+json")
    assert b"evil" not in answer.read()
    wire.close()


def test_a_scheduled_message_reaches_its_function_and_its_event_bigquery(cloud: LocalCloud) -> None:
    cloud.scheduler.fire("seal-paris-wifi")
    delivered = [d for d in cloud.pubsub.deliveries() if d.subscription == "seal"]
    assert [d.outcome for d in delivered] == ["acked"]
    events = cloud.rows("SELECT step, system FROM ops.events WHERE `at` > TIMESTAMP '2020-01-01'")
    assert {"step": "seal", "system": "paris_wifi"} in events


def test_a_message_that_no_step_can_take_is_kept_with_its_reason(cloud: LocalCloud) -> None:
    cloud.pubsub.publish("ingest", json.dumps({"dataset": "nowhere"}).encode(), {"kind": "x"})
    cloud.settle()
    messages = list(cloud.bucket("quarantine").list_blobs(prefix="messages/download/"))
    reason = json.loads(messages[-1].download_as_bytes())["reason"]
    assert "nowhere" in reason
    assert "paris_wifi_sites" in reason


def test_scheduled_queries_run_with_nothing_loaded(cloud: LocalCloud) -> None:
    assert [run.error for run in cloud.scheduler.run_queries()] == [None] * len(SYSTEMS)


def test_the_clock_moves_what_is_due(cloud: LocalCloud) -> None:
    begin = cloud.clock.now()
    count = cloud.scheduler.run_until(
        begin + timedelta(minutes=20), only=lambda name: name.startswith("seal")
    )
    assert count == 2 * len(SYSTEMS)
    assert cloud.clock.now() == begin + timedelta(minutes=20)


def test_grants_and_apis_are_recorded(cloud: LocalCloud) -> None:
    assert {r.type for r in cloud.stand_ins.recorded} == RECORDED - CONFIGURED


def test_an_unknown_type_is_refused_by_name(cloud: LocalCloud) -> None:
    spanner = Resource("gcp:spanner/instance:Instance", "main", {})
    with pytest.raises(UnknownResourceError, match="gcp:spanner/instance:Instance main"):
        Provisioner(cloud.stand_ins)(spanner)


def test_steps_in_this_process_leave_its_environment_alone() -> None:
    before = dict(os.environ)
    with LocalCloud(in_process=True, batch_server=RecordedBatch) as cloud:
        settings.cache_clear()
        assert settings().raw == "demo-raw"
        cloud.scheduler.fire("seal-paris-wifi")
        delivered = [d for d in cloud.pubsub.deliveries() if d.subscription == "seal"]
        assert [(d.outcome, d.status) for d in delivered] == [("acked", 204)]
        children = [Path("/proc") / str(pid) for pid in cloud.supervisor.pids()]
        assert all(child.exists() for child in children)
    assert dict(os.environ) == before
    assert not any(child.exists() for child in children)
    assert not cloud.folder.exists()
