"""Calls measured by grants: what each asks for, who may, and what is said where nobody may."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core.exceptions import PermissionDenied
from google.cloud import pubsub_v1

from local_cloud.clock import VirtualClock
from local_cloud.gateway.calls import Call
from local_cloud.gateway.proxy import Gate
from local_cloud.iam.accounts import access_token
from local_cloud.iam.authority import Authority, sufficient_roles
from local_cloud.iam.grants import Grant, Need, grant_of, roles
from local_cloud.iam.permissions import UnknownCallError, needs
from local_cloud.ports import free_port
from local_cloud.pubsub.service import PubSub
from local_cloud.pulumi.mocks import Resource

PROJECT = "demo"
LOAD = "fn-load@demo.iam.gserviceaccount.com"
AGENT = "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
BUCKET = "gcp:storage/bucketIAMMember:BucketIAMMember"
RAW = "projects/_/buckets/demo-raw"


def call_to(service: str, action: str, name: str, path: str = "/", body: bytes = b"") -> Call:
    """A call of `fn-load`."""
    return Call(LOAD, service, "POST", path, name, body, action)


def grant_on(type_: str, role: str, account: str = LOAD, **target: Any) -> Grant:
    """The grant that the program's resource makes."""
    inputs = {"role": role, "member": f"serviceAccount:{account}", **target}
    grant = grant_of(Resource(type_, "a-grant", inputs), PROJECT)
    assert grant is not None
    return grant


def authority(*grants: Grant) -> Authority:
    """One that knows these grants."""
    checker = Authority(PROJECT, frozenset({"storage", "bigquery", "dataproc"}))
    for grant in grants:
        checker.add(grant)
    return checker


@pytest.mark.parametrize(
    ("action", "path", "wanted"),
    [
        ("objects.get", "/", ("get",)),
        ("objects.delete", "/", ("delete",)),
        ("objects.patch", "/", ("update",)),
        ("objects.insert", "/?ifGenerationMatch=0", ("create",)),
        ("objects.insert", "/?ifGenerationMatch=7", ("create", "delete")),
        ("objects.insert", "/", ("create", "delete")),
        ("uploads.start", "/?ifGenerationMatch=0", ("create",)),
        ("uploads.chunk", "/", ()),
        ("objects.compose", "/", ("create", "delete", "get")),
    ],
)
def test_each_call_on_an_object_asks_for_it(
    action: str, path: str, wanted: tuple[str, ...]
) -> None:
    found = needs(call_to("storage", action, "demo-raw/a/b", path), PROJECT)
    thing = f"{RAW}/objects/a/b"
    assert found == tuple(Need(f"storage.objects.{each}", thing) for each in wanted)


def test_a_copy_reads_the_one_and_writes_the_other() -> None:
    path = "/storage/v1/b/demo-raw/o/a%2Fb/rewriteTo/b/demo-lake/o/c?ifGenerationMatch=0"
    assert needs(call_to("storage", "objects.rewrite", "demo-lake/c", path), PROJECT) == (
        Need("storage.objects.get", f"{RAW}/objects/a/b"),
        Need("storage.objects.create", "projects/_/buckets/demo-lake/objects/c"),
    )


def test_listing_asks_for_the_bucket() -> None:
    found = needs(call_to("storage", "objects.list", "demo-raw"), PROJECT)
    assert found == (Need("storage.objects.list", RAW),)


def test_a_call_that_the_table_lacks_is_refused_and_told() -> None:
    call = call_to("storage", "buckets.other", "demo-raw", "/b/demo-raw/acl")
    with pytest.raises(
        UnknownCallError, match=r"buckets.other .*add it to local_cloud.iam.permissions"
    ):
        needs(call, PROJECT)
    judge = authority()
    assert judge.refusal(call) == judge.refused()[0]


def test_a_removed_grant_refuses_and_names_account_permission_resource_and_cure() -> None:
    call = call_to("storage", "objects.get", "demo-raw/a")
    grant = grant_on(BUCKET, "roles/storage.objectViewer", bucket="demo-raw")
    assert authority(grant).refusal(call) is None
    refused = authority()
    text = refused.refusal(call)
    assert refused.refused() == [text]
    for part in (LOAD, "storage.objects.get", f"{RAW}/objects/a", "roles/storage.objectViewer or"):
        assert part in str(text)


