"""The whole local cloud: it comes up from the stack's program, works, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from catalog.contract import load_all, systems
from functions.settings import settings
from local_cloud.cloud import LocalCloud
from local_cloud.functions import FunctionProcesses
from local_cloud.program import Resource, UnknownResource
from local_cloud.provision import RECORDED, Provisioner

pytestmark = pytest.mark.cloud
SYSTEMS = systems(load_all())


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """One local cloud for the tests that only look on."""
    with LocalCloud() as running:
        yield running


CONFIGURED = {
    "gcp:billing/budget:Budget",
    "gcp:iam/workloadIdentityPool:WorkloadIdentityPool",
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    "gcp:monitoring/notificationChannel:NotificationChannel",
}
"""Types that a stack has only where its settings ask for them."""


def test_every_function_answers_from_its_archive_alone(cloud: LocalCloud) -> None:
    endpoints = {s.push_endpoint for s in cloud.pubsub.subscriptions() if s.push_endpoint}
    assert len(endpoints) == 6
    for endpoint in endpoints:
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(endpoint, timeout=10)
        assert answer.value.code == 405
    assert isinstance(cloud.functions, FunctionProcesses)
    process = Path("/proc") / str(cloud.functions.child("seal").pid)
    assert (process / "cwd").resolve().is_relative_to(cloud.folder)
    assert b"PYTHONPATH" not in (process / "environ").read_bytes()


def test_a_scheduled_message_reaches_its_function_and_its_event_bigquery(cloud: LocalCloud) -> None:
    cloud.scheduler.fire("seal-paris-wifi")
    delivered = [d for d in cloud.pubsub.deliveries() if d.subscription == "seal"]
    assert [d.outcome for d in delivered] == ["acked"]
    events = cloud.rows("SELECT step, system FROM ops.events WHERE at > TIMESTAMP '2020-01-01'")
    assert {"step": "seal", "system": "paris_wifi"} in events


def test_a_message_that_no_step_can_take_is_kept_with_its_reason(cloud: LocalCloud) -> None:
    cloud.pubsub.publish("ingest", json.dumps({"dataset": "nowhere"}).encode(), {"kind": "x"})
    cloud.settle()
    kept = list(cloud.bucket("quarantine").list_blobs(prefix="messages/download/"))
    reason = json.loads(kept[-1].download_as_bytes())["reason"]
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
    with pytest.raises(UnknownResource, match="gcp:spanner/instance:Instance main"):
        Provisioner(cloud.stand_ins)(spanner)


def test_steps_in_this_process_leave_its_environment_alone() -> None:
    before = dict(os.environ)
    with LocalCloud(in_process=True) as cloud:
        settings.cache_clear()
        assert settings().raw == "demo-raw"
        cloud.scheduler.fire("seal-paris-wifi")
        delivered = [d for d in cloud.pubsub.deliveries() if d.subscription == "seal"]
        assert [(d.outcome, d.status) for d in delivered] == [("acked", 204)]
        children = [Path("/proc") / str(pid) for pid in _pids(cloud)]
        assert all(child.exists() for child in children)
        begin = time.monotonic()
    assert time.monotonic() - begin < 5
    assert dict(os.environ) == before
    assert not any(child.exists() for child in children)
    assert not cloud.folder.exists()


def _pids(cloud: LocalCloud) -> list[Any]:
    return [child.pid for child in cloud.supervisor._children.values()]
