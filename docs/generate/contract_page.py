"""`nox -s renew`: docs/contract.md, every facet that a contract may say.

Facets, their types and defaults are those of `catalog/contract/model.py`, their meaning what is written below
each there; which texts a column's type takes is the table of `functions/validation/values.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = _ROOT / "docs" / "contract.md"
_CONTRACT = _ROOT / "catalog" / "contract" / "model.py"
_ROWS = _ROOT / "functions" / "validation" / "values.py"

PLACES = {
    "Contract": "the top of the file",
    "SourceSpec": "[source]",
    "FetchSpec": "[[source.fetch]]",
    "Shape": "[[source.shapes]]",
    "Slices": "[source.slices]",
    "Key": "source.key",
    "Bounds": "[bounds]",
    "Column": "[[columns]]",
    "GeoPoint": "[[geo_points]]",
    "TableSpec": "[[tables]]",
    "LatestTable": "[latest_table]",
}
"""Struct of a contract → where it stands in the file."""

_HEAD = """\
# What a contract may say

Every facet of `catalog/datasets/<dataset>.toml`, how to use them is in
[adding-a-data-set.md](adding-a-data-set.md). Written by `.venv/bin/nox -s renew` from
`catalog/contract/model.py`; do not edit it. A facet without a default must be said; one that is not here is
refused by name.
"""
_TYPES = """\
## What a column's type reads

Blanks alone are no value, and of times `-` neither.

"""
_ZONE = """
## Zone and slots

A time without an offset is read in `zone`, one with an offset as it stands. The slot of a row is the
hour, day or month (`slot_unit`) of its `time_column` by the clock of `zone`: 2024-06-30T22:30Z is
of July in Europe/Paris. Of a `daily_drop` and a `snapshot` it is that of the run's time, whatever the rows say. An hour
that the clocks skip is no time; one that comes twice is the first
([more](adding-a-data-set.md#hours-that-come-twice)).
"""


def document() -> str:
    """The whole document."""
    module = ast.parse(_CONTRACT.read_text(encoding="utf-8"))
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    parts = [_HEAD]
    for name, place in PLACES.items():
        parts.append("\n".join(_section(classes[name], place)) + "\n")
    return "\n".join(parts) + "\n" + _TYPES + _types() + _ZONE


def _section(struct: ast.ClassDef, place: str) -> Iterator[str]:
    """The facets of a struct as a table, what it is above it."""
    yield f"## {place[0].upper()}{place[1:]}\n"
    yield f"{ast.get_docstring(struct)}\n"
    yield "| facet | type | default | meaning |"
    yield "|---|---|---|---|"
    for node, after in zip(struct.body, [*struct.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            default = f"`{_toml(ast.unparse(node.value))}`" if node.value else "must be said"
            kind = ast.unparse(node.annotation).replace("|", r"\|")
            yield f"| `{ast.unparse(node.target)}` | `{kind}` | {default} | {_meaning(after)} |"


def _toml(default: str) -> str:
    """A default as the file would say it."""
    words = {"None": "none", "True": "true", "False": "false", "()": "[]"}
    tuples = default.replace("(", "[").replace(",)", "]").replace(")", "]")
    return words.get(default, tuples)


def _meaning(after: ast.stmt | None) -> str:
    """What is written below a facet, on one line."""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        return " ".join(str(after.value.value).split()).replace("|", r"\|")
    return ""


def _types() -> str:
    """The table of types in the docstring of the checks."""
    told = ast.get_docstring(ast.parse(_ROWS.read_text(encoding="utf-8"))) or ""
    return "".join(f"{line}\n" for line in told.splitlines() if line.startswith("|"))


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(DOCUMENT)
