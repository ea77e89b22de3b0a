"""What must hold of every stack: policies that yield a sentence for each fault they find.

A policy reads values through `value_at`, which raises where a value is not known, so that none passes
by an output that nobody gave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from catalog import object_names
from catalog.contract import Contract, Kind, load_all
from local_cloud.pulumi.mocks import Relations, Resource
from tests.support.stacks import REPOSITORY, Stack, UnknownValueError, value_at

type Policy = Callable[[Stack], Iterator[str]]

PROJECT_ROLES = {
    "roles/bigquery.jobUser",
    "roles/cloudbuild.builds.builder",
    "roles/dataproc.editor",
    "roles/dataproc.viewer",
    "roles/dataproc.worker",
}
"""Roles that no bucket, topic or data set can give."""

AGENT_ROLES = {
    "roles/bigquerydatatransfer.serviceAgent",
    "roles/cloudscheduler.serviceAgent",
    "roles/dataproc.serviceAgent",
}
"""What makes Google's own accounts what they are; for those alone."""

LOOKING_ROLES = {"roles/iam.securityReviewer", "roles/viewer"}
"""What the workflow of a pull request may have: it reads."""

DEPLOYING_ROLES = {
    "roles/artifactregistry.admin",
    "roles/bigquery.admin",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/compute.networkAdmin",
    "roles/compute.securityAdmin",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",
    "roles/iam.workloadIdentityPoolAdmin",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/pubsub.admin",
    "roles/resourcemanager.projectIamAdmin",
    "roles/run.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
}
"""What the workflow of the one branch may have, by name: a list that the program gives would hold of any."""

_ON_PROJECT = (
    (r"@gcp-sa-|@dataproc-accounts\.", AGENT_ROLES),
    (r"^serviceAccount:github-preview@", LOOKING_ROLES),
    (r"^serviceAccount:github-deploy@", DEPLOYING_ROLES),
    (r"^group:", {"roles/bigquery.jobUser"}),
    (r"", PROJECT_ROLES),
)
"""Form of a member → the roles it may have on the whole project; the first that fits counts."""

LOOKING = "roles/storage.legacyBucketReader"

SERVE = "serve"
SERVE_MAY = {
    ("roles/bigquery.dataViewer", "reports"),
    ("roles/bigquery.dataViewer", "ops"),
    ("roles/bigquery.jobUser", None),
}
"""Role and data set of each grant that the function people call has."""

_FORK = 'assertion.repository == "{}"'

PUBLIC = ("allUsers", "allAuthenticatedUsers")
FUNCTION = "cloudfunctionsv2/function:Function"
SUBSCRIPTION = "pubsub/subscription:Subscription"
BUCKET = "storage/bucket:Bucket"
QUERY = "bigquery/dataTransferConfig:DataTransferConfig"
TABLE = "bigquery/table:Table"
JOB = "cloudscheduler/job:Job"
BUCKET_GRANT = "storage/bucketIAMMember:BucketIAMMember"
PROJECT_GRANT = "projects/iAMMember:IAMMember"
ACTING_GRANT = "serviceaccount/iAMMember:IAMMember"
ALERT = "monitoring/alertPolicy:AlertPolicy"
OBJECT = "storage/bucketObject:BucketObject"
IMAGES = "artifactregistry/repository:Repository"

