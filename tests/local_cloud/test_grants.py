"""Calls measured by grants: what each asks for, who may, and what is said where nobody may."""

from __future__ import annotations

from typing import Any

import pytest

from local_cloud.authority import Authority, cure
from local_cloud.calls import BODY_START, Call
from local_cloud.grants import Grant, Need, grant_of, roles
from local_cloud.permissions import UnknownCall, needs
from local_cloud.program import Resource

PROJECT = "demo"
LOAD = "fn-load@demo.iam.gserviceaccount.com"
AGENT = "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
BUCKET = "gcp:storage/bucketIAMMember:BucketIAMMember"
RAW = "projects/_/buckets/demo-raw"


def asked(service: str, action: str, name: str, path: str = "/", body: bytes = b"") -> Call:
    """A call of `fn-load`."""
    return Call(LOAD, service, "POST", path, name, body[:BODY_START], action)


def given(type_: str, role: str, account: str = LOAD, **told: Any) -> Grant:
    """The grant that the program's resource makes."""
    inputs = {"role": role, "member": f"serviceAccount:{account}", **told}
    made = grant_of(Resource(type_, "a-grant", inputs), PROJECT)
    assert made is not None
    return made


def authority(*grants: Grant) -> Authority:
    """One that knows these grants."""
    made = Authority(PROJECT, frozenset({"storage", "bigquery", "dataproc"}))
    for grant in grants:
        made.add(grant)
    return made


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
    found = needs(asked("storage", action, "demo-raw/a/b", path), PROJECT)
    thing = f"{RAW}/objects/a/b"
    assert found == tuple(Need(f"storage.objects.{each}", thing) for each in wanted)


def test_a_copy_reads_the_one_and_writes_the_other() -> None:
    path = "/storage/v1/b/demo-raw/o/a%2Fb/rewriteTo/b/demo-lake/o/c?ifGenerationMatch=0"
    assert needs(asked("storage", "objects.rewrite", "demo-lake/c", path), PROJECT) == (
        Need("storage.objects.get", f"{RAW}/objects/a/b"),
        Need("storage.objects.create", "projects/_/buckets/demo-lake/objects/c"),
    )


def test_listing_asks_for_the_bucket() -> None:
    found = needs(asked("storage", "objects.list", "demo-raw"), PROJECT)
    assert found == (Need("storage.objects.list", RAW),)


def test_a_call_that_the_table_lacks_is_refused_and_told() -> None:
    call = asked("storage", "buckets.other", "demo-raw", "/b/demo-raw/acl")
    with pytest.raises(UnknownCall, match=r"buckets.other .*add it to local_cloud.permissions"):
        needs(call, PROJECT)
    judge = authority()
    assert judge.refusal(call) == judge.refused()[0]


def test_a_removed_grant_refuses_and_names_account_permission_resource_and_cure() -> None:
    call = asked("storage", "objects.get", "demo-raw/a")
    grant = given(BUCKET, "roles/storage.objectViewer", bucket="demo-raw")
    assert authority(grant).refusal(call) is None
    refused = authority()
    text = refused.refusal(call)
    assert refused.refused() == [text]
    for part in (LOAD, "storage.objects.get", f"{RAW}/objects/a", "roles/storage.objectViewer or"):
        assert part in str(text)


def test_a_grant_too_many_is_idle() -> None:
    used = given(BUCKET, "roles/storage.objectViewer", bucket="demo-raw")
    extra = given(BUCKET, "roles/storage.objectViewer", bucket="demo-lake")
    judge = authority(used, extra)
    assert judge.refusal(asked("storage", "objects.get", "demo-raw/a")) is None
    assert judge.idle() == [extra]
    assert judge.used()[used] == {"storage.objects.get"}


@pytest.mark.parametrize(
    ("grant", "need", "may"),
    [
        (given(BUCKET, "roles/storage.objectViewer", bucket="demo"), ("get", "demo-raw/a"), False),
        (given(BUCKET, "roles/storage.objectViewer", bucket="demo-raw"), ("create", "demo-raw/a"), False),
        (given(BUCKET, "roles/storage.objectUser", bucket="demo-raw"), ("create", "demo-raw/a"), True),
        (given(BUCKET, "roles/storage.objectUser", AGENT, bucket="demo-raw"), ("create", "demo-raw/a"), False),
        (given("gcp:projects/iAMMember:IAMMember", "roles/storage.objectViewer"), ("get", "demo-raw/a"), True),
        (given("gcp:projects/iAMMember:IAMMember", "roles/dataproc.worker"), ("get", "demo-raw/a"), False),
    ],
)  # fmt: skip
def test_a_role_holds_on_its_resource_alone(grant: Grant, need: tuple[str, str], may: bool) -> None:
    permission, name = need
    bucket, _, thing = name.partition("/")
    wanted = Need(f"storage.objects.{permission}", f"projects/_/buckets/{bucket}/objects/{thing}")
    assert grant.gives(LOAD, wanted) is may


def test_a_condition_holds_for_names_below_it_and_no_others() -> None:
    condition = {"title": "t", "expression": f'resource.name.startsWith("{RAW}/objects/streams/")'}
    grant = given(
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
        given(BUCKET, "roles/storage.objectCreator", bucket="demo-raw", condition=condition)


def test_the_processes_of_an_account_have_its_grants() -> None:
    grant = given(BUCKET, "roles/storage.objectViewer", bucket="demo-raw")
    judge = authority(grant)
    need = Need("storage.objects.get", f"{RAW}/objects/a")
    assert judge.denial("fn-load+7@demo.iam.gserviceaccount.com", [need]) is None
    assert judge.denial("fn-seal+7@demo.iam.gserviceaccount.com", [need]) is not None


def test_the_cure_is_the_narrowest_role_first() -> None:
    assert cure("storage.objects.create")[0] == "roles/storage.objectCreator"
    assert cure("pubsub.topics.publish") == ("roles/pubsub.publisher",)
    assert cure("storage.hmacKeys.create") == ()


def test_a_wider_role_holds_all_of_the_narrower() -> None:
    for narrow, wide in (
        ("roles/storage.objectViewer", "roles/storage.objectUser"),
        ("roles/storage.objectViewer", "roles/dataproc.worker"),
        ("roles/bigquery.dataViewer", "roles/bigquery.dataEditor"),
        ("roles/dataproc.viewer", "roles/dataproc.editor"),
    ):
        assert roles()[narrow] < roles()[wide]
