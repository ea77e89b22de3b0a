"""Every stack keeps every policy, and every policy can fail: by a mutant, and by a value unknown."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from local_cloud.pulumi.mocks import Resource
from tests.support import policies as p
from tests.support.policies import POLICIES, Policy, faults
from tests.support.stacks import Stack, registered, settings_of, stack_files

type Mutant = Callable[[Stack], Stack]

ACCOUNT = "serviceaccount/account:Account"
DEPLOYING = "github-deploy-by-workflow"
POOL = "principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/github"
PROVIDER = "iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"
DATASET = "bigquery/dataset:Dataset"
NOTIFICATION = "storage/notification:Notification"
PUBSUB = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
SUBNETWORK = "compute/subnetwork:Subnetwork"
FIREWALL = "compute/firewall:Firewall"
LOADS_ACCOUNT = "fn-load@citypulse-dev.iam.gserviceaccount.com"
INVOKER = "cloudrunv2/serviceIamMember:ServiceIamMember"
DATASET_GRANT = "bigquery/datasetIamMember:DatasetIamMember"
PREVIEWS = "serviceAccount:github-preview@citypulse-prod.iam.gserviceaccount.com"
SERVES = "serviceAccount:fn-serve@citypulse-dev.iam.gserviceaccount.com"
TOPIC_GRANT = "pubsub/topicIAMMember:TopicIAMMember"


def put(kind: str, path: str, value: Any, name: str = "") -> Mutant:
    """A stack in which a value of one resource is another; None takes it away."""

    def change(stack: Stack) -> Stack:
        *way, last = path.split(".")
        victim = next(r for r in stack.of(kind) if _has(r, way) and name in ("", r.name))
        inputs = copy.deepcopy(dict(victim.inputs))
        place: Any = inputs
        for step in way:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
        changed = replace(victim, inputs=inputs)
        return replace(
            stack, resources=tuple(changed if r is victim else r for r in stack.resources)
        )

    return change


def opened(mutant: Mutant) -> Mutant:
    """A stack whose file opens `serve` to all, and that is changed otherwise, too."""

    def change(stack: Stack) -> Stack:
        return mutant(replace(stack, settings={**stack.settings, "citypulse:serve_to": "allUsers"}))

    return change


def _has(resource: Resource, way: list[str]) -> bool:
    value: Any = resource.inputs
    for step in way:
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return True


def without(kind: str, name: str) -> Mutant:
    """A stack that lacks a resource."""

    def change(stack: Stack) -> Stack:
        gone = set(map(id, stack.of(kind)))
        kept = tuple(r for r in stack.resources if id(r) not in gone or r.name != name)
        assert len(kept) < len(stack.resources)
        return replace(stack, resources=kept)

    return change


def also(type_: str, **inputs: Any) -> Mutant:
    """A stack with one more resource."""
    return lambda stack: replace(
        stack, resources=(*stack.resources, Resource(f"gcp:{type_}", "mutant", inputs))
    )


def agent_may(role: str, prefix: str = "") -> Mutant:
    """A stack in which Pub/Sub's agent has a role on raw, for names that begin so."""
    told: dict[str, Any] = {"bucket": "raw", "member": PUBSUB, "role": role}
    if prefix:
        told["condition"] = {"expression": f'resource.name.startsWith("{prefix}")'}
    return also(p.BUCKET_GRANT, **told)


def standing(kind: str, name: str, **changed: Any) -> Mutant:
    """A stack in which a resource stands otherwise to the others."""

    def change(stack: Stack) -> Stack:
        victim = next(r for r in stack.of(kind) if name in ("", r.name))
        told = stack.relations(victim)
        return replace(
            stack,
            all_relations=tuple(
                replace(b, **changed) if b is told else b for b in stack.all_relations
            ),
        )

    return change