def test_a_grant_too_many_is_idle() -> None:
    used = grant_on(BUCKET, "roles/storage.objectViewer", bucket="demo-raw")
    extra = grant_on(BUCKET, "roles/storage.objectViewer", bucket="demo-lake")
    judge = authority(used, extra)
    assert judge.refusal(call_to("storage", "objects.get", "demo-raw/a")) is None
    assert judge.idle() == [extra]
    assert judge.used()[used] == {"storage.objects.get"}


@pytest.mark.parametrize(
    ("grant", "need", "may"),
    [
        (grant_on(BUCKET, "roles/storage.objectViewer", bucket="demo"), ("get", "demo-raw/a"), False),
        (grant_on(BUCKET, "roles/storage.objectViewer", bucket="demo-raw"), ("create", "demo-raw/a"), False),
        (grant_on(BUCKET, "roles/storage.objectUser", bucket="demo-raw"), ("create", "demo-raw/a"), True),
        (grant_on(BUCKET, "roles/storage.objectUser", AGENT, bucket="demo-raw"), ("create", "demo-raw/a"), False),
        (grant_on("gcp:projects/iAMMember:IAMMember", "roles/storage.objectViewer"), ("get", "demo-raw/a"), True),
        (grant_on("gcp:projects/iAMMember:IAMMember", "roles/dataproc.worker"), ("get", "demo-raw/a"), False),
    ],
)  # fmt: skip
def test_a_role_holds_on_its_resource_alone(grant: Grant, need: tuple[str, str], may: bool) -> None:
    permission, name = need
    bucket, _, thing = name.partition("/")
    wanted = Need(f"storage.objects.{permission}", f"projects/_/buckets/{bucket}/objects/{thing}")
    assert grant.gives(LOAD, wanted) is may


def test_a_condition_holds_for_names_below_it_and_no_others() -> None:
    condition = {"title": "t", "expression": f'resource.name.startsWith("{RAW}/objects/streams/")'}
    grant = grant_on(
        BUCKET, "roles/storage.objectCreator", AGENT, bucket="demo-raw", condition=condition
    )
    below, beside = (
        Need("storage.objects.create", f"{RAW}/objects/{name}") for name in ("streams/a", "runs/a")
    )
    assert grant.gives(AGENT, below)
    assert not grant.gives(AGENT, beside)


def test_a_condition_that_is_not_understood_is_an_error() -> None:
    condition = {"title": "t", "expression": 'resource.type != "storage.googleapis.com/Object"'}
    with pytest.raises(ValueError, match=r"a-grant: condition .* is not understood"):
        grant_on(BUCKET, "roles/storage.objectCreator", bucket="demo-raw", condition=condition)


def test_the_processes_of_an_account_have_its_grants() -> None:
    grant = grant_on(BUCKET, "roles/storage.objectViewer", bucket="demo-raw")
    judge = authority(grant)
    need = Need("storage.objects.get", f"{RAW}/objects/a")
    assert judge.denial("fn-load+7@demo.iam.gserviceaccount.com", [need]) is None
    assert judge.denial("fn-seal+7@demo.iam.gserviceaccount.com", [need]) is not None


def test_the_cure_is_the_narrowest_role_first() -> None:
    assert sufficient_roles("storage.objects.create")[0] == "roles/storage.objectCreator"
    assert sufficient_roles("pubsub.topics.publish") == ("roles/pubsub.publisher",)
    assert sufficient_roles("storage.hmacKeys.create") == ()


def test_a_wider_role_holds_all_of_the_narrower() -> None:
    for narrow, wide in (
        ("roles/storage.objectViewer", "roles/storage.objectUser"),
        ("roles/storage.objectViewer", "roles/dataproc.worker"),
        ("roles/bigquery.dataViewer", "roles/bigquery.dataEditor"),
        ("roles/dataproc.viewer", "roles/dataproc.editor"),
    ):
        assert roles()[narrow] < roles()[wide]


TABLE = "projects/demo/datasets/lake/tables/wifi_sites"
JOBS = Need("bigquery.jobs.create", "projects/demo")


def job(**configuration: Any) -> bytes:
    """The body of a job."""
    return json.dumps({"configuration": configuration}).encode()


