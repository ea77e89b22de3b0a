"""Run the stack's own Pulumi program under mocks; pass on each resource as it registers."""

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
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import SETTINGS

PROJECT_NUMBER = "1"
"""The number of every project here."""

_THREADS = 32
"""One resource that waits must not starve the rest."""


class UnknownResourceError(LookupError):
    """The program registers a type that no stand-in makes."""


@dataclass(frozen=True)
class Resource:
    """A resource as the provider would get it: inputs in camelCase, whole numbers as floats."""

    type: str
    name: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Relations:
    """How a resource or component relates to others: no provider learns this."""

    type: str
    name: str
    parent: tuple[str, str]
    """Type and name of what it belongs to: a component, or the stack."""
    after: frozenset[tuple[str, str]]
    """Type and name of each resource that must be there before it."""
    protect: bool
    retained: bool
    """Whether it stays when it leaves the stack."""
    hooks: tuple[str, ...] = ()
    """Names of the hooks that run once it is made."""
    provider: str = ""
    """Name of the program's own provider that makes it; empty for the stack's."""


type Setting = str | list[str] | dict[str, str]
"""A value of the stack's configuration: a text, or what becomes one as JSON."""


type Make = Callable[[Resource], tuple[str, Mapping[str, Any]]]
"""Makes a resource and gives its id and what its outputs have beyond its inputs."""


type Run = Callable[[Path, Mapping[str, Setting], Make], None]
"""Runs a program (an `__main__.py`) with settings; each of its resources is handed to the maker."""


def run_program(
    program: Path,
    settings: Mapping[str, Setting],
    make: Make,
    *,
    stack: str = "local",
    on_relations: Callable[[Relations], None] | None = None,
    before: Mapping[str, Any] | None = None,
) -> None:
    """Run `program` (an `__main__.py`) once; `settings` are configuration keys with namespace.

    `on_relations` receives how each resource relates to others, once it is made; `before` has the stack's
    last outputs, nothing for a new one. An error of the program or of `make` is passed on.
    """

    def run() -> None:
        """Run the program as its own main."""
        runpy.run_path(str(program), run_name="__main__")

    loop = asyncio.new_event_loop()
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="pulumi")
    loop.set_default_executor(executor)
    asyncio.set_event_loop(loop)
    try:
        mocks = _Mocks(make, before or {})
        monitor = _Monitor(mocks, on_relations) if on_relations else None
        pulumi.runtime.set_mocks(
            mocks, project="citypulse", stack=stack, preview=False, monitor=monitor
        )
        pulumi.runtime.set_all_config({key: as_text(value) for key, value in settings.items()})
        loop.run_until_complete(pulumi.runtime.stack.run_pulumi_func(run))
    except BaseException:
        loop.set_exception_handler(_ignore)
        raise
    finally:
        _end_tasks(loop)
        SETTINGS.outputs.clear()
        asyncio.set_event_loop(None)
        loop.close()
        executor.shutdown(wait=False)


def _ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """Log nothing for the futures of a failed run: each has the error that is raised already."""


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that a failed run leaves and wait for them: else each would log a loss."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


class _Mocks(Mocks):
    """Hands custom resources over; components only group them."""

    def __init__(self, make: Make, before: Mapping[str, Any]) -> None:
        self._make = make
        self._before = before

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Make one resource."""
        if args.typ == "pulumi:pulumi:StackReference":  # the program asks for its own last outputs
            return args.name, {"outputs": dict(self._before), "secretOutputNames": []}
        if not args.custom:
            return None, dict(args.inputs)
        resource_id, outputs = self._make(Resource(args.typ, args.name, args.inputs))
        return resource_id, {**args.inputs, **outputs}

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer a look-up."""
        return look_up(args.token), []


class _Monitor(MockMonitor):
    """Passes on what the mocks leave out of a registration."""

    def __init__(self, mocks: Mocks, on_relations: Callable[[Relations], None]) -> None:
        super().__init__(mocks)
        self._on_relations = on_relations

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - Pulumi's name
        """Register it, then pass on how it relates to others."""
        registration = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self._on_relations(
            Relations(
                type=request.type,
                name=request.name,
                parent=_type_and_name(request.parent),
                after=frozenset(map(_type_and_name, request.dependencies)),
                protect=request.protect,
                retained=request.retainOnDelete,
                hooks=tuple(request.hooks.after_create),
                provider=_type_and_name(request.provider.rpartition("::")[0])[1],
            )
        )
        return registration


def _type_and_name(urn: str) -> tuple[str, str]:
    """Read type and name from a URN, which has the parents' types before its own."""
    *_, types, name = urn.split("::") if urn else ("", "")
    return types.rpartition("$")[2], name


def look_up(token: str) -> dict[str, Any]:
    """Answer a function of the provider; raise UnknownResourceError."""
    if token == "gcp:storage/getProjectServiceAccount:getProjectServiceAccount":  # noqa: S105
        agent = "service-1@gs-project-accounts.iam.gserviceaccount.com"
        return {"emailAddress": agent, "member": f"serviceAccount:{agent}", "id": agent}
    if token == "gcp:organizations/getProject:getProject":  # noqa: S105
        return {"number": PROJECT_NUMBER, "id": f"projects/{PROJECT_NUMBER}"}
    raise UnknownResourceError(f"the program looks up {token}: answer it in {__name__}")


def as_text(value: Setting) -> str:
    """Print a value of the stack's configuration as Pulumi stores it."""
    return value if isinstance(value, str) else json.dumps(value)
