"""The golden inventory: every resource of a stack file with its inputs, in an order of its own.

    .venv/bin/python -m tests.infra_pulumi.inventory

renews `tests/infra_pulumi/golden/`. What changes with content alone (hashes in names, SQL) is masked.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import yaml

from local_cloud.program import Resource, Setting, run_program
from local_cloud.provision import provider_outputs

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "infra_pulumi" / "__main__.py"
GOLDEN = Path(__file__).parent / "golden"
RENEW = ".venv/bin/python -m tests.infra_pulumi.inventory"

_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")


def stack_files() -> dict[str, Path]:
    """The stack files by stack."""
    found = sorted((REPOSITORY / "infra_pulumi").glob("Pulumi.*.yaml"))
    return {path.name.split(".")[1]: path for path in found}


def settings_of(path: Path) -> dict[str, Setting]:
    """The configuration keys of a stack file, as the engine hands them to the program."""
    told = yaml.safe_load(path.read_text(encoding="utf-8"))["config"]
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()
    }


def registered(stack: str) -> list[Resource]:
    """What the program registers for a stack file."""
    settings = settings_of(stack_files()[stack])
    project = str(settings["gcp:project"])
    seen: list[Resource] = []

    def make(resource: Resource) -> tuple[str, Mapping[str, Any]]:
        seen.append(resource)
        return provider_outputs(resource, project)

    with tempfile.TemporaryDirectory() as build:
        run_program(PROGRAM, {**settings, "citypulse:build": build}, make, stack=stack)
    return seen


def inventory(resources: Iterable[Resource]) -> str:
    """The resources as JSON: a line per value, sorted by type and name."""
    told = {f"{r.type} {r.name}": _shown(dict(r.inputs)) for r in resources}
    return json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _shown(value: Any, key: str = "") -> Any:
    """A value as the golden shows it."""
    match value:
        case pulumi.FileAsset():
            return f"file {_masked(Path(value.path).name)}"
        case dict():
            return {name: _shown(inner, name) for name, inner in value.items()}
        case list() | tuple():
            return [_shown(inner) for inner in value]
        case float() if value.is_integer():
            return int(value)
        case str() if key == "query":
            return "<SQL>"
        case str() if key == "data":
            return base64.b64decode(value).decode()
        case str() if key == "schema":
            return [_column(field) for field in json.loads(value)]
        case str() if value.startswith("{"):
            return _shown(json.loads(value))
        case str():
            return _masked(value)
        case _:
            return value


def _column(field: Mapping[str, Any]) -> str:
    return f"{field['name']} {field['type']} {field['mode']}: {field['description']}"


def _masked(text: str) -> str:
    return _HASH.sub("<hash>", text)


def renew() -> None:
    """Write the golden of every stack file."""
    GOLDEN.mkdir(exist_ok=True)
    for stack in stack_files():
        (GOLDEN / f"{stack}.json").write_text(inventory(registered(stack)), encoding="utf-8")


if __name__ == "__main__":
    renew()
