"""`docs/differences.md` answers for every fault of the originals that are rebuilt, with its tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from catalog.reports import load_reports

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "differences.md").read_text(encoding="utf-8")
FAULTS = (*(f"W{number}" for number in range(1, 17)), *(f"V{number}" for number in range(1, 9)))
"""The faults of Paris Wi-Fi and Vélib'."""

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def row(fault: str) -> str:
    """The row of a fault."""
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| {fault} |")]
    assert len(rows) == 1, f"docs/differences.md: {fault} must have one row"
    return rows[0]


def functions(path: str) -> set[str]:
    """The names of a file's functions."""
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_has_a_row_and_tests_that_are_there(fault: str) -> None:
    named = _TEST.findall(row(fault))
    assert named, f"docs/differences.md: {fault} names no test"
    assert [f"{path}::{name}" for path, name in named if name not in functions(path)] == []


def test_no_row_is_of_a_fault_that_is_none() -> None:
    assert set(re.findall(r"^\| ([WV]\d+) \|", PAGE, re.MULTILINE)) == set(FAULTS)


@pytest.mark.parametrize("system", ["paris_wifi", "velib"])
def test_every_report_has_its_place(system: str) -> None:
    reports = load_reports(REPOSITORY / "bq_sql" / system)
    assert [report.name for report in reports if f"`{report.name}" not in PAGE] == []
