"""What the program registers for a configuration, collected once a process under mocks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
import yaml  # type: ignore[import-untyped]

from local_cloud.pulumi.mocks import Relations, Resource, Setting, run_program
from local_cloud.pulumi.provision import provider_outputs

REPOSITORY = Path(__file__).resolve().parents[2]

PROGRAM = REPOSITORY / "infra_pulumi" / "__main__.py"


class UnknownValueError(LookupError):
    """A value that a policy needs and nobody knows: no policy may pass by it."""


@dataclass(frozen=True)
class Stack:
    """The resources of a stack in the order they were made, and how they relate to each other."""

    settings: Mapping[str, Setting]
    resources: tuple[Resource, ...]
    all_relations: tuple[Relations, ...] = field(default=())
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """The stack's outputs: plain values, or a `pulumi.Output` each."""

    def of(self, *kinds: str) -> Iterator[Resource]:
        """The resources of some kinds, each the end of a type: `storage/bucket:Bucket`."""
        for resource in self.resources:
            if resource.type.removeprefix("gcp:") in kinds:
                yield resource

    def relations(self, resource: Resource) -> Relations:
        """How a resource relates to others."""
        wanted = (resource.type, resource.name)
        return next(b for b in self.all_relations if (b.type, b.name) == wanted)

    def setting(self, key: str) -> str:
        """A text of the stack file; empty where it says nothing."""
        return str(self.settings.get(key, ""))


def value_at(resource: Resource, path: str) -> Any:
    """The value at a path such as `pushConfig.oidcToken.audience`; raises Unknown."""
    value: Any = resource.inputs
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
        if value is None:
            raise UnknownValueError(f"{resource.name}: {path} is not known")
    return value


def stack_files() -> dict[str, Path]:
    """The stack files by stack."""
    found = sorted((REPOSITORY / "infra_pulumi").glob("Pulumi.*.yaml"))
    return {path.name.split(".")[1]: path for path in found}


def settings_of(path: Path) -> dict[str, Setting]:
    """The configuration keys of a stack file, as the engine hands them to the program."""
    config = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }


def registered(stack: str) -> Stack:
    """What the program registers for a stack file."""
    return register(settings_of(stack_files()[stack]), stack=stack)


def register(
    settings: Mapping[str, Setting],
    *,
    stack: str = "local",
    before: Mapping[str, Any] | None = None,
) -> Stack:
    """Register a configuration, once a process; whatever the program raises is passed on.

    A registration takes a second, mostly Pulumi's own bookkeeping of 250 resources. Tests share
    the result, so they must not change it.

    Args:
        settings: Configuration keys with namespace, e.g. `gcp:project`.
        stack: The stack's name.
        before: The stack's outputs of the last deployment; None for a new stack.
    """
    return _register(json.dumps([settings, stack, before], sort_keys=True))


@cache
def _register(configuration: str) -> Stack:
    settings, stack, before = json.loads(configuration)
    seen: list[Resource] = []
    relations: list[Relations] = []
    outputs: dict[str, Any] = {}
    export = pulumi.export

    def make(resource: Resource) -> tuple[str, Mapping[str, Any]]:
        seen.append(resource)
        return provider_outputs(resource, settings["gcp:project"])

    def record(name: str, value: Any) -> None:
        outputs[name] = value
        export(name, value)

    with tempfile.TemporaryDirectory() as build, patch("pulumi.export", record):
        configured = {**settings, "citypulse:build": build}
        run_program(
            PROGRAM, configured, make, stack=stack, on_relations=relations.append, before=before
        )
    return Stack(settings, tuple(seen), tuple(relations), outputs)
