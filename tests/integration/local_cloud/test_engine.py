"""The parts of the stand-in provider that need no engine: what replaces, what a project refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cloud.pulumi.engine import cli
from local_cloud.pulumi.engine.making import Making
from local_cloud.pulumi.engine.order import races
from local_cloud.pulumi.engine.project import (  # fmt: skip
    ACCOUNT,
    BUCKET,
    DATASET,
    NETWORK,
    OBJECT,
    SERVICE,
    SUBNETWORK,
    SUBSCRIPTION,
    TABLE,
    TOPIC,
    Project,
)
from local_cloud.pulumi.engine.provider import (
    UNKNOWN,
    ResourceRefusedError,
    _computed,
    _unknown_where_new,
)
from local_cloud.pulumi.engine.replacing import (
    UnknownTypeError,
    deleted_first,
    differences,
    replacing,
)
from local_cloud.pulumi.mocks import Resource
from local_cloud.pulumi.provision import provider_outputs

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab", min_size=1, max_size=1), inner, max_size=2)
    ),
)


def schema(*columns: tuple[str, ...]) -> dict[str, Any]:
    keys = ("name", "type", "mode")
    return {"schema": json.dumps([dict(zip(keys, values, strict=False)) for values in columns])}


REPLACING = {
    "a topic's name": (TOPIC, {"name": "a"}, {"name": "b"}, ["name"]),
    "a topic's retention": (TOPIC, {"name": "a"}, {"name": "a", "x": 1}, []),
    "another file": (OBJECT, {"source": "aa"}, {"source": "bb"}, ["source"]),
    "a bucket's rules": (BUCKET, {"lifecycleRules": [{"a": 1}]}, {"lifecycleRules": []}, []),
    "a grant's role": (
        "gcp:storage/bucketIAMMember:BucketIAMMember", {"role": "a"}, {"role": "b"}, ["role"],
    ),
    "an inner input": (
        TABLE, {"timePartitioning": {"field": "a"}}, {"timePartitioning": {"field": "b"}},
        ["timePartitioning.field"],
    ),
    "a column more": (TABLE, schema(("a", "STRING")), schema(("b", "DATE"), ("a", "STRING")), []),
    "a required column more": (
        TABLE, schema(), schema(("a", "STRING", "REQUIRED")), ["schema"],
    ),
    "a column less": (TABLE, schema(("a", "STRING")), schema(), []),
    "a column renamed": (TABLE, schema(("a", "STRING")), schema(("b", "STRING")), ["schema"]),
    "a column retyped": (TABLE, schema(("a", "STRING")), schema(("a", "DATE")), ["schema"]),
    "a column relaxed": (
        TABLE, schema(("a", "DATE", "REQUIRED")), schema(("a", "DATE", "NULLABLE")), [],
    ),
    "a column stricter": (
        TABLE, schema(("a", "DATE", "NULLABLE")), schema(("a", "DATE", "REQUIRED")), ["schema"],
    ),
    "columns not known yet": (TABLE, schema(("a", "STRING")), {"schema": UNKNOWN}, ["schema"]),
    "a wider range": (
        SUBNETWORK, {"ipCidrRange": "10.1.0.0/24"}, {"ipCidrRange": "10.1.0.0/20"}, [],
    ),
    "another range": (
        SUBNETWORK, {"ipCidrRange": "10.1.0.0/24"}, {"ipCidrRange": "10.2.0.0/24"},
        ["ipCidrRange"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REPLACING)
def test_what_replaces(case: str) -> None:
    kind, old, new, wanted = REPLACING[case]
    assert replacing(kind, old, new) == wanted


def test_a_type_of_which_nothing_is_told_is_refused() -> None:
    with pytest.raises(UnknownTypeError, match=r"gcp:spanner/instance:Instance: .* add it to"):
        replacing("gcp:spanner/instance:Instance", {}, {})


@given(JSON, JSON)
def test_there_is_a_difference_exactly_where_values_differ(old: Any, new: Any) -> None:
    assert bool(list(differences(old, new))) == (_absent(old) != _absent(new))


def _absent(value: Any) -> Any:
    """A value whose keys that hold nothing are left out, as no input is nothing."""
    if isinstance(value, dict):
        return {key: _absent(inner) for key, inner in value.items() if inner is not None}
    return [_absent(inner) for inner in value] if isinstance(value, list) else value


def test_what_keeps_its_name_goes_first() -> None:
    assert deleted_first({"name": "a", "location": "x"}, {"name": "a", "location": "y"})
    assert not deleted_first({"name": "a"}, {"name": "b"})
    assert not deleted_first({"tableId": "a"}, {"tableId": "a"})


def test_a_preview_knows_what_the_inputs_say_and_no_more() -> None:
    inputs = {"name": "f", "serviceConfig": {"memory": "1Gi"}}
    outputs = {"name": "f", "url": "https://f", "serviceConfig": {"memory": "1Gi", "uri": "https"}}
    assert _unknown_where_new(inputs, outputs) == {
        "name": "f", "url": UNKNOWN, "serviceConfig": {"memory": "1Gi", "uri": UNKNOWN},
    }  # fmt: skip


def test_an_update_keeps_what_was_computed() -> None:
    before = {"serviceConfig": {"memory": "1Gi", "old": "x"}, "gone": 1}
    outputs = {"serviceConfig": {"memory": "1Gi", "old": "x", "uri": "u"}, "gone": 1, "url": "u"}
    inputs = {"serviceConfig": {"memory": "2Gi"}}
    assert _computed(before, outputs, inputs) == {
        "serviceConfig": {"memory": "2Gi", "uri": "u"}, "url": "u"
    }  # fmt: skip


def project_with(*resources: tuple[str, str, dict[str, Any]]) -> Project:
    """A project with these in it; its APIs are on."""
    project = Project("demo")
    for api in ("storage", "pubsub", "bigquery", "compute", "iam"):
        inputs = {"service": f"{api}.googleapis.com"}
        project.create(Resource(SERVICE, api, {**inputs, "name": api}))
    for resource in resources:
        project.create(Resource(*resource))
    return project


RAW = (BUCKET, "raw", {"name": "demo-raw"})
FILE = (OBJECT, "file", {"bucket": "demo-raw", "name": "a.zip"})
PUSH = (ACCOUNT, "push", {"accountId": "push-invoker"})
INGEST = (TOPIC, "ingest", {"name": "ingest"})
OPS = (DATASET, "ops", {"datasetId": "ops"})
LOADS = (TABLE, "ops.loads", {"datasetId": "ops", "tableId": "loads"})
GRANT = "gcp:storage/bucketIAMMember:BucketIAMMember"
MEMBER = "serviceAccount:push-invoker@demo.iam.gserviceaccount.com"
AGENT = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"

REFUSED = {
    "a name that is taken": ([RAW], RAW, "there is a demo-raw already"),
    "a bucket that is not there": ([], FILE, "its bucket names demo-raw, and there is no such Bucket"),
    "a topic that is not there": (
        [], (SUBSCRIPTION, "s", {"name": "s", "topic": "projects/demo/topics/ingest"}),
        "its topic names projects/demo/topics/ingest",
    ),
    "an account that is not there": (
        [RAW], (GRANT, "g", {"bucket": "demo-raw", "member": MEMBER}), "its member names",
    ),
    "a table that is not there": (
        [INGEST, OPS],
        (SUBSCRIPTION, "s", {"name": "s", "topic": "ingest",
                             "bigqueryConfig": {"table": "demo.ops.loads"}}),
        "its bigqueryConfig.table names demo.ops.loads",
    ),
    "an API that is off": (
        [], ("gcp:cloudscheduler/job:Job", "j", {"name": "j"}),
        "cloudscheduler.googleapis.com is off",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_project_refuses_to_make(case: str) -> None:
    before, resource, said = REFUSED[case]
    with pytest.raises(ResourceRefusedError, match=said):
        project_with(*before, resource)


def test_a_project_makes_what_is_in_order() -> None:
    subscription = {
        "name": "s", "topic": "projects/demo/topics/ingest",
        "bigqueryConfig": {"table": "demo.ops.loads"},
    }  # fmt: skip
    grants = [(GRANT, m, {"bucket": "demo-raw", "member": m}) for m in (MEMBER, AGENT)]
    project_with(RAW, FILE, PUSH, INGEST, OPS, LOADS, (SUBSCRIPTION, "s", subscription), *grants)


def test_a_file_is_written_over() -> None:
    project_with(RAW, FILE, FILE)


NETS = (
    (NETWORK, "spark", {"name": "spark"}),
    (SUBNETWORK, "inner", {"name": "spark", "network": "projects/demo/spark", "region": "r"}),
)
UNDELETABLE = {
    "a bucket that is not empty": ((RAW, FILE), {}, "in use by file"),
    "a data set that is not empty": ((OPS, LOADS), {}, "in use by ops.loads"),
    "a network in use": (NETS, {}, "in use by inner"),
    "a table that is protected": (
        (LOADS,),
        {"deletionProtection": True},
        "deletionProtection is on",
    ),
}


@pytest.mark.parametrize("case", UNDELETABLE)
def test_a_project_refuses_to_delete(case: str) -> None:
    (first, *rest), more, said = UNDELETABLE[case]
    project = project_with(*((OPS,) if first is LOADS else ()), first, *rest)
    resource = Resource(first[0], first[1], {**first[2], **more})
    with pytest.raises(ResourceRefusedError, match=said):
        project.delete(provider_outputs(resource, "demo")[0], resource)


def test_what_may_be_emptied_goes_with_what_it_holds() -> None:
    project = project_with(RAW, FILE)
    project.delete("demo-raw", Resource(BUCKET, "raw", {**RAW[2], "forceDestroy": True}))
    assert {kind for kind, _ in project.living} == {SERVICE}


def test_only_what_is_there_is_changed() -> None:
    with pytest.raises(ResourceRefusedError, match="there is no demo-raw"):
        Project("demo").update("demo-raw", Resource(*RAW))


def test_the_local_cloud_makes_and_no_more() -> None:
    cloud = Making(lambda resource: (resource.name, {"made": True}), "demo")
    topic = Resource(*INGEST)
    assert cloud.create(topic) == ("ingest", {"made": True})
    with pytest.raises(ResourceRefusedError, match="changes nothing"):
        cloud.update("ingest", topic)
    with pytest.raises(ResourceRefusedError, match="ends as a whole"):
        cloud.delete("ingest", topic)


def test_what_need_not_wait_for_what_it_names_is_told() -> None:
    zones = {"urn": "zones", "type": "citypulse:infra:Zones", "dependencies": ["on"]}
    service = {"service": "storage.googleapis.com"}
    state = [
        {"urn": "on", "type": SERVICE, "id": "s", "inputs": service},
        zones,
        {"urn": "a::raw", "type": BUCKET, "id": "demo-raw", "inputs": RAW[2], "parent": "zones"},
        {"urn": "a::file", "type": OBJECT, "id": "f", "inputs": FILE[2], "parent": "zones"},
    ]
    assert races(state, "demo") == [
        f"{OBJECT} file need not wait for Bucket demo-raw, which its bucket names"
    ]
    state[3]["dependencies"] = ["a::raw"]
    assert races(state, "demo") == []
    zones["dependencies"] = []
    assert races(state, "demo") == [
        f"{kind} {name} need not wait for the API storage"
        for kind, name in ((BUCKET, "raw"), (OBJECT, "file"))
    ]


VERSIONS = {
    "v3.250.0": True, "3.272.0": True, "v3.251.0-alpha.1": True,
    "v3.249.9": False, "v4.0.0": False, "v2.999.0": False, "": False,
}  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cli_on_the_path_is_taken_if_it_is_new_enough(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = program(tmp_path / "bin" / "pulumi", f"echo '{version}'")
    monkeypatch.setenv("PATH", f"{on_path.parent}{os.pathsep}{os.environ['PATH']}")
    assert (cli.find(tmp_path / "cache") == on_path) == VERSIONS[version]
    built = program(tmp_path / "cache" / cli.VERSION / "pulumi", "")
    assert cli.find(tmp_path / "cache") == (on_path if VERSIONS[version] else built)


def test_modules_out_of_reach_give_no_cli_and_say_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go = program(tmp_path / "bin" / "go", "echo 'dial tcp: no route to host' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{go.parent}{os.pathsep}{os.environ['PATH']}")
    assert cli.build(tmp_path / "cache") is None
    said = capsys.readouterr().err
    assert "failed: go list" in said
    assert "no route to host" in said
    assert list((tmp_path / "cache" / cli.VERSION).iterdir()) == []


def program(path: Path, script: str) -> Path:
    """A program that does what a line of shell says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
