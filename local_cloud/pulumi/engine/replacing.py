"""Decide which changed inputs replace a resource instead of updating it, and in which order.

Read for this: hashicorp/terraform-provider-google, which pulumi-gcp wraps (resource_bigquery_table.go
at 00b984c6, resource_storage_bucket_object.go at 0540ffed), and GoogleCloudPlatform/magic-modules,
from which that is made (pubsub/Subscription.yaml at 031052e0, cloudscheduler/Job.yaml at 059355fc).
The other types follow their pattern: a changed name, place or parent replaces; so does any change
of a grant.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

ALL = "*"
"""Every input replaces: such a resource is made and deleted, never changed."""

_PROPERTIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "artifactregistry/repository:Repository": ("repositoryId", "location", "format"),
        "bigquery/dataTransferConfig:DataTransferConfig": ("dataSourceId", "location"),
        "bigquery/dataset:Dataset": ("datasetId", "location"),
        "bigquery/datasetAccess:DatasetAccess": (ALL,),
        "bigquery/datasetIamMember:DatasetIamMember": (ALL,),
        "bigquery/table:Table": (
            "datasetId", "tableId", "timePartitioning.field", "timePartitioning.type",
            "rangePartitioning",
        ),
        "bigquery/tableIamMember:TableIamMember": (ALL,),
        "billing/budget:Budget": ("billingAccount",),
        "cloudfunctionsv2/function:Function": ("name", "location"),
        "cloudrunv2/serviceIamMember:ServiceIamMember": (ALL,),
        "cloudscheduler/job:Job": ("name", "region"),
        "compute/firewall:Firewall": ("name", "network", "direction"),
        "compute/network:Network": ("name", "autoCreateSubnetworks", "description"),
        "compute/subnetwork:Subnetwork": ("name", "network", "region"),
        "iam/workloadIdentityPool:WorkloadIdentityPool": ("workloadIdentityPoolId",),
        "iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": (
            "workloadIdentityPoolId", "workloadIdentityPoolProviderId",
        ),
        "logging/metric:Metric": ("name",),
        "monitoring/alertPolicy:AlertPolicy": (),
        "monitoring/dashboard:Dashboard": (),
        "monitoring/notificationChannel:NotificationChannel": (),
        "projects/iAMMember:IAMMember": (ALL,),
        "projects/service:Service": ("service",),
        "projects/serviceIdentity:ServiceIdentity": (ALL,),
        "pubsub/subscription:Subscription": (
            "name", "topic", "filter", "enableMessageOrdering",
        ),
        "pubsub/subscriptionIAMMember:SubscriptionIAMMember": (ALL,),
        "pubsub/topic:Topic": ("name",),
        "pubsub/topicIAMMember:TopicIAMMember": (ALL,),
        "secretmanager/secret:Secret": ("secretId", "replication"),
        "secretmanager/secretIamMember:SecretIamMember": (ALL,),
        "serviceaccount/account:Account": ("accountId",),
        "serviceaccount/iAMMember:IAMMember": (ALL,),
        "storage/bucket:Bucket": ("name", "location", "enableObjectRetention"),
        "storage/bucketIAMMember:BucketIAMMember": (ALL,),
        "storage/bucketObject:BucketObject": (
            "bucket", "name", "source", "content", "contentType", "contentEncoding",
            "cacheControl", "metadata", "storageClass",
        ),
        "storage/notification:Notification": (ALL,),
    }
)  # fmt: skip

_INDEX = re.compile(r"\[\d+\]")


class UnknownTypeError(LookupError):
    """A type for which this table does not say what replaces it."""


def differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """Iterate the paths of all leaves that differ, such as `lifecycleRules[0].action`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{path}[{place}]")
    elif old != new:
        yield path


def replacing(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the differing paths that replace a resource of a type; raise UnknownTypeError."""
    properties = replacing_properties(kind)
    special = _SPECIAL.get(kind, {})
    return [
        path
        for path in differences(old, new)
        if ALL in properties
        or path == "project"
        or any(_within(_INDEX.sub("", path), parent) for parent in properties)
        or (path in special and special[path](old.get(path), new.get(path)))
    ]


def replacing_properties(kind: str) -> tuple[str, ...]:
    """List the inputs whose change replaces a resource of a type; raise UnknownTypeError."""
    try:
        return _PROPERTIES[kind.removeprefix("gcp:")]
    except KeyError:
        raise UnknownTypeError(
            f"{kind}: nothing says which changed inputs replace it: add it to {__name__}"
        ) from None


def deleted_first(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Check whether a replaced resource goes before the new one comes: both have one name.

    The bridge that makes a Pulumi provider of a Terraform one decides it the same way, by `name`.
    """
    return "name" in old and old["name"] == new.get("name")


def _within(path: str, parent: str) -> bool:
    return path == parent or path.startswith(f"{parent}.")


def _schema_cannot_follow(old: Any, new: Any) -> bool:
    """Check whether a table must be created again, as Terraform's provider decides it.

    More nullable columns do not matter, nor do fewer; both at once could be a new name.
    """
    try:
        before, after = ({f["name"]: f for f in json.loads(text or "[]")} for text in (old, new))
    except ValueError:
        return True  # not known before it is made
    added, dropped = after.keys() - before.keys(), before.keys() - after.keys()
    return (
        bool(added and dropped)
        or any(_mode(after[name]) == "REQUIRED" for name in added)
        or any(_changed_column(before[name], after[name]) for name in before.keys() & after.keys())
    )


def _changed_column(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Check whether a column has another type, or a mode that its rows may break."""
    relaxed = (_mode(old), _mode(new)) == ("REQUIRED", "NULLABLE")
    return old["type"] != new["type"] or (_mode(old) != _mode(new) and not relaxed)


def _mode(column: Mapping[str, str]) -> str:
    return column.get("mode", "NULLABLE")


def _range_shrinks(old: Any, new: Any) -> bool:
    """Check whether a subnetwork's range does not hold the one before."""
    try:
        before, after = (ipaddress.IPv4Network(text) for text in (old, new))
    except ValueError:
        return True
    return not before.subnet_of(after)


_SPECIAL: Mapping[str, Mapping[str, Callable[[Any, Any], bool]]] = MappingProxyType(
    {
        "gcp:bigquery/table:Table": {"schema": _schema_cannot_follow},
        "gcp:compute/subnetwork:Subnetwork": {"ipCidrRange": _range_shrinks},
    }
)
"""Inputs whose change replaces only at times."""
