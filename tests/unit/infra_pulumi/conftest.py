"""The stack as it registers, without any service behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from local_cloud.program import Resource, Setting, run_program
from local_cloud.provision import provider_outputs

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "infra_pulumi" / "__main__.py"

type Register = Callable[..., list[Resource]]


@pytest.fixture(scope="session")
def register(tmp_path_factory: pytest.TempPathFactory) -> Register:
    """Runs the program with settings beyond the necessary ones and gives what it registered."""

    def run(settings: Mapping[str, Setting] | None = None) -> list[Resource]:
        seen: list[Resource] = []

        def make(resource: Resource) -> tuple[str, Mapping[str, Any]]:
            seen.append(resource)
            return provider_outputs(resource, "demo")

        given: dict[str, Setting] = {
            "gcp:project": "demo",
            "gcp:region": "europe-west1",
            "citypulse:build": str(tmp_path_factory.mktemp("build")),
            **(settings or {}),
        }
        run_program(PROGRAM, given, make)
        return seen

    return run


@pytest.fixture(scope="session")
def stack(register: Register) -> list[Resource]:
    """What the program registers for the repository alone."""
    return register()
