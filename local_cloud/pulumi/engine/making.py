"""The engine instead of the mocks: the same code makes the program's resources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_cloud.pulumi.engine.provider import ResourceRefusedError
from local_cloud.pulumi.engine.stack import EngineStack
from local_cloud.pulumi.mocks import Make, Resource, Run, Setting
from local_cloud.pulumi.provision import provider_outputs

AT_ONCE = {"citypulse:settle_seconds": "0"}
"""Nothing that a stand-in makes takes time to spread, so nothing is waited for."""


class Making:
    """A cloud whose resources `make` makes once: it ends as a whole, so nothing is changed."""

    def __init__(self, make: Make, project: str) -> None:
        self._make = make
        self._project = project

    def create(self, resource: Resource) -> tuple[str, Mapping[str, Any]]:
        """Make a resource; raises what its maker raises."""
        return self._make(resource)

    def planned(self, resource: Resource) -> Mapping[str, Any]:
        """Return the outputs that the provider would compute."""
        return provider_outputs(resource, self._project)[1]

    def update(self, resource_id: str, resource: Resource) -> None:
        """Raise ResourceRefusedError: what is made stays as it is."""
        raise ResourceRefusedError(
            f"{resource.type} {resource_id}: the local cloud changes nothing: start it again"
        )

    def delete(self, resource_id: str, resource: Resource) -> None:
        """Raise ResourceRefusedError: what is made stays."""
        raise ResourceRefusedError(
            f"{resource.type} {resource_id}: the local cloud ends as a whole: leave it"
        )


def by_engine(folder: Path) -> Run:
    """Return a function that runs a program by `pulumi up`; the stack's state is in `folder`."""

    def run(program: Path, settings: Mapping[str, Setting], make: Make) -> None:
        """Bring the stack up; raises EngineError."""
        cloud = Making(make, str(settings["gcp:project"]))
        with EngineStack(program, cloud, folder, settings={**settings, **AT_ONCE}) as stack:
            stack.up()

    return run