def spark(**changed: Any) -> Mutant:
    """A stack whose `submit` is told otherwise."""

    def change(stack: Stack) -> Stack:
        function = next(r for r in stack.of(p.FUNCTION) if r.name == "submit")
        told = json.loads(function.inputs["serviceConfig"]["environmentVariables"]["SPARK"])
        properties = told["properties"] | changed.pop("properties", {})
        text = json.dumps(told | changed | {"properties": properties})
        return put(p.FUNCTION, "serviceConfig.environmentVariables.SPARK", text, "submit")(stack)

    return change


_DELETING = [{"action": {"type": "Delete"}, "condition": {"age": 0}}]
_ENV = "serviceConfig.environmentVariables"
_REPOSITORIES = "projects/citypulse-dev/locations/europe-west1/repositories"
_KEEPING_IMAGES = {"action": "KEEP", "mostRecentVersions": {"keepCount": 3}}
_DELETING_IMAGES = {"action": "DELETE", "condition": {"tagState": "ANY", "olderThan": "86400s"}}

MUTANTS: dict[Policy, tuple[Mutant, ...]] = {
    p.nobody_is_public: (
        put(TOPIC_GRANT, "member", "allUsers"),
        put("storage/bucketIAMMember:BucketIAMMember", "member", "allAuthenticatedUsers"),
        also(INVOKER, name="serve", role="roles/run.invoker", member="allUsers"),
        opened(also(INVOKER, name="load", role="roles/run.invoker", member="allUsers")),
        opened(also(INVOKER, name="serve", role="roles/run.admin", member="allUsers")),
        opened(put(TOPIC_GRANT, "member", "allUsers")),
    ),
    p.serve_reads_alone: (
        put(DATASET_GRANT, "role", "roles/bigquery.dataEditor", "fn-serve-reports"),
        put(DATASET_GRANT, "datasetId", "lake", "fn-serve-ops"),
        put(p.BUCKET_GRANT, "member", SERVES),
        put(p.PROJECT_GRANT, "role", "roles/bigquery.dataViewer", "fn-serve-jobUser"),
    ),
    p.project_roles_are_few: (
        put(p.PROJECT_GRANT, "role", "roles/editor"),
        put(p.PROJECT_GRANT, "role", "roles/dataproc.serviceAgent", "builds"),
        put(p.PROJECT_GRANT, "role", "roles/viewer", "readers-jobUser"),
        put(p.PROJECT_GRANT, "role", "roles/owner", "github-deploy-storage.admin"),
        put(p.PROJECT_GRANT, "role", "roles/storage.admin", "github-preview-viewer"),
    ),
    p.grants_add_only: (
        also("projects/iAMBinding:IAMBinding", member="x", role="roles/bigquery.jobUser"),
        also("storage/bucketIAMPolicy:BucketIAMPolicy", member="x"),
        put(DATASET, "accesses", []),
    ),
    p.agents_write_streams_alone: (
        agent_may("roles/storage.objectCreator"),
        agent_may("roles/storage.objectCreator", "projects/_/buckets/raw/objects/"),
        agent_may("roles/storage.objectCreator", "projects/_/buckets/other/objects/streams/"),
        agent_may("roles/storage.objectUser", "projects/_/buckets/raw/objects/streams/"),
    ),
    p.pushes_are_retried_and_signed: (
        put(p.SUBSCRIPTION, "deadLetterPolicy", None, "load"),
        put(p.SUBSCRIPTION, "retryPolicy", None, "load"),
        put(p.SUBSCRIPTION, "retryPolicy.maximumBackoff", "60s", "load"),
        put(p.SUBSCRIPTION, "pushConfig.oidcToken", None),
        put(p.SUBSCRIPTION, "pushConfig.oidcToken.audience", "https://else.a.run.app"),
        put(p.SUBSCRIPTION, "expirationPolicy.ttl", "2678400s"),
        put(p.SUBSCRIPTION, "ackDeadlineSeconds", 10, "split"),
    ),
    p.pubsub_signs_as_the_push_account_alone: (
        without(p.ACTING_GRANT, "pubsub-signs-pushes"),
        put(p.ACTING_GRANT, "role", "roles/iam.serviceAccountUser", "pubsub-signs-pushes"),
        put(p.ACTING_GRANT, "member", SERVES, "pubsub-signs-pushes"),
        put(p.ACTING_GRANT, "serviceAccountId", LOADS_ACCOUNT, "pubsub-signs-pushes"),
        put(p.SUBSCRIPTION, "pushConfig.oidcToken.serviceAccountEmail", LOADS_ACCOUNT, "load"),
    ),
    p.each_function_has_its_account: (
        put(p.FUNCTION, "serviceConfig.serviceAccountEmail", LOADS_ACCOUNT, "split"),
        put(p.FUNCTION, "serviceConfig.serviceAccountEmail", "1-compute@developer", "split"),
    ),
    p.functions_are_closed_and_bounded: (
        put(p.FUNCTION, "serviceConfig.ingressSettings", "ALLOW_ALL", "load"),
        put(p.FUNCTION, "serviceConfig.timeoutSeconds", 3600),
        put(p.FUNCTION, "buildConfig.source.storageSource.object", "functions/latest.zip"),
        put(p.FUNCTION, f"{_ENV}.API_TOKEN", "x"),
    ),
    p.images_are_ours_and_cleaned_up: (
        without(p.IMAGES, "functions-images"),
        put(p.FUNCTION, "buildConfig.dockerRepository", f"{_REPOSITORIES}/gcf-artifacts", "serve"),
        standing(p.FUNCTION, "load", after=frozenset()),
        put(p.IMAGES, "cleanupPolicyDryRun", True),
        put(p.IMAGES, "cleanupPolicies", [_DELETING_IMAGES]),
        put(p.IMAGES, "cleanupPolicies", [_KEEPING_IMAGES]),
        put(
            p.IMAGES,
            "cleanupPolicies",
            [_KEEPING_IMAGES, _DELETING_IMAGES | {"condition": {"tagState": "UNTAGGED"}}],
        ),
    ),
    p.buckets_are_closed: (
        put(p.BUCKET, "uniformBucketLevelAccess", False),
        put(p.BUCKET, "publicAccessPrevention", "inherited"),
    ),
    p.queries_replace_where_the_data_is: (
        put(p.QUERY, "location", "US"),
        put(p.QUERY, "serviceAccountName", "me@example.com"),
        put(p.QUERY, "params.query", "INSERT INTO reports.x SELECT 1"),
        put(p.QUERY, "schedule", "every day 04:00"),
    ),
    p.every_contract_is_served: (
        without(p.JOB, "ingest-paris_wifi_sites"),
        put(p.JOB, "schedule", "1 1 1 1 *", "ingest-paris_wifi_sites"),
        put(p.JOB, "timeZone", "Europe/Paris", "ingest-paris_wifi_sites"),
        without(p.TABLE, "lake.wifi_sites"),
        without(NOTIFICATION, "raw-runs"),
        without(p.TABLE, "reports.velib_now"),
        without(NOTIFICATION, "landing-splits-velib_stations"),
        without(p.SUBSCRIPTION, "load"),
    ),
    p.one_region: (
        put(p.BUCKET, "location", "EU"),
        put(p.JOB, "region", "us-central1"),
        put(p.JOB, "region", None),
    ),
    p.batches_are_capped: (
        spark(version="2.2"),
        spark(ttl_seconds=14 * 86400),
        spark(max_batches=0),
        spark(properties={"spark.dynamicAllocation.maxExecutors": "2000"}),
        spark(properties={"spark.dataproc.driver.disk.size": ""}),
        put(SUBNETWORK, "privateIpGoogleAccess", False),
        put(FIREWALL, "sourceRanges", ["0.0.0.0/0"]),
    ),
    p.names_fit: (
        put(ACCOUNT, "accountId", "a-name-that-is-longer-than-thirty"),
        put(p.JOB, "name", "ingest_x"),
        put(p.BUCKET, "name", "Raw"),
    ),
    p.what_a_file_says_it_keeps: (
        put(p.OBJECT, "name", "jobs/latest/x.py"),
        standing(p.OBJECT, "paris_wifi-batch.py", retained=False),
    ),
    p.only_a_disposable_stack_loses_data: (
        put(p.BUCKET, "forceDestroy", False),
        put(p.TABLE, "deletionProtection", True, "lake.wifi_sites"),
        standing(p.BUCKET, "raw", protect=True),
        standing(p.TABLE, "lake.wifi_sites", protect=True),
        put(p.BUCKET, "softDeletePolicy.retentionDurationSeconds", 7 * 86_400),
    ),
    p.landing_outlives_late_rows: (put(p.BUCKET, "lifecycleRules", _DELETING, "landing"),),
    p.first_deployments_wait: (
        standing(p.BUCKET, "raw", after=frozenset(), parent=("", "")),
        standing(p.PROJECT_GRANT, "builds", hooks=()),
        standing(p.FUNCTION, "load", after=frozenset()),
        standing(p.SUBSCRIPTION, "events-to-bigquery", after=frozenset()),
        standing("projects/service:Service", "storage", hooks=()),
        standing(p.ACTING_GRANT, "pubsub-signs-pushes", hooks=()),
    ),
    p.alerts_tell_somebody_what_to_do: (
        put(p.ALERT, "documentation.content", "docs/runbook.md#nowhere"),
        put(p.ALERT, "notificationChannels", []),
        put(p.ALERT, "conditions", [{"displayName": "x"}]),
        without(p.ALERT, "alert-stale-paris-wifi-sites"),
    ),
    p.only_our_workflows_come_in: (
        put(PROVIDER, "attributeCondition", "true"),
        put(p.ACTING_GRANT, "member", f"{POOL}/attribute.repository/example/citypulse", DEPLOYING),
        put(p.ACTING_GRANT, "member", f"{POOL}/*", "github-preview-by-workflow"),
        also("serviceaccount/key:Key", serviceAccountId="x"),
    ),
    p.pull_requests_read_alone: (
        also(p.BUCKET_GRANT, bucket="state", member=PREVIEWS, role="roles/storage.objectUser"),
        also(
            "kms/cryptoKeyIAMMember:CryptoKeyIAMMember",
            member=PREVIEWS,
            role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
        ),
        put(p.PROJECT_GRANT, "role", "roles/storage.admin", "github-preview-viewer"),
    ),
}

