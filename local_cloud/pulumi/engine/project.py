"""A project in memory, behind the stand-in provider: it refuses what Google's does.

It refuses the results of a wrong order: an API that is off, a name that is taken, something named
that is not there, a deletion of what is in use, protected or not empty.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from local_cloud.pulumi.engine.provider import ResourceRefusedError
from local_cloud.pulumi.mocks import Resource
from local_cloud.pulumi.provision import provider_outputs

BUCKET = "gcp:storage/bucket:Bucket"
OBJECT = "gcp:storage/bucketObject:BucketObject"
TOPIC = "gcp:pubsub/topic:Topic"
SUBSCRIPTION = "gcp:pubsub/subscription:Subscription"
DATASET = "gcp:bigquery/dataset:Dataset"
TABLE = "gcp:bigquery/table:Table"
ACCOUNT = "gcp:serviceaccount/account:Account"
FUNCTION = "gcp:cloudfunctionsv2/function:Function"
IMAGES = "gcp:artifactregistry/repository:Repository"
NETWORK = "gcp:compute/network:Network"
SUBNETWORK = "gcp:compute/subnetwork:Subnetwork"
FIREWALL = "gcp:compute/firewall:Firewall"
SERVICE = "gcp:projects/service:Service"
AGENT = "gcp:projects/serviceIdentity:ServiceIdentity"

_APIS: Mapping[str, str] = MappingProxyType(
    {
        "artifactregistry": "artifactregistry",
        "bigquery": "bigquery",
        "cloudfunctionsv2": "cloudfunctions",
        "cloudrunv2": "run",
        "cloudscheduler": "cloudscheduler",
        "compute": "compute",
        "pubsub": "pubsub",
        "serviceaccount": "iam",
        "storage": "storage",
        "bigquery/dataTransferConfig": "bigquerydatatransfer",
        "projects/iAMMember": "cloudresourcemanager",
    }
)
"""Module or type → the API that its resources need."""

_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        OBJECT: (("bucket", BUCKET),),
        "gcp:storage/bucketIAMMember:BucketIAMMember": (("bucket", BUCKET),),
        "gcp:storage/notification:Notification": (("bucket", BUCKET), ("topic", TOPIC)),
        SUBSCRIPTION: (
            ("topic", TOPIC),
            ("deadLetterPolicy.deadLetterTopic", TOPIC),
            ("bigqueryConfig.table", TABLE),
            ("cloudStorageConfig.bucket", BUCKET),
            ("pushConfig.oidcToken.serviceAccountEmail", ACCOUNT),
        ),
        "gcp:pubsub/topicIAMMember:TopicIAMMember": (("topic", TOPIC),),
        "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember": (("subscription", SUBSCRIPTION),),
        TABLE: (("datasetId", DATASET),),
        "gcp:bigquery/datasetIamMember:DatasetIamMember": (("datasetId", DATASET),),
        "gcp:bigquery/dataTransferConfig:DataTransferConfig": (("serviceAccountName", ACCOUNT),),
        FUNCTION: (
            ("buildConfig.dockerRepository", IMAGES),
            ("buildConfig.serviceAccount", ACCOUNT),
            ("buildConfig.source.storageSource.bucket", BUCKET),
            ("buildConfig.source.storageSource.object", OBJECT),
            ("serviceConfig.serviceAccountEmail", ACCOUNT),
        ),
        "gcp:cloudrunv2/serviceIamMember:ServiceIamMember": (("name", FUNCTION),),
        "gcp:cloudscheduler/job:Job": (("pubsubTarget.topicName", TOPIC),),
        "gcp:serviceaccount/iAMMember:IAMMember": (("serviceAccountId", ACCOUNT),),
        SUBNETWORK: (("network", NETWORK),),
        FIREWALL: (("network", NETWORK),),
    }
)
"""Type → its inputs that name another resource, which must be there first."""

_HOLDS: Mapping[str, tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        NETWORK: ((SUBNETWORK, FIREWALL), ""),
        DATASET: ((TABLE,), "deleteContentsOnDestroy"),
        BUCKET: ((OBJECT,), "forceDestroy"),
    }
)
"""Type → the types that must not be in it before it is deleted, unless an input allows it."""


class Project:
    """A project in which nothing runs. `living` has its resources, by type and id."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.living: dict[tuple[str, str], Resource] = {}
        self._names: dict[tuple[str, str], frozenset[str]] = {}
        self._apis: set[str] = set()
        self._lock = threading.Lock()

    def create(self, resource: Resource) -> tuple[str, Mapping[str, Any]]:
        """Make a resource; raise ResourceRefusedError."""
        resource_id, outputs = provider_outputs(resource, self.name)
        with self._lock:
            if (resource.type, resource_id) in self.living and not _may_come_twice(resource.type):
                raise ResourceRefusedError(
                    f"{_of(resource)} cannot be made: there is a {resource_id} already"
                )
            self._refuse_api_off(resource)
            self._refuse_unknown_names(resource)
            self._keep(resource_id, resource)
        return resource_id, outputs

    def planned(self, resource: Resource) -> Mapping[str, Any]:
        """Return the outputs that a resource would have."""
        return provider_outputs(resource, self.name)[1]

    def update(self, resource_id: str, resource: Resource) -> None:
        """Change a resource in place; raise ResourceRefusedError."""
        with self._lock:
            if (resource.type, resource_id) not in self.living:
                raise ResourceRefusedError(
                    f"{_of(resource)} cannot be changed: there is no {resource_id}"
                )
            self._refuse_unknown_names(resource)
            self._keep(resource_id, resource)

    def delete(self, resource_id: str, resource: Resource) -> None:
        """Delete a resource and the content of a bucket or data set; raise ResourceRefusedError."""
        with self._lock:
            if resource.inputs.get("deletionProtection"):
                raise ResourceRefusedError(
                    f"{_of(resource)} cannot be deleted: deletionProtection is on"
                )
            kinds, allowing = _HOLDS.get(resource.type, ((), ""))
            held = [key for key in self._naming(resource.type, resource_id) if key[0] in kinds]
            if held and not resource.inputs.get(allowing):
                inside = ", ".join(sorted(self.living[key].name for key in held))
                raise ResourceRefusedError(
                    f"{_of(resource)} cannot be deleted: it is in use by {inside}"
                )
            for key in (*held, (resource.type, resource_id)):
                self.living.pop(key, None)
                self._names.pop(key, None)

    def _keep(self, resource_id: str, resource: Resource) -> None:
        self.living[resource.type, resource_id] = resource
        self._names[resource.type, resource_id] = frozenset(
            {resource_id, *names(resource, provider_outputs(resource, self.name)[1], self.name)}
        )
        if resource.type == SERVICE:
            self._apis.add(resource.inputs["service"].partition(".")[0])

    def _refuse_api_off(self, resource: Resource) -> None:
        api = api_of(resource.type)
        if api and api not in self._apis:
            raise ResourceRefusedError(
                f"{_of(resource)} cannot be made: {api}.googleapis.com is off: let it depend on the "
                "services"
            )

    def _refuse_unknown_names(self, resource: Resource) -> None:
        for path, kind, name in named(resource):
            if not any(
                name in known_names for key, known_names in self._names.items() if key[0] == kind
            ):
                raise ResourceRefusedError(
                    f"{_of(resource)} cannot be made: its {path} names {name}, and there is no such "
                    f"{kind.rpartition(':')[2]}: give it an output of the other, or depends_on"
                )

    def _naming(self, kind: str, resource_id: str) -> list[tuple[str, str]]:
        """List everything that names the resource of a type and id."""
        own_names = self._names.get((kind, resource_id), frozenset())
        return [
            key
            for key, resource in self.living.items()
            if any(other == kind and name in own_names for _, other, name in named(resource))
        ]


