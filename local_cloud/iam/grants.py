"""The grants that the Pulumi program registers, read as IAM reads them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local_cloud.pulumi.mocks import Resource

ROLES = Path(__file__).with_name("roles.toml")
_PREFIX = re.compile(r'resource\.name\.startsWith\("(?P<prefix>[^"\\]+)"\)')


@dataclass(frozen=True)
class Need:
    """One permission on one resource, as a call needs it."""

    permission: str
    resource: str
    """The full name, as IAM conditions see it: `projects/_/buckets/B/objects/O`."""

    def __str__(self) -> str:
        """Name the permission and the resource, for a refusal."""
        return f"{self.permission} on {self.resource}"


@dataclass(frozen=True)
class Grant:
    """A role that an account holds on something and all below it."""

    name: str
    """The program's name of the resource that gives it."""
    account: str
    """An e-mail; empty for what is no account, such as a group or a pool."""
    role: str
    on: str
    """Full name of the resource; `` for the project, which holds everything."""
    prefix: str = ""
    """The condition: names of resources to which it applies begin with this."""

    def gives(self, account: str, need: Need) -> bool:
        """Check whether this grant allows an account what it needs."""
        return (
            self.account == account
            and (not self.on or f"{need.resource}/".startswith(f"{self.on}/"))
            and need.resource.startswith(self.prefix)
            and need.permission in permissions_of(self.role)
        )


def grant_of(resource: Resource, project: str) -> Grant | None:
    """Read the grant that a resource makes; None if the local cloud sees no calls on it.

    Raises ValueError for a condition that is not understood: it must not widen or narrow unseen.
    """
    place = _PLACES.get(resource.type)
    if place is None:
        return None
    inputs = resource.inputs
    kind, _, email = str(inputs["member"]).partition(":")
    return Grant(
        name=resource.name,
        account=email if kind == "serviceAccount" else "",
        role=inputs["role"],
        on=place(inputs, project),
        prefix=_prefix(resource.name, inputs.get("condition")),
    )


@cache
def roles() -> Mapping[str, frozenset[str]]:
    """Map each role to its permissions, as roles.toml lists them."""
    document = tomllib.loads(ROLES.read_text(encoding="utf-8"))
    return {role: frozenset(each["permissions"]) for role, each in document.items()}


@cache
def uncounted() -> frozenset[str]:
    """List the roles that allow nothing here, although they would in the real cloud."""
    document = tomllib.loads(ROLES.read_text(encoding="utf-8"))
    return frozenset(role for role, each in document.items() if each.get("uncounted"))


def permissions_of(role: str) -> frozenset[str]:
    """Return a role's permissions; none if the local cloud sees none of its services."""
    return frozenset() if role in uncounted() else roles().get(role, frozenset())


def _prefix(name: str, condition: Mapping[str, Any] | None) -> str:
    if condition is None:
        return ""
    found = _PREFIX.fullmatch(condition["expression"])
    if found is None:
        raise ValueError(
            f"{name}: condition {condition['expression']!r} is not understood here: "
            'resource.name.startsWith("…") alone is'
        )
    return found["prefix"]


def _everything(_: Mapping[str, Any], __: str) -> str:
    return ""


def _bucket(inputs: Mapping[str, Any], _: str) -> str:
    return f"projects/_/buckets/{inputs['bucket']}"


def _named(collection: str, key: str) -> Callable[[Mapping[str, Any], str], str]:
    def place(inputs: Mapping[str, Any], project: str) -> str:
        """Build the full name of the granted resource, which the input may shorten."""
        return f"projects/{project}/{collection}/{str(inputs[key]).rpartition('/')[2]}"

    return place


_PLACES: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "gcp:bigquery/datasetIamMember:DatasetIamMember": _named("datasets", "datasetId"),
    "gcp:projects/iAMMember:IAMMember": _everything,
    "gcp:pubsub/subscriptionIAMMember:SubscriptionIAMMember": _named(
        "subscriptions", "subscription"
    ),
    "gcp:pubsub/topicIAMMember:TopicIAMMember": _named("topics", "topic"),
    "gcp:serviceaccount/iAMMember:IAMMember": _named("serviceAccounts", "serviceAccountId"),
    "gcp:storage/bucketIAMMember:BucketIAMMember": _bucket,
}
"""Type of a resource that grants → the full name of what it grants on."""