MUTATED = {
    p.project_roles_are_few: "prod",
    p.alerts_tell_somebody_what_to_do: "prod",
    p.only_our_workflows_come_in: "prod",
    p.pull_requests_read_alone: "prod",
}
"""Policies on what only the configuration of `prod` brings."""

READ: dict[Policy, tuple[tuple[str, str], ...]] = {
    p.nobody_is_public: ((TOPIC_GRANT, "member"), (p.PROJECT_GRANT, "member")),
    p.project_roles_are_few: ((p.PROJECT_GRANT, "role"),),
    p.pushes_are_retried_and_signed: (
        (p.SUBSCRIPTION, "pushConfig.pushEndpoint"),
        (p.SUBSCRIPTION, "pushConfig.oidcToken.audience"),
        (p.SUBSCRIPTION, "pushConfig.oidcToken.serviceAccountEmail"),
        (p.SUBSCRIPTION, "expirationPolicy"),
    ),
    p.pubsub_signs_as_the_push_account_alone: (
        (p.SUBSCRIPTION, "pushConfig.oidcToken.serviceAccountEmail"),
        (p.ACTING_GRANT, "member"),
        (p.ACTING_GRANT, "serviceAccountId"),
    ),
    p.each_function_has_its_account: (
        (p.FUNCTION, "serviceConfig.serviceAccountEmail"),
        (p.FUNCTION, "buildConfig.serviceAccount"),
    ),
    p.functions_are_closed_and_bounded: (
        (p.FUNCTION, "serviceConfig.maxInstanceCount"),
        (p.FUNCTION, "serviceConfig.availableMemory"),
        (p.FUNCTION, "buildConfig.source.storageSource.object"),
    ),
    p.images_are_ours_and_cleaned_up: (
        (p.FUNCTION, "buildConfig.dockerRepository"),
        (p.IMAGES, "cleanupPolicies"),
    ),
    p.buckets_are_closed: (
        (p.BUCKET, "uniformBucketLevelAccess"),
        (p.BUCKET, "publicAccessPrevention"),
    ),
    p.queries_replace_where_the_data_is: (
        (p.QUERY, "location"),
        (p.QUERY, "serviceAccountName"),
        (p.QUERY, "params.query"),
    ),
    p.every_contract_is_served: ((NOTIFICATION, "topic"), (p.SUBSCRIPTION, "topic")),
    p.one_region: (
        (p.BUCKET, "location"),
        (p.FUNCTION, "location"),
        (p.JOB, "region"),
        (SUBNETWORK, "region"),
        (INVOKER, "location"),
    ),
    p.batches_are_capped: ((SUBNETWORK, "privateIpGoogleAccess"), (FIREWALL, "sourceRanges")),
    p.names_fit: ((ACCOUNT, "accountId"), (p.SUBSCRIPTION, "name")),
    p.what_a_file_says_it_keeps: ((p.OBJECT, "name"),),
    p.only_a_disposable_stack_loses_data: (
        (p.BUCKET, "forceDestroy"),
        (p.TABLE, "deletionProtection"),
    ),
    p.landing_outlives_late_rows: ((p.BUCKET, "lifecycleRules"),),
    p.alerts_tell_somebody_what_to_do: (
        (p.ALERT, "documentation.content"),
        (p.ALERT, "conditions"),
        (p.ALERT, "displayName"),
    ),
    p.only_our_workflows_come_in: ((PROVIDER, "attributeCondition"), (p.ACTING_GRANT, "member")),
    p.pull_requests_read_alone: ((p.PROJECT_GRANT, "member"), (p.PROJECT_GRANT, "role")),
}
"""Values that a policy stands on: none of them may be unknown."""