def _may_come_twice(kind: str) -> bool:
    """Check if a type may be made again: an object is written over, a grant or API stays."""
    return kind in (OBJECT, SERVICE, AGENT) or kind.lower().endswith("iammember")


def api_of(kind: str) -> str | None:
    """Look up the API without which nothing of a type can be made, by its short name."""
    group = kind.removeprefix("gcp:").partition(":")[0]
    return _APIS.get(group) or _APIS.get(group.partition("/")[0])


def named(resource: Resource) -> Iterator[tuple[str, str, str]]:
    """Iterate the input, type and name of every resource that one names."""
    for path, kind in _NAMES.get(resource.type, ()):
        value: Any = resource.inputs
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            yield path, kind, value
    member = str(resource.inputs.get("member", ""))
    if ".iam.gserviceaccount.com" in member and "@gcp-sa-" not in member and "@gs-" not in member:
        yield "member", ACCOUNT, member


def names(resource: Resource, outputs: Mapping[str, Any], project: str) -> Iterator[str]:
    """Iterate the names by which others may refer to a resource, except its id."""
    properties = {**resource.inputs, **outputs}
    yield from (
        properties[key]
        for key in ("name", "email", "member")
        if isinstance(properties.get(key), str)
    )
    if resource.type == DATASET:
        yield properties["datasetId"]
    if resource.type == TABLE:
        yield f"{project}.{properties['datasetId']}.{properties['tableId']}"


def _of(resource: Resource) -> str:
    return f"{resource.type} {resource.name}"
