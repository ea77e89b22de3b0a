"""Check that a stack's order is certain: a race that one `up` wins is lost by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from local_cloud.pulumi.engine.project import SERVICE, api_of, named, names
from local_cloud.pulumi.mocks import Resource

type Found = Mapping[str, Any]
"""A resource as the state has it: urn, type, id, inputs, outputs, parent, dependencies."""


def races(resources: Sequence[Found], project: str) -> list[str]:
    """List a sentence for each resource that need not wait for what it names, or for its API."""
    by_urn = {found["urn"]: found for found in resources}
    provider_resources = [found for found in resources if found["type"].startswith("gcp:")]
    names_by_urn = {found["urn"]: _names_of(found, project) for found in provider_resources}
    said = []
    for found in provider_resources:
        waits = _waits(found["urn"], by_urn)
        for what, urns in _wanted(found, provider_resources, names_by_urn):
            if urns and not urns & waits:
                said.append(f"{found['type']} {_name(found['urn'])} need not wait for {what}")
    return said


def _wanted(
    found: Found, provider_resources: Sequence[Found], names_by_urn: Mapping[str, frozenset[str]]
) -> list[tuple[str, frozenset[str]]]:
    """List what a resource needs first, and the resources of the stack that provide it."""
    wanted = [
        (
            f"{kind.rpartition(':')[2]} {name}, which its {path} names",
            frozenset(
                o["urn"]
                for o in provider_resources
                if o["type"] == kind and name in names_by_urn[o["urn"]]
            ),
        )
        for path, kind, name in named(_resource(found))
    ]
    api = api_of(found["type"])
    return [*wanted, (f"the API {api}", _serving(provider_resources, api))] if api else wanted


def _serving(provider_resources: Sequence[Found], api: str) -> frozenset[str]:
    return frozenset(
        found["urn"]
        for found in provider_resources
        if found["type"] == SERVICE and found["inputs"]["service"] == f"{api}.googleapis.com"
    )


def _waits(urn: str, by_urn: Mapping[str, Found]) -> set[str]:
    """Collect all that exists before a resource is made, with its parents' dependencies."""
    found: set[str] = set()
    todo = [urn]
    while todo:
        state = by_urn.get(todo.pop(), {})
        before = {*state.get("dependencies", ()), *filter(None, (state.get("parent"),))} - found
        found |= before
        todo += before
    return found


def _names_of(found: Found, project: str) -> frozenset[str]:
    """List the names by which others may refer to a resource."""
    return frozenset({found["id"], *names(_resource(found), found.get("outputs", {}), project)})


def _resource(found: Found) -> Resource:
    return Resource(found["type"], _name(found["urn"]), found.get("inputs", {}))


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
