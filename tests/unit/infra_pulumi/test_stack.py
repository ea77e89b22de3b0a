"""The form of the stack: what every bucket, subscription, function, job and grant must have."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from croniter import croniter

from catalog.contract import load_all, systems
from functions.core.settings import from_environment
from infra_pulumi.accounts import query_account
from infra_pulumi.config import ConfigError, StackConfig
from infra_pulumi.zones import ZONES
from local_cloud.pulumi.mocks import Resource
from smoke import outputs
from tests.support.policies import (
    AGENT_ROLES,
    PROJECT_ROLES,
    agents_write_streams_alone,
    faults,
)
from tests.support.stacks import Stack, registered, stack_files
from tests.unit.infra_pulumi.conftest import REPOSITORY, STREAM, Register, Root


@pytest.fixture(scope="module")
def retired(
    register: Register, toy: Root, tmp_path_factory: pytest.TempPathFactory
) -> list[Resource]:
    """A public stack whose own roots have retired data sets alone: a stream and another."""
    root = Path(shutil.copytree(STREAM, tmp_path_factory.mktemp("retired") / "root"))
    contract = root / "catalog" / "datasets" / "ferry_taps.toml"
    contract.write_text("retired = true\n" + contract.read_text(encoding="utf-8"))
    roots = [str(root), toy("toys", retired=True)]
    return register({"citypulse:roots": roots, "citypulse:serve_to": "allUsers"})


def of(stack: list[Resource], kind: str) -> dict[str, dict[str, Any]]:
    """The inputs of all resources of a kind, by name."""
    return {r.name: dict(r.inputs) for r in stack if r.type.endswith(f":{kind}")}


def test_buckets_are_closed_and_hold_what_cannot_be_fetched_again(stack: list[Resource]) -> None:
    buckets = of(stack, "Bucket")
    assert set(buckets) == set(ZONES)
    for zone, told in buckets.items():
        assert told["uniformBucketLevelAccess"] is True
        assert told["publicAccessPrevention"] == "enforced"
        assert not told.get("forceDestroy")
        deleting = [r for r in told["lifecycleRules"] if r["action"]["type"] == "Delete"]
        if zone in ("raw", "landing", "code"):
            assert not deleting, f"{zone} must not expire"
        for rule in deleting:
            assert zone == "quarantine" or rule["condition"]["matchesPrefixes"]
            assert "receipts/" not in rule["condition"].get("matchesPrefixes", [])


def test_only_a_disposable_stack_can_lose_its_data(full: list[Resource]) -> None:
    assert all(told["forceDestroy"] for told in of(full, "Bucket").values())
    assert not any(told["deletionProtection"] for told in of(full, "Table").values())


def test_push_subscriptions_retry_for_hours_and_name_their_caller(stack: list[Resource]) -> None:
    pushes = {n: s for n, s in of(stack, "Subscription").items() if "pushConfig" in s}
    topics = {f"projects/demo/topics/{name}" for name in of(stack, "Topic")}
    acknowledging = {grant["subscription"] for grant in of(stack, "SubscriptionIAMMember").values()}
    assert set(pushes) >= {"download", "download-snapshot", "split", "seal", "submit", "load"}
    for name, told in pushes.items():
        assert told["ackDeadlineSeconds"] == 600
        assert told["retryPolicy"] == {"minimumBackoff": "10s", "maximumBackoff": "600s"}
        assert told["deadLetterPolicy"]["maxDeliveryAttempts"] == 50
        assert told["deadLetterPolicy"]["deadLetterTopic"] == "projects/demo/topics/dead-letters"
        assert told["expirationPolicy"] == {"ttl": ""}
        push = told["pushConfig"]
        assert push["oidcToken"]["audience"] == push["pushEndpoint"]
        assert push["pushEndpoint"].startswith("https://")
        assert told["topic"] in topics
        assert name in acknowledging


def test_a_late_tick_of_a_snapshot_is_dropped(stack: list[Resource]) -> None:
    subscriptions = of(stack, "Subscription")
    snapshot, other = subscriptions["download-snapshot"], subscriptions["download"]
    assert snapshot["filter"] == 'attributes.kind = "snapshot"'
    assert other["filter"] == f"NOT {snapshot['filter']}"
    assert snapshot["messageRetentionDuration"] == "600s"
    assert snapshot["pushConfig"] == other["pushConfig"]


def test_a_late_sweep_is_dropped(stack: list[Resource]) -> None:
    """Retries of sweeps that fail never pile up: the schedule asks for the next one anyway."""
    retention = {
        name: told["messageRetentionDuration"]
        for name, told in of(stack, "Subscription").items()
        if "pushConfig" in told
    }
    assert retention["sweep"] == "600s"
    assert {n for n, told in retention.items() if told == "600s"} == {"sweep", "download-snapshot"}


def test_every_topic_is_read(stack: list[Resource]) -> None:
    read = {told["topic"].rpartition("/")[2] for told in of(stack, "Subscription").values()}
    assert read == set(of(stack, "Topic"))


def test_notifications_lead_from_each_zone_to_another_step(stack: list[Resource]) -> None:
    arrows = {
        (told["bucket"], told["objectNamePrefix"], told["topic"].rpartition("/")[2])
        for told in of(stack, "Notification").values()
    }
    assert arrows == {
        ("demo-raw", "runs/", "split"),
        ("demo-raw", "streams/", "split"),
        ("demo-landing", "manifests/", "submit"),
        ("demo-landing", "splits/velib_stations/", "show"),
        ("demo-lake", "receipts/", "load"),
    }
    for told in of(stack, "Notification").values():
        assert told["eventTypes"] == ["OBJECT_FINALIZE"]
    granted = {
        grant["topic"]
        for name, grant in of(stack, "TopicIAMMember").items()
        if name.startswith("storage-publishes-")
    }
    assert granted == {topic for _, _, topic in arrows}


def test_functions_run_as_themselves_from_one_archive(stack: list[Resource]) -> None:
    functions = of(stack, "Function")
    accounts = [told["serviceConfig"]["serviceAccountEmail"] for told in functions.values()]
    assert len(set(accounts)) == len(functions) == 8
    archive = of(stack, "BucketObject")["functions-archive"]["name"]
    for name, told in functions.items():
        assert told["buildConfig"]["runtime"] == "python313"
        assert told["buildConfig"]["entryPoint"] == name
        assert told["buildConfig"]["source"]["storageSource"]["object"] == archive
        assert told["serviceConfig"]["timeoutSeconds"] <= 540
        wanted = "ALLOW_ALL" if name == "serve" else "ALLOW_INTERNAL_ONLY"
        assert told["serviceConfig"]["ingressSettings"] == wanted


def test_functions_read_the_environment_they_are_given(stack: list[Resource]) -> None:
    wanted = systems(load_all())
    for name, told in of(stack, "Function").items():
        settings = from_environment(told["serviceConfig"]["environmentVariables"])
        assert (settings.raw, settings.lake) == ("demo-raw", "demo-lake")
        assert (settings.spark is not None) == (name in ("submit", "sweep"))
        if settings.spark:
            assert set(settings.spark.jobs) == set(wanted)
            for job in settings.spark.jobs.values():
                assert all(
                    f.startswith("gs://demo-code/jobs/") for f in (job.main, *job.python_files)
                )


def test_a_data_set_is_ticked_off_the_hour_in_utc(stack: list[Resource]) -> None:
    jobs = of(stack, "Job")
    for name, told in jobs.items():
        assert croniter.is_valid(told["schedule"]), name
        assert told["timeZone"] == "Etc/UTC"
        assert told["schedule"].split()[0] not in ("0", "*", "*/10"), name
        assert "attemptDeadline" not in told, "a Pub/Sub target shows a difference for ever"
    for dataset, contract in load_all().items():
        target = jobs[f"ingest-{dataset}"]["pubsubTarget"]
        assert json.loads(base64.b64decode(target["data"])) == {"dataset": dataset}
        assert target["attributes"] == {
            "dataset": dataset, "system": contract.system, "kind": contract.kind.value
        }  # fmt: skip


def test_grants_are_members_of_ours_on_one_thing(stack: list[Resource]) -> None:
    grants = [r for r in stack if "iam" in r.type.lower()]
    assert grants
    for grant in grants:
        kind = grant.type.rpartition(":")[2]
        assert kind.lower().endswith("iammember"), f"{kind} takes others' grants away"
        assert grant.inputs["member"].startswith("serviceAccount:"), grant.name
        assert grant.inputs["role"] not in ("roles/owner", "roles/editor", "roles/viewer")
        if grant.type.startswith("gcp:projects/"):
            assert grant.inputs["role"] in PROJECT_ROLES | AGENT_ROLES, grant.name
    doubled = Counter(
        (g.type, g.inputs["role"], g.inputs["member"], str(sorted(g.inputs.items())))
        for g in grants
    )
    assert max(doubled.values()) == 1


def test_names_fit_their_services(stack: list[Resource]) -> None:
    for told in of(stack, "Account").values():
        assert 6 <= len(told["accountId"]) <= 30, told["accountId"]
    for told in of(stack, "Job").values():
        assert "_" not in told["name"]


def test_systems_with_long_names_have_accounts_of_their_own() -> None:
    names = [
        "velib",
        "paris_wifi",
        *(f"air_quality_of_the_region_{part}" for part in ("north", "south")),
    ]
    accounts = [query_account(name) for name in names]
    assert accounts[:2] == ["sql-velib", "sql-paris-wifi"]
    assert len(set(accounts)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", account) for account in accounts)


def test_lake_tables_are_those_of_the_contracts(stack: list[Resource]) -> None:
    tables = {
        told["tableId"]: told for told in of(stack, "Table").values() if told["datasetId"] == "lake"
    }
    wanted = {t.name: t for c in load_all().values() for t in c.lake_tables()}
    assert set(tables) == set(wanted)
    for name, told in tables.items():
        fields = json.loads(told["schema"])
        assert [f["name"] for f in fields] == [c.name for c in wanted[name].columns]
        assert all(f["description"] for f in fields)
        assert told["timePartitioning"]["field"] == "slot_start"
        assert told["timePartitioning"]["type"] in ("DAY", "MONTH")
        assert told["deletionProtection"] is True


def test_staging_expires_and_nothing_else_does(stack: list[Resource]) -> None:
    expiring = {
        name: told["defaultTableExpirationMs"]
        for name, told in of(stack, "Dataset").items()
        if told.get("defaultTableExpirationMs")
    }
    assert expiring == {"staging": 24 * 3600 * 1000}


def test_scheduled_queries_run_as_their_own_account_where_the_data_is(
    stack: list[Resource],
) -> None:
    for told in of(stack, "DataTransferConfig").values():
        assert told["location"] == "europe-west1"
        assert told["serviceAccountName"].startswith("sql-")
        assert set(told["params"]) == {"query"}, "scripts take neither template nor disposition"
        assert "destinationDatasetId" not in told


def test_another_root_brings_a_data_set(full: list[Resource]) -> None:
    assert "ingest-toys" in of(full, "Job")
    assert "lake.toys_base" in of(full, "Table")
    assert "toys_system-toys_system.py" in of(full, "BucketObject")


def test_a_stream_comes_by_its_topic_into_files_of_raw(full: list[Resource]) -> None:
    told = of(full, "Subscription")["stream-ferry-taps-to-raw"]
    assert told["topic"] == "projects/demo/topics/stream-ferry-taps"
    assert told["cloudStorageConfig"] == {
        "bucket": "demo-raw",
        "filenamePrefix": "streams/ferry_taps/",
        "filenameSuffix": ".avro",
        "filenameDatetimeFormat": "YYYY-MM-DDThh_mm_ssZ",
        "maxDuration": "300s",
        "maxBytes": 20_000_000,
        "maxMessages": 50_000,
        "avroConfig": {"writeMetadata": True},
    }
    assert told["ackDeadlineSeconds"] == 600
    assert told["messageRetentionDuration"] == "2678400s"
    assert told["expirationPolicy"] == {"ttl": ""}
    assert "ingest-ferry_taps" not in of(full, "Job")
    assert "seal-ferry" in of(full, "Job")


def test_pubsub_may_write_what_a_stream_needs_and_only_then(
    full: list[Resource], stack: list[Resource]
) -> None:
    def agent(found: list[Resource]) -> dict[str, tuple[str, str]]:
        return {
            told["role"]: (told["bucket"], told.get("condition", {}).get("expression", ""))
            for told in of(found, "BucketIAMMember").values()
            if "gcp-sa-pubsub" in told["member"]
        }

    assert agent(stack) == {}
    below = 'resource.name.startsWith("projects/_/buckets/demo-raw/objects/streams/")'
    assert agent(full) == {
        "roles/storage.objectCreator": ("demo-raw", below),
        "roles/storage.legacyBucketReader": ("demo-raw", ""),
    }
    assert faults(agents_write_streams_alone, Stack({}, tuple(full))) == []


def test_a_retired_stream_has_no_topic_and_keeps_its_tables(
    full: list[Resource], retired: list[Resource]
) -> None:
    assert "stream-ferry-taps" in of(full, "Topic")
    assert "stream-ferry-taps" not in of(retired, "Topic")
    assert "lake.ferry_rides" in of(retired, "Table")


def test_a_retired_data_set_keeps_its_tables_alone(retired: list[Resource]) -> None:
    assert "ingest-toys" not in of(retired, "Job")
    assert "lake.toys_base" in of(retired, "Table")
    assert "lake.toys_rejects" in of(retired, "Table")


def test_a_data_set_in_two_roots_is_refused(register: Register, toy: Root) -> None:
    with pytest.raises(ConfigError, match="paris_wifi_sites is declared in two roots"):
        register({"citypulse:roots": [toy("paris_wifi_sites")]})


@pytest.mark.parametrize(
    ("of_settings", "member"),
    [("stack", None), ("retired", "allUsers"), ("full", "group:us@example.org")],
)
def test_serve_is_open_to_whom_the_stack_names(
    request: pytest.FixtureRequest, of_settings: str, member: str | None
) -> None:
    invokers = of(request.getfixturevalue(of_settings), "ServiceIamMember").values()
    assert [grant["member"] for grant in invokers if grant["name"] == "serve"] == (
        [member] if member else []
    )


def test_serve_has_a_thread_for_each_request_it_takes(stack: list[Resource]) -> None:
    told = of(stack, "Function")["serve"]["serviceConfig"]
    assert int(told["environmentVariables"]["THREADS"]) == told["maxInstanceRequestConcurrency"]
    assert told["timeoutSeconds"] == 60


BAD_SETTINGS = {
    "gcp:project": ("My Project", "gcp:project is 'My Project'"),
    "gcp:region": ("Paris", "gcp:region is 'Paris'"),
    "citypulse:max_batches": ("many", "citypulse:max_batches is 'many'"),
    "citypulse:batch_ttl_seconds": ("60", "it must be in 600 to"),
    "citypulse:download_seconds": ("500", "it must be in 1 to 400"),
    "citypulse:origins": ('{"*": "heaven"}', "citypulse:origins is"),
    "citypulse:roots": ('["/nowhere/at/all"]', "which is not a folder"),
    "citypulse:disposable": ("perhaps", "citypulse:disposable is 'perhaps'"),
    "citypulse:settle_seconds": ("-1", "it must be in 0 to 600"),
    "citypulse:kept_days": ("3", "it must be in 7 to 90"),
    "citypulse:rebuilt": ('["reports.x"]', "each must be of the form lake"),
    "citypulse:secrets": ('{"key": "latest"}', "pin a version by its number"),
    "citypulse:readers": ("everybody", "citypulse:readers is 'everybody'"),
    "citypulse:serve_to": ("everybody", "citypulse:serve_to is 'everybody'"),
    "citypulse:alert_emails": ('["nobody"]', "citypulse:alert_emails has 'nobody'"),
    "citypulse:scanned_gib_per_day": ("0", "it must be in 1 to"),
    "citypulse:billing_account": ("mine", "citypulse:billing_account is 'mine'"),
    "citypulse:monthly_budget": ("50", "make a budget together"),
    "citypulse:github": ("citypulse", "citypulse:github is 'citypulse'"),
    "citypulse:branch": ("a b", "citypulse:branch is 'a b'"),
    "citypulse:templates": ("[]", "citypulse:templates is"),
    "citypulse:disposible": ("true", "citypulse:disposible is no key of this program"),
}


@pytest.mark.parametrize("key", BAD_SETTINGS)
def test_a_bad_setting_is_named(register: Register, key: str) -> None:
    value, said = BAD_SETTINGS[key]
    with pytest.raises(ConfigError) as raised:
        register({key: value})
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("key", "value", "known"),
    [
        ("templates", '{"velibs": "x"}', "it accepts paris_wifi, velib"),
        ("origins", '{"*": "sample", "velibs": "synthetic"}', "velib_stations"),
    ],
)
def test_a_setting_on_what_there_is_not_is_refused(
    register: Register, key: str, value: str, known: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        register({f"citypulse:{key}": value})
    assert f"citypulse:{key} names velibs, which does not exist: " in str(raised.value)
    assert known in str(raised.value)


def test_the_project_answers_for_calls_on_its_budget() -> None:
    """The provider's page on Budget: a person's own login is refused with 403 otherwise."""
    made = registered("prod")
    [budget] = made.of("billing/budget:Budget")
    assert made.relations(budget).provider == "billing"
    [provider] = made.of("pulumi:providers:gcp")
    assert provider.inputs == {
        "project": "citypulse-prod", "billingProject": "citypulse-prod", "userProjectOverride": "true"
    }  # fmt: skip
    assert [b.name for b in made.all_relations if b.provider == "billing"] == ["month"]


def test_a_stack_that_keeps_its_data_rebuilds_no_table(register: Register) -> None:
    with pytest.raises(ConfigError, match="in a stack that keeps its data"):
        register({"citypulse:rebuilt": '["lake.wifi_sites"]'})


def test_every_setting_is_read_and_told() -> None:
    text = (REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8")
    settings = {f.name for f in fields(StackConfig)} - {"project", "region", "repository", "build"}
    assert sorted(s for s in settings if f"`{s}`" not in text) == []


@pytest.mark.parametrize("stack", sorted(stack_files()))
def test_a_stack_gives_out_what_smoke_needs(stack: str) -> None:
    made = registered(stack)
    plain = {name: value for name, value in made.outputs.items() if isinstance(value, str)}
    assert outputs.decoded(stack, json.dumps(plain)) == outputs.Outputs(
        project=made.setting("gcp:project"), region=made.setting("gcp:region")
    )