def test_a_query_asks_to_run_and_for_its_tables() -> None:
    sql = "SELECT 1 FROM lake.wifi_sites"
    read = Need("bigquery.tables.getData", TABLE)
    inserted = call_to("bigquery", "jobs.insert", "j", body=job(query={"query": sql}))
    queried = call_to("bigquery", "jobs.query", "j", body=json.dumps({"query": sql}).encode())
    assert needs(inserted, PROJECT) == needs(queried, PROJECT) == (JOBS, read)


def test_a_load_asks_for_its_table_and_for_each_file_as_who_starts_it() -> None:
    into = {"projectId": "demo", "datasetId": "lake", "tableId": "wifi_sites"}
    uris = ["gs://demo-lake/a/1.parquet", "gs://demo-lake/b/*.parquet"]
    body = job(load={"destinationTable": into, "sourceUris": uris})
    found = needs(call_to("bigquery", "jobs.insert", "j", body=body), PROJECT)
    lake = "projects/_/buckets/demo-lake"
    assert found == (
        JOBS,
        *(Need(f"bigquery.tables.{each}", TABLE) for each in ("create", "update", "updateData")),
        Need("storage.objects.get", f"{lake}/objects/a/1.parquet"),
        Need("storage.objects.get", f"{lake}/objects/b/*.parquet"),
        Need("storage.objects.list", lake),
    )


@pytest.mark.parametrize("body", [job(extract={}), b"{", b""])
def test_a_job_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(UnknownCallError):
        needs(call_to("bigquery", "jobs.insert", "j", body=body), PROJECT)


def test_a_batch_asks_to_act_as_its_account() -> None:
    path = "projects/demo/locations/europe-west1/batches"
    ran_as = "spark-batch@demo.iam.gserviceaccount.com"
    body = {"environmentConfig": {"executionConfig": {"serviceAccount": ran_as}}}
    call = call_to(
        "dataproc", "batches.create", "b", f"/v1/{path}?batchId=b", json.dumps(body).encode()
    )
    assert needs(call, PROJECT) == (
        Need("dataproc.batches.create", path),
        Need("iam.serviceAccounts.actAs", f"projects/demo/serviceAccounts/{ran_as}"),
    )
    listed = call_to("dataproc", "batches.list", "", f"/v1/{path}?filter=x")
    assert needs(listed, PROJECT) == (Need("dataproc.batches.list", path),)


def test_the_gate_answers_403_and_nothing_is_done() -> None:
    gate = Gate(free_port(), dataproc=None)
    gate.refusal = authority().refusal
    gate.start()
    connection = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=10)
    token = {"Authorization": f"Bearer {access_token(LOAD)}"}
    connection.request("GET", "/v1/projects/demo/locations/r/batches/b", headers=token)
    reply = connection.getresponse()
    problem = json.loads(reply.read())["error"]
    connection.close()
    gate.stop()
    assert (reply.status, problem["code"], problem["errors"][0]["reason"]) == (
        403,
        403,
        "forbidden",
    )
    for part in (LOAD, "dataproc.batches.get", "locations/r/batches/b", "roles/dataproc.viewer"):
        assert part in problem["message"]


def test_pubsub_knows_an_account_by_its_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    pubsub = PubSub(free_port(), VirtualClock(datetime(2025, 6, 5, tzinfo=UTC)))
    pubsub.create_topic("seal")
    judge = authority(
        grant_on("gcp:pubsub/topicIAMMember:TopicIAMMember", "roles/pubsub.publisher", topic="seal")
    )

    def refusal(account: str, topic: str) -> str | None:
        denial = judge.denial(account, [Need("pubsub.topics.publish", topic)])
        return str(denial) if denial else None

    pubsub.refusal = refusal
    pubsub.start()
    path = "projects/demo/topics/seal"
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.endpoint_of(LOAD))
    assert pubsub_v1.PublisherClient().publish(path, b"{}").result(timeout=10)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.endpoint_of("fn-seal@demo"))
    with pytest.raises(
        PermissionDenied, match=r"fn-seal@demo .*topics/seal.*roles/pubsub.publisher"
    ):
        pubsub_v1.PublisherClient().publish(path, b"{}").result(timeout=10)
    pubsub.stop()
    assert [grant.role for grant, used in judge.used().items() if used] == [
        "roles/pubsub.publisher"
    ]