@pytest.mark.parametrize("stack", stack_files())
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_every_stack_keeps_every_policy(policy: Policy, stack: str) -> None:
    assert faults(policy, registered(stack)) == []


@pytest.mark.parametrize(
    ("policy", "number"),
    [(policy, n) for policy in POLICIES for n in range(max(1, len(MUTANTS.get(policy, ()))))],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_every_policy_catches_its_mutants(policy: Policy, number: int) -> None:
    stack = registered(MUTATED.get(policy, "dev"))
    assert faults(policy, MUTANTS[policy][number](stack)) != []


@pytest.mark.parametrize(
    ("policy", "kind", "path"),
    [(policy, *place) for policy, places in READ.items() for place in places],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_no_policy_passes_by_a_value_that_is_unknown(policy: Policy, kind: str, path: str) -> None:
    stack = registered(MUTATED.get(policy, "dev"))
    for name in [r.name for r in stack.of(kind) if _has(r, path.split("."))]:
        stack = put(kind, path, None, name)(stack)
    assert faults(policy, stack) != []


def shared_projects(projects: dict[str, str]) -> list[str]:
    """Projects that several stacks name."""
    named = list(projects.values())
    return sorted({project for project in named if named.count(project) > 1})


def test_every_stack_has_a_project_of_its_own() -> None:
    projects = {s: str(settings_of(path)["gcp:project"]) for s, path in stack_files().items()}
    assert shared_projects(projects) == [], "two stacks share a project: change gcp:project of one"
    assert shared_projects({**projects, "mutant": projects["dev"]}) == [projects["dev"]]


def test_serve_opens_to_all_where_the_stack_file_says_so_alone() -> None:
    public = also(INVOKER, name="serve", role="roles/run.invoker", member="allUsers")
    assert faults(p.nobody_is_public, opened(public)(registered("dev"))) == []
    assert faults(p.nobody_is_public, public(registered("dev"))) != []
