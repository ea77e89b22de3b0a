"""The golden inventory: every resource of a stack file with its inputs, in an order of its own.

    .venv/bin/nox -s renew

renews `tests/unit/infra_pulumi/golden/`. What changes with content alone (hashes in names, SQL) is masked.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pulumi

from local_cloud.pulumi.mocks import Resource
from tests.support.stacks import registered, stack_files

GOLDEN = Path(__file__).parents[1] / "unit" / "infra_pulumi" / "golden"

RENEW = ".venv/bin/nox -s renew"

_HASH = re.compile(r"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")


def inventory(resources: Iterable[Resource]) -> str:
    """The resources as JSON: a line per value, sorted by type and name."""
    inputs = {f"{r.type} {r.name}": _normalized(dict(r.inputs)) for r in resources}
    return json.dumps(inputs, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _normalized(value: Any, key: str = "") -> Any:
    """A value as the golden shows it."""
    match value:
        case pulumi.FileAsset():
            return f"file {_masked(Path(value.path).name)}"
        case dict():
            return {name: _normalized(inner, name) for name, inner in value.items()}
        case list() | tuple():
            return [_normalized(inner) for inner in value]
        case float() if value.is_integer():
            return int(value)
        case str() if key == "query":
            return "<SQL>"
        case str() if key == "data":
            return base64.b64decode(value).decode()
        case str() if key == "schema":
            return [_column(field) for field in json.loads(value)]
        case str() if value.startswith("{"):
            return _normalized(json.loads(value))
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
        (GOLDEN / f"{stack}.json").write_text(
            inventory(registered(stack).resources), encoding="utf-8"
        )


if __name__ == "__main__":
    renew()