_NAMES = {
    "serviceaccount/account:Account": ("accountId", r"[a-z][a-z0-9-]{4,28}[a-z0-9]"),
    BUCKET: ("name", r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
    "pubsub/topic:Topic": ("name", r"(?!goog)[A-Za-z][\w.~+%-]{2,254}"),
    SUBSCRIPTION: ("name", r"(?!goog)[A-Za-z][\w.~+%-]{2,254}"),
    FUNCTION: ("name", r"[a-z][a-z0-9-]{0,61}[a-z0-9]"),
    JOB: ("name", r"[A-Za-z0-9-]{1,500}"),
    IMAGES: ("repositoryId", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"),
    "bigquery/dataset:Dataset": ("datasetId", r"\w{1,1024}"),
    TABLE: ("tableId", r"[\w-]{1,1024}"),
    "compute/network:Network": ("name", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"),
    "compute/subnetwork:Subnetwork": ("name", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"),
    "compute/firewall:Firewall": ("name", r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?"),
}
"""Kind → the input that names it and the form its service takes."""


def faults(policy: Policy, stack: Stack) -> list[str]:
    """What a policy finds; a value that is not known is a fault of its own."""
    found: list[str] = []
    try:
        for fault in policy(stack):
            found.append(fault)  # noqa: PERF402 - what came before an unknown value counts too
    except UnknownValueError as error:
        found.append(str(error))
    return found


def grants(stack: Stack) -> Iterator[Resource]:
    """Every resource that gives somebody a role."""
    return (r for r in stack.resources if re.search(r":\w*iam\w*$", r.type, re.IGNORECASE))


def nobody_is_public(stack: Stack) -> Iterator[str]:
    """No grant to all, but the one to call `serve` where the stack file says so in that word."""
    for grant in grants(stack):
        if value_at(grant, "member") not in PUBLIC:
            continue
        opened = (value_at(grant, "member"), value_at(grant, "role")) == (
            "allUsers",
            "roles/run.invoker",
        )
        called = opened and grant.inputs.get("name") == SERVE
        if not called or stack.setting("citypulse:serve_to") != "allUsers":
            yield f"{grant.name} opens the stack to {value_at(grant, 'member')}"


def serve_reads_alone(stack: Stack) -> Iterator[str]:
    """What people call may read reports and telemetry, start queries, and nothing else."""
    for grant in grants(stack):
        if not value_at(grant, "member").startswith(f"serviceAccount:fn-{SERVE}@"):
            continue
        on = grant.inputs.get("datasetId")
        if (value_at(grant, "role"), on) not in SERVE_MAY:
            yield f"{grant.name} gives {SERVE} {value_at(grant, 'role')} on {on or 'more'}"


def project_roles_are_few(stack: Stack) -> Iterator[str]:
    """On the project only what nothing smaller can give."""
    for grant in stack.of(PROJECT_GRANT):
        member = value_at(grant, "member")
        allowed = next((roles for form, roles in _ON_PROJECT if re.search(form, member)))
        if value_at(grant, "role") not in allowed:
            yield f"{grant.name} gives {value_at(grant, 'role')} on the whole project"


def agents_write_streams_alone(stack: Stack) -> Iterator[str]:
    """Pub/Sub's agent makes objects below `streams/` of a bucket, and changes none."""
    for grant in stack.of(BUCKET_GRANT):
        if "@gcp-sa-pubsub." not in value_at(grant, "member"):
            continue
        role, bucket = value_at(grant, "role"), value_at(grant, "bucket")
        if role == LOOKING:  # of the bucket itself: no condition on objects' names fits it
            continue
        below = f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{object_names.STREAMS}")'
        if role != "roles/storage.objectCreator":
            yield f"{grant.name} gives Pub/Sub {role} on {bucket}"
        elif (grant.inputs.get("condition") or {}).get("expression") != below:
            yield f"{grant.name} lets Pub/Sub write outside of {object_names.STREAMS} in {bucket}"


def grants_add_only(stack: Stack) -> Iterator[str]:
    """No binding or policy: those take away what others were granted."""
    for grant in grants(stack):
        if not grant.type.lower().endswith("iammember"):
            yield f"{grant.name} is a {grant.type.rpartition(':')[2]}, not a member"
    for dataset in stack.of("bigquery/dataset:Dataset"):
        if "accesses" in dataset.inputs:
            yield f"{dataset.name} lists its accesses, which takes others' away"


def pushes_are_retried_and_signed(stack: Stack) -> Iterator[str]:
    """Dead letter, back-off, OIDC and the function's own address as audience."""
    for sub in stack.of(SUBSCRIPTION):
        if value_at(sub, "expirationPolicy.ttl"):
            yield f"{sub.name} expires when it is idle"
        if "pushConfig" not in sub.inputs:
            continue
        endpoint = value_at(sub, "pushConfig.pushEndpoint")
        if not endpoint.startswith("https://"):
            yield f"{sub.name} pushes to {endpoint!r}"
        if value_at(sub, "pushConfig.oidcToken.audience") != endpoint:
            yield f"{sub.name}: its audience is not the address it calls"
        if "@" not in value_at(sub, "pushConfig.oidcToken.serviceAccountEmail"):
            yield f"{sub.name} calls as nobody"
        if not value_at(sub, "deadLetterPolicy.deadLetterTopic").endswith("/topics/dead-letters"):
            yield f"{sub.name} has no dead-letter topic"
        if not 5 <= value_at(sub, "deadLetterPolicy.maxDeliveryAttempts") <= 100:
            yield f"{sub.name} is tried out of bounds"
        if value_at(sub, "retryPolicy.minimumBackoff") != "10s":
            yield f"{sub.name} is tried again at once"
        if value_at(sub, "retryPolicy.maximumBackoff") != "600s":
            yield f"{sub.name} is tried again too soon"
        if value_at(sub, "ackDeadlineSeconds") != 600:
            yield f"{sub.name}: a slow call would be made twice"


SIGNING = "roles/iam.serviceAccountTokenCreator"


def pubsub_signs_as_the_push_account_alone(stack: Stack) -> Iterator[str]:
    """Its agent may sign as each account that pushes call as, and as no other."""
    callers = {
        value_at(sub, "pushConfig.oidcToken.serviceAccountEmail")
        for sub in stack.of(SUBSCRIPTION)
        if "pushConfig" in sub.inputs
    }
    signed: set[str] = set()
    for grant in stack.of(ACTING_GRANT):
        if "@gcp-sa-pubsub." not in value_at(grant, "member"):
            continue
        account = value_at(grant, "serviceAccountId").rpartition("/")[2]
        signed.add(account)
        if value_at(grant, "role") != SIGNING or account not in callers:
            yield f"{grant.name} gives Pub/Sub {value_at(grant, 'role')} on {account}"
    for caller in sorted(callers - signed):
        yield f"Pub/Sub may not sign as {caller}: no message would be delivered"


def each_function_has_its_account(stack: Stack) -> Iterator[str]:
    """No two functions share an account, and each is one of the stack's."""
    own = {f"{value_at(a, 'accountId')}@" for a in stack.of("serviceaccount/account:Account")}
    users: dict[str, str] = {}
    for function in stack.of(FUNCTION):
        account = value_at(function, "serviceConfig.serviceAccountEmail")
        if account in users:
            yield f"{function.name} and {users[account]} share {account}"
        if not account.startswith(tuple(own)):
            yield f"{function.name} runs as {account}, which the stack does not make"
        users[account] = function.name
        if value_at(function, "buildConfig.serviceAccount").endswith(account):
            yield f"{function.name} is built by the account that it runs as"


def functions_are_closed_and_bounded(stack: Stack) -> Iterator[str]:
    """Internal but for `serve`, within 540 s, bounded in instances and memory, by content."""
    for function in stack.of(FUNCTION):
        ingress = "ALLOW_ALL" if function.name == SERVE else "ALLOW_INTERNAL_ONLY"
        if value_at(function, "serviceConfig.ingressSettings") != ingress:
            yield f"{function.name} can be called from outside"
        if not 0 < value_at(function, "serviceConfig.timeoutSeconds") <= 540:
            yield f"{function.name} may run longer than an event's function can"
        if not 0 < value_at(function, "serviceConfig.maxInstanceCount") <= 100:
            yield f"{function.name} may have any number of instances"
        value_at(function, "serviceConfig.availableMemory")
        if not re.fullmatch(
            r"functions/[0-9a-f]{16}\.zip",
            value_at(function, "buildConfig.source.storageSource.object"),
        ):
            yield f"{function.name}: its archive is not named by content"
        for name in value_at(function, "serviceConfig.environmentVariables"):
            if re.search(r"(?i)secret|password|token|_key\b", name):
                yield f"{function.name}: {name} is a plain variable: reference a secret"


def images_are_ours_and_cleaned_up(stack: Stack) -> Iterator[str]:
    """Every function names the stack's one repository, which keeps new images and deletes old ones."""
    repositories = list(stack.of(IMAGES))
    if len(repositories) != 1:
        yield f"{len(repositories)} repositories for images, not one: functions would share gcf-artifacts"
    for function in stack.of(FUNCTION):
        place = value_at(function, "buildConfig.dockerRepository")
        owners = [
            r
            for r in repositories
            if place.endswith(f"/repositories/{value_at(r, 'repositoryId')}")
        ]
        if not owners:
            yield f"{function.name}: its image goes to {place}, which the stack does not make"
        near = stack.relations(function).after
        yield from (
            f"{function.name} does not wait for {r.name}"
            for r in owners
            if (r.type, r.name) not in near
        )
    for repository in repositories:
        yield from _clean_up_faults(repository)


def _clean_up_faults(repository: Resource) -> Iterator[str]:
    """A clean-up looks at no running revision: without a rule that keeps, it takes its image."""
    if repository.inputs.get("cleanupPolicyDryRun"):
        yield f"{repository.name}: its clean-up is a dry run"
    rules = {rule["action"]: rule for rule in value_at(repository, "cleanupPolicies")}
    if (rules.get("KEEP") or {}).get("mostRecentVersions", {}).get("keepCount", 0) < 2:
        yield f"{repository.name} keeps no image to roll back to"
    deleted = (rules.get("DELETE") or {}).get("condition", {})
    if deleted.get("tagState") != "ANY" or not deleted.get("olderThan"):
        yield f"{repository.name} deletes no old image: the service tags each build"


def buckets_are_closed(stack: Stack) -> Iterator[str]:
    """Uniform access, public access prevented."""
    for bucket in stack.of(BUCKET):
        if value_at(bucket, "uniformBucketLevelAccess") is not True:
            yield f"{bucket.name}: access is not uniform"
        if value_at(bucket, "publicAccessPrevention") != "enforced":
            yield f"{bucket.name}: public access is not prevented"


def queries_replace_where_the_data_is(stack: Stack) -> Iterator[str]:
    """Located, as an account of their own, off the hour, and no bare INSERT."""
    own = {value_at(a, "accountId") for a in stack.of("serviceaccount/account:Account")}
    for query in stack.of(QUERY):
        if value_at(query, "location") != stack.setting("gcp:region"):
            yield f"{query.name} runs in {value_at(query, 'location')}"
        if value_at(query, "serviceAccountName").partition("@")[0] not in own:
            yield f"{query.name} runs as {value_at(query, 'serviceAccountName')}"
        if re.search(r"\bINSERT\s+INTO\b", _bare(value_at(query, "params.query")), re.IGNORECASE):
            yield f"{query.name} inserts: run twice, it would count twice"
        if re.search(r"\d:00\b", value_at(query, "schedule").removesuffix("to 23:59")):
            yield f"{query.name} fires on the hour, where the service may fire twice"


def _bare(sql: str) -> str:
    """SQL without comments and texts."""
    return re.sub(r"--[^\n]*|'(?:[^'\\]|\\.)*'", "", sql)


def every_contract_is_served(stack: Stack) -> Iterator[str]:
    """A schedule or a topic, every table, and the way from its bucket events to a step."""
    jobs = {value_at(job, "name"): job for job in stack.of(JOB)}
    topics = {value_at(topic, "name") for topic in stack.of("pubsub/topic:Topic")}
    tables = {value_at(t, "tableId") for t in stack.of(TABLE) if value_at(t, "datasetId") == "lake"}
    report_tables = {
        value_at(t, "tableId") for t in stack.of(TABLE) if value_at(t, "datasetId") == "reports"
    }
    heard = {
        value_at(n, "objectNamePrefix"): value_at(n, "topic").rpartition("/")[2]
        for n in stack.of("storage/notification:Notification")
    }
    pushed = {
        value_at(s, "topic").rpartition("/")[2]
        for s in stack.of(SUBSCRIPTION)
        if "pushConfig" in s.inputs
    }
    for contract in load_all().values():
        yield from _source_faults(contract, jobs, topics)
        for table in contract.lake_tables():
            if table.name not in tables:
                yield f"{contract.dataset}: lake.{table.name} is missing"
        if contract.latest_table and not contract.retired:
            if contract.latest_table.table not in report_tables:
                yield f"{contract.dataset}: reports.{contract.latest_table.table} is missing"
            if heard.get(object_names.split_records(contract.dataset)) not in pushed:
                yield f"{contract.dataset}: no step is told of a split to show"
    for prefix in ("runs/", "streams/", "manifests/", "receipts/"):
        if heard.get(prefix) not in pushed:
            yield f"what is written to {prefix} calls no step"


def _source_faults(
    contract: Contract, jobs: dict[str, Resource], topics: set[str]
) -> Iterator[str]:
    """What is missing of the way a data set comes in."""
    name = contract.dataset.replace("_", "-")
    job = jobs.get(f"ingest-{name}")
    if contract.retired:
        if job:
            yield f"{contract.dataset} is retired and still scheduled"
    elif contract.kind is Kind.STREAM:
        if f"stream-{name}" not in topics:
            yield f"{contract.dataset} has no topic"
    elif job is None:
        yield f"{contract.dataset} has no schedule"
    elif value_at(job, "schedule") != contract.schedule or value_at(job, "timeZone") != "Etc/UTC":
        yield f"{contract.dataset} is scheduled otherwise than its contract says"
    elif value_at(job, "pubsubTarget.topicName").rpartition("/")[2] != "ingest":
        yield f"{contract.dataset}: its schedule leads nowhere"


_PLACED = {
    "location": (
        BUCKET,
        FUNCTION,
        IMAGES,
        QUERY,
        "bigquery/dataset:Dataset",
        "cloudrunv2/serviceIamMember:ServiceIamMember",
    ),
    "region": (JOB, "compute/subnetwork:Subnetwork"),
}
"""The input that says where → the kinds that must have it: a default is the provider's, not ours."""


def one_region(stack: Stack) -> Iterator[str]:
    """Whatever has a place has the stack's."""
    region = stack.setting("gcp:region")
    placed = [r for r in stack.resources if r.inputs.keys() & {"location", "region"}]
    for field, kinds in _PLACED.items():
        for resource in stack.of(*kinds):
            value_at(resource, field)
    for resource in placed:
        place = resource.inputs.get("location", resource.inputs.get("region"))
        if place != region:
            yield f"{resource.name} lies in {place}, the stack in {region}"


def batches_are_capped(stack: Stack) -> Iterator[str]:
    """A runtime, a time to live, caps on executors and disks, an account and a subnetwork."""
    for function in stack.of(FUNCTION):
        if function.name in ("submit", "sweep"):
            spark = json.loads(value_at(function, "serviceConfig.environmentVariables.SPARK"))
            yield from (f"{function.name}: {fault}" for fault in _spark_faults(spark))
    for subnetwork in stack.of("compute/subnetwork:Subnetwork"):
        if value_at(subnetwork, "privateIpGoogleAccess") is not True:
            yield f"{subnetwork.name}: batches could not reach Google's services"
    for firewall in stack.of("compute/firewall:Firewall"):
        ranges = {value_at(s, "ipCidrRange") for s in stack.of("compute/subnetwork:Subnetwork")}
        if set(value_at(firewall, "sourceRanges")) - ranges:
            yield f"{firewall.name} lets others than the batches in"


def _spark_faults(spark: dict[str, Any]) -> Iterator[str]:
    if spark.get("version") != "2.3":
        yield f"batches run on runtime {spark.get('version')}"
    if not 600 <= spark.get("ttl_seconds", 0) <= 4 * 3600:
        yield "a batch that hangs is not ended within four hours"
    if not 1 <= spark.get("max_batches", 0) <= 100:
        yield "any number of batches may run at once"
    properties = spark.get("properties", {})
    if not 2 <= int(properties.get("spark.dynamicAllocation.maxExecutors", 0)) <= 16:
        yield "a batch may grow without bound"
    for part in ("driver", "executor"):
        if not properties.get(f"spark.dataproc.{part}.disk.size"):
            yield f"the {part}'s disk is left to the service"
    if "@" not in spark.get("service_account", "") or not spark.get("subnetwork"):
        yield "batches run as nobody or nowhere"


def names_fit(stack: Stack) -> Iterator[str]:
    """Names within what their services take."""
    for kind, (field, form) in _NAMES.items():
        for resource in stack.of(kind):
            if not re.fullmatch(form, value_at(resource, field)):
                yield f"{value_at(resource, field)!r} is no name for a {kind.rpartition(':')[2]}"


def what_a_file_says_it_keeps(stack: Stack) -> Iterator[str]:
    """Jobs and archive are named by content; a pending batch finds its own job."""
    for stored in stack.of(OBJECT):
        if not re.search(r"/[0-9a-f]{16}[./]", value_at(stored, "name")):
            yield f"{value_at(stored, 'name')} is not named by content"
        if value_at(stored, "name").startswith("jobs/") and not stack.relations(stored).retained:
            yield f"{value_at(stored, 'name')} goes while a batch may still ask for it"


def only_a_disposable_stack_loses_data(stack: Stack) -> Iterator[str]:
    """Elsewhere buckets and tables are protected, by Pulumi and by the service.

    But for a table of newest rows: the next fetch fills it in any case.
    """
    disposable = stack.setting("citypulse:disposable") == "true"
    for bucket in stack.of(BUCKET):
        if value_at(bucket, "forceDestroy") is not disposable:
            yield f"{bucket.name}: a bucket that is full would go, or one to dispose of would not"
        if stack.relations(bucket).protect is disposable:
            yield f"{bucket.name} is protected where it should not be, or not where it should"
        if (
            value_at(bucket, "softDeletePolicy.retentionDurationSeconds") >= 7 * 86_400
        ) is disposable:
            yield f"{bucket.name}: what is deleted is kept where it should not be, or not kept"
    for table in stack.of(TABLE):
        if value_at(table, "datasetId") == "reports":
            continue
        if stack.relations(table).protect is disposable:
            yield f"{table.name}: a replacement would not be refused, or not allowed"
        if value_at(table, "deletionProtection") is disposable:
            yield f"{table.name}: deletion protection is the wrong way round"


NEEDED = {
    FUNCTION: ("projects/iAMMember:IAMMember",),
    "storage/notification:Notification": ("pubsub/topicIAMMember:TopicIAMMember",),
    QUERY: ("serviceaccount/iAMMember:IAMMember",),
    "pushConfig": (
        "pubsub/topicIAMMember:TopicIAMMember",
        "serviceaccount/iAMMember:IAMMember",
    ),
    "bigqueryConfig": (
        "bigquery/datasetIamMember:DatasetIamMember",
        "pubsub/topicIAMMember:TopicIAMMember",
    ),
    "cloudStorageConfig": ("storage/bucketIAMMember:BucketIAMMember",),
}
"""Kind, or the kind of a subscription → the grants it is refused without, at once or when used."""


def first_deployments_wait(stack: Stack) -> Iterator[str]:
    """All come after the APIs; what is checked when it is made, after grants that had time."""
    standing = {(b.type, b.name): b for b in stack.all_relations}
    apis = {(r.type, r.name) for r in stack.of("projects/service:Service")}
    if not any(standing[api].hooks for api in apis):
        yield "nothing waits until the APIs are known"
    for resource in stack.resources:
        missing = apis - _before(standing, (resource.type, resource.name))
        if missing and (resource.type, resource.name) not in apis:
            yield f"{resource.name} is made before {min(missing)[1]} is on"
        for kind in _grants_needed(resource):
            near = standing[resource.type, resource.name].after
            after = [standing[name] for name in near & standing.keys()]
            if not any(b.type == f"gcp:{kind}" and "settle" in b.hooks for b in after):
                yield f"{resource.name} does not wait for a {kind.rpartition(':')[2]}"


def _grants_needed(resource: Resource) -> tuple[str, ...]:
    kind = resource.type.removeprefix("gcp:")
    if kind != SUBSCRIPTION:
        return NEEDED.get(kind, ())
    return next((NEEDED[way] for way in NEEDED if way in resource.inputs), ())


def _before(standing: Mapping[Any, Relations], start: tuple[str, str]) -> set[tuple[str, str]]:
    """All that must be there before a resource, however far; a child comes after its parent."""
    found: set[tuple[str, str]] = set()
    ahead = [start]
    while ahead:
        here = standing[ahead.pop()]
        for other in {*here.after, here.parent} - found:
            found.add(other)
            if other in standing:  # what is only read is not made
                ahead.append(other)
    return found


def alerts_tell_somebody_what_to_do(stack: Stack) -> Iterator[str]:
    """An entry of the runbook in each, channels where addresses are configured, one a data set."""
    headings = runbook_headings()
    alerts = {value_at(a, "displayName"): a for a in stack.of(ALERT)}
    for title, alert in alerts.items():
        entry = value_at(alert, "documentation.content").partition("docs/runbook.md#")[2]
        if entry not in headings:
            yield f"{title}: docs/runbook.md has no entry {entry!r}"
        channels = alert.inputs.get("notificationChannels") or []
        if bool(channels) != bool(stack.setting("citypulse:alert_emails")):
            yield f"{title} tells nobody"
        for condition in value_at(alert, "conditions"):
            kind = condition.get("conditionThreshold") or condition.get("conditionAbsent")
            if not kind or not kind.get("filter") or not kind.get("aggregations"):
                yield f"{title} watches nothing"
    for contract in load_all().values():
        watched = any(title.startswith(f"citypulse: {contract.dataset}:") for title in alerts)
        if watched is contract.retired:
            yield f"{contract.dataset} is watched though it is retired, or not watched"


def runbook_headings() -> set[str]:
    """The anchors of the runbook's headings."""
    text = (REPOSITORY / "docs" / "runbook.md").read_text(encoding="utf-8")
    return {h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def only_our_workflows_come_in(stack: Stack) -> Iterator[str]:
    """One repository, and for the account that deploys one branch; no key anywhere."""
    repository = stack.setting("citypulse:github")
    branch = stack.setting("citypulse:branch") or "main"
    for provider in stack.of("iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider"):
        if value_at(provider, "attributeCondition") != _FORK.format(repository):
            yield f"{provider.name}: workflows of other repositories come in"
    for grant in stack.of(ACTING_GRANT):
        if value_at(grant, "role") != "roles/iam.workloadIdentityUser":
            continue
        member = value_at(grant, "member")
        place = f"attribute.place/{repository}:refs/heads/{branch}"
        wanted = place if "deploy" in grant.name else f"attribute.repository/{repository}"
        if not member.endswith(f"/workloadIdentityPools/github/{wanted}"):
            yield f"{grant.name} lets {member} in"
    if any(stack.of("serviceaccount/key:Key")):
        yield "a service account has a key"


def pull_requests_read_alone(stack: Stack) -> Iterator[str]:
    """Any branch's code runs as the preview's account: nothing but roles that read, on the project."""
    for grant in grants(stack):
        if not value_at(grant, "member").startswith("serviceAccount:github-preview@"):
            continue
        looks = f"gcp:{PROJECT_GRANT}" == grant.type and value_at(grant, "role") in LOOKING_ROLES
        if not looks:
            yield f"{grant.name} gives pull requests {value_at(grant, 'role')}"


def landing_outlives_late_rows(stack: Stack) -> Iterator[str]:
    """What may still be asked for is not deleted: raw and parts outlive every `late_until`."""
    late = max((c.late_until_hours or 0 for c in load_all().values()), default=0) / 24
    for bucket in stack.of(BUCKET):
        if bucket.name not in ("raw", "landing"):
            continue
        for rule in value_at(bucket, "lifecycleRules"):
            if rule["action"]["type"] == "Delete" and rule["condition"].get("age", 0) <= late:
                yield f"{bucket.name} deletes what late rows may still join"


POLICIES: tuple[Policy, ...] = (
    nobody_is_public,
    serve_reads_alone,
    project_roles_are_few,
    grants_add_only,
    agents_write_streams_alone,
    pushes_are_retried_and_signed,
    pubsub_signs_as_the_push_account_alone,
    each_function_has_its_account,
    functions_are_closed_and_bounded,
    images_are_ours_and_cleaned_up,
    buckets_are_closed,
    queries_replace_where_the_data_is,
    every_contract_is_served,
    one_region,
    batches_are_capped,
    names_fit,
    what_a_file_says_it_keeps,
    only_a_disposable_stack_loses_data,
    landing_outlives_late_rows,
    first_deployments_wait,
    alerts_tell_somebody_what_to_do,
    only_our_workflows_come_in,
    pull_requests_read_alone,
)
