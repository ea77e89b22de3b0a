"""Names that BigQuery reserves stand in backticks: the stand-in takes them bare, the service does not.

https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

from catalog.contract import load_all
from infra_pulumi.ops_tables import OPS_TABLES
from tests.support.predicates import parsed

REPOSITORY = Path(__file__).parents[3]
FILES = sorted((REPOSITORY / "bq_sql").rglob("*.sql"))
RESERVED = BigQuery.Generator.RESERVED_KEYWORDS
KNOWN = {"at", "rows"}
"""Reserved names that ops.events has; whoever reads it writes backticks."""


def bare(sql: str) -> Iterator[str]:
    """The reserved names that a script has without backticks, but for those behind a dot."""
    for statement in parsed(sql):
        for name in statement.find_all(exp.Identifier):
            behind_a_dot = isinstance(name.parent, exp.Column) and name.parent.table
            if name.name.lower() in RESERVED and not name.quoted and not behind_a_dot:
                yield name.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_reserved_names_stand_in_backticks(path: Path) -> None:
    assert list(bare(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT at FROM t", ["at"]),
        ("SELECT `at` FROM t", []),
        ("SELECT t.at FROM t", []),
        ("SELECT MIN(x) AS at FROM t", ["at"]),
    ],
)
def test_bare_names_are_seen(sql: str, found: list[str]) -> None:
    assert list(bare(sql)) == found


def test_columns_are_not_reserved() -> None:
    """SQL that others write over a table should need no backticks; two of ops.events do."""
    names = {name for table in OPS_TABLES for name, _, _ in table.columns}
    names |= {c.name for each in load_all().values() for t in each.lake_tables() for c in t.columns}
    assert names & RESERVED == KNOWN
