"""Dataproc has Spark and the standard library: a job may import nothing else but what ships with it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

JOBS = Path(__file__).parents[3] / "dataproc_jobs"
PROVIDED = frozenset({*sys.stdlib_module_names, "pyspark", "py4j"})
SHARED = frozenset(path.stem for path in JOBS.glob("batch*.py"))


def imported(source: str) -> Iterator[str]:
    """Yield the top-level name of each import of a module, nested ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)


def refused(name: str, source: str) -> list[str]:
    """List what a module of this name may not import: a job sees `batch` alone."""
    allowed = PROVIDED | (SHARED if name in SHARED else {"batch"})
    return sorted(set(imported(source)) - allowed)


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.py")), ids=lambda path: path.stem)
def test_a_job_imports_what_ships_with_it(path: Path) -> None:
    assert refused(path.stem, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("name", "source", "names"),
    [
        ("velib", "import paris_wifi\n", ["paris_wifi"]),
        ("velib", "from batch_typing import parse\n", ["batch_typing"]),
        ("velib", "def f():\n    import msgspec\n", ["msgspec"]),
        ("batch", "from catalog.runs import Run\n", ["catalog"]),
        ("batch", "import batch_typing, json\nfrom pyspark.sql import Row\n", []),
    ],
)
def test_what_does_not_ship_is_refused(name: str, source: str, names: list[str]) -> None:
    assert refused(name, source) == names
