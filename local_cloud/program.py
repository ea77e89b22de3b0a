"""Runs the stack's own Pulumi program under mocks: each resource is handed over as it registers."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks

_THREADS = 32
"""One resource that waits must not starve the rest."""


class UnknownResource(LookupError):
    """The program registers a type that nothing here stands for."""


@dataclass(frozen=True)
class Resource:
    """A resource as the provider would get it: inputs in camelCase, whole numbers as floats."""

    type: str
    name: str
    inputs: Mapping[str, Any]


type Setting = str | list[str] | dict[str, str]
"""A value of the stack's configuration: a text, or what becomes one as JSON."""

type Make = Callable[[Resource], tuple[str, Mapping[str, Any]]]
"""Makes a resource and gives its id and what its outputs have beyond its inputs."""

type Run = Callable[[Path, Mapping[str, Setting], Make], None]
"""Runs a program (an `__main__.py`) with settings; each of its resources is handed to the maker."""


def run_program(program: Path, settings: Mapping[str, Setting], make: Make) -> None:
    """Run `program` (an `__main__.py`) once; `settings` are configuration keys with namespace.

    Whatever the program or `make` raises is passed on.
    """

    def run() -> None:
        """Run the program as its own main."""
        runpy.run_path(str(program), run_name="__main__")

    loop = asyncio.new_event_loop()
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="pulumi")
    loop.set_default_executor(executor)
    asyncio.set_event_loop(loop)
    try:
        pulumi.runtime.set_mocks(_Mocks(make), project="citypulse", stack="local", preview=False)
        pulumi.runtime.set_all_config({key: as_text(value) for key, value in settings.items()})
        loop.run_until_complete(pulumi.runtime.stack.run_pulumi_func(run))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        executor.shutdown(wait=False)


class _Mocks(Mocks):
    """Hands custom resources over; components only group them."""

    def __init__(self, make: Make) -> None:
        self._make = make

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Make one resource."""
        if not args.custom:
            return None, dict(args.inputs)
        made, outputs = self._make(Resource(args.typ, args.name, args.inputs))
        return made, {**args.inputs, **outputs}

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer a look-up."""
        return look_up(args.token), []


def look_up(token: str) -> dict[str, Any]:
    """The answer to a function of the provider; raises UnknownResource."""
    if token == "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":  # noqa: S105
        agent = "service-1@gs-project-accounts.iam.gserviceaccount.com"
        return {"emailAddress": agent, "member": f"serviceAccount:{agent}", "id": agent}
    raise UnknownResource(f"the program looks up {token}: answer it in {__name__}")


def as_text(value: Setting) -> str:
    """A value of the stack's configuration as Pulumi keeps it."""
    return value if isinstance(value, str) else json.dumps(value)
