"""A stack of the program under Pulumi's CLI, with the stand-in provider and a state on disk."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pulumi import automation

from local_cloud.pulumi.engine.provider import Cloud, ProviderServer
from local_cloud.pulumi.mocks import Setting, as_text

_PARALLEL = 16
"""Operations at once; without a number the SDK calculates one that its own protocol cannot carry."""

_NO_METADATA = "?metadata=skip"
"""Without it the backend writes a second file next to the state. A program that reads its own stack's
outputs may then find an empty one: "failed to load checkpoint: EOF".
"""

_SAME = ("same", "read", "refresh", "discard")
"""Operations that touch nothing outside the state."""


class EngineError(RuntimeError):
    """A refusal of the engine, with its own text."""


@dataclass(frozen=True, order=True)
class EngineStep:
    """Something the engine did, or would do, to one resource."""

    op: str
    """As the engine calls it: create, update, create-replacement, delete-replaced, delete …"""
    type: str
    name: str
    changed: tuple[str, ...] = ()
    """The inputs that differ."""


class EngineStack:
    """Context manager of a stack: `program` (an `__main__.py`), whose resources `cloud` makes.

    `name` selects the configuration `Pulumi.<name>.yaml` in the program's folder, if there is one;
    `settings` are added to it. State, secrets and plug-ins stay in `folder`. The CLI is the `pulumi`
    on PATH.
    """

    def __init__(
        self,
        program: Path,
        cloud: Cloud,
        folder: Path,
        *,
        name: str = "local",
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        self.program = program
        self._cloud, self._folder, self._name = cloud, folder, name
        self._settings = settings or {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if shutil.which("pulumi") is None:
            raise EngineError("no pulumi on PATH: `nox -s preview` finds or builds one")
        provider = self._open.enter_context(ProviderServer(self._cloud))
        self._stack = automation.create_or_select_stack(
            self._name,
            project_name="citypulse",
            program=self._run,
            opts=automation.LocalWorkspaceOptions(
                work_dir=str(self._work()),
                pulumi_home=str(self._folder / "home"),
                env_vars={**_OFFLINE, **self._places(provider.port)},
            ),
        )
        self.configure(self._settings)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def configure(self, settings: Mapping[str, Setting]) -> None:
        """Set keys of the stack's configuration for later operations."""
        self._stack.set_all_config(
            {key: automation.ConfigValue(as_text(value)) for key, value in settings.items()}
        )

    def preview(self) -> list[EngineStep]:
        """List what an `up` would do; raise EngineError."""
        return self._steps(self._stack.preview)

    def up(self) -> list[EngineStep]:
        """Make the resources match the program; raise EngineError."""
        return self._steps(self._stack.up)

    def destroy(self) -> list[EngineStep]:
        """Delete everything, after a preview as the CLI makes it; raise EngineError, of either.

        Without the preview the engine deletes what it can before it comes to what is protected.
        """
        self._steps(self._stack.preview_destroy)
        return self._steps(self._stack.destroy)

    def resources(self) -> list[dict[str, Any]]:
        """List the resources of the state: urn, type, id, inputs, outputs, dependencies …"""
        deployment = self._stack.export_stack().deployment or {}
        found: list[dict[str, Any]] = deployment.get("resources", [])
        return found

    def _run(self) -> None:
        runpy.run_path(str(self.program), run_name="__main__")

    def _work(self) -> Path:
        """Make a folder with the settings of project and stack: the CLI writes into it."""
        work = self._folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        for file in ("Pulumi.yaml", f"Pulumi.{self._name}.yaml"):
            source = self.program.parent / file
            if source.is_file() and not (work / file).exists():
                (work / file).write_bytes(source.read_bytes())
        return work

    def _places(self, port: int) -> dict[str, str]:
        state = self._folder / "state"
        state.mkdir(exist_ok=True)
        return {
            "PULUMI_BACKEND_URL": f"file://{state}{_NO_METADATA}",
            "PULUMI_DEBUG_PROVIDERS": f"gcp:{port}",
        }

    def _steps(self, operation: Callable[..., object]) -> list[EngineStep]:
        """Run an operation; return its steps in the order begun, without those that change nothing."""
        steps: list[EngineStep] = []
        faults: list[str] = []

        def hear(event: automation.EngineEvent) -> None:
            """Note a step or a fault."""
            begun, said = event.resource_pre_event, event.diagnostic_event
            if begun and begun.metadata.op not in _SAME:
                steps.append(_step(begun.metadata))
            if said and said.severity == "error":
                faults.append(f"{_name(said.urn or '')} {said.message.strip()}".strip())

        try:
            operation(on_event=hear, parallel=_PARALLEL, color="never")
        except automation.CommandError as error:
            reason = "\n".join(faults) or str(error)
            raise EngineError(f"pulumi {operation.__name__} of {self._name}: {reason}") from error
        return steps


_OFFLINE = {
    "PULUMI_CONFIG_PASSPHRASE": "local",
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
}
"""Settings that keep the CLI from asking anybody; the passphrase guards nothing."""


def _step(metadata: automation.StepEventMetadata) -> EngineStep:
    return EngineStep(
        str(metadata.op.value),
        metadata.type,
        _name(metadata.urn),
        tuple(sorted(metadata.diffs or ())),
    )


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
