"""Every statement of ours on the lake says which slots it reads: parsed, scope by scope."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from catalog import names
from catalog.contract import load_all, systems
from catalog.records import Counts, Manifest, Origin, SlotParts
from catalog.versions import Version, manifest_id
from functions.swap import swap_script

REPOSITORY = Path(__file__).parents[2]
FILES = sorted((REPOSITORY / "bq_sql").rglob("*.sql"))
BOUNDS = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.Between, exp.In)


def unbounded(sql: str) -> list[str]:
    """The lake tables that a script touches in a scope without a predicate on their `slot_start`.

    A predicate counts where it holds for every row: joined by AND in the scope's WHERE, or in the
    ON of a join, with `slot_start` bare on its left and no column on its right.
    """
    return [
        table.sql("bigquery")
        for statement in sqlglot.parse(sql, read="bigquery")
        if statement is not None
        for node in _scopes(statement)
        for table in _lake_tables(node)
        if not _bounded(node, table)
    ]


def _scopes(statement: exp.Expression) -> Iterator[exp.Expression]:
    """What reads tables on its own: every SELECT, and a DELETE, UPDATE or MERGE."""
    if isinstance(statement, exp.Command):
        raise ValueError(f"not understood: {statement.sql('bigquery')[:80]}")
    yield from statement.find_all(exp.Select)
    if isinstance(statement, exp.Delete | exp.Update | exp.Merge):
        yield statement


def _lake_tables(scope: exp.Expression) -> list[exp.Table]:
    """The tables of the lake that a scope itself reads or changes."""
    return [
        table
        for table in scope.find_all(exp.Table)
        if table.db == "lake" and _owner(table) is scope
    ]


def _owner(node: exp.Expression) -> exp.Expression | None:
    """The innermost scope that a node stands in."""
    return node.find_ancestor(exp.Select, exp.Delete, exp.Update, exp.Merge)


def _bounded(scope: exp.Expression, table: exp.Table) -> bool:
    """Whether one of the scope's conditions bounds the table's slots."""
    alone = len([t for t in scope.find_all(exp.Table) if _owner(t) is scope]) == 1
    own = {table.alias_or_name} | ({""} if alone else set())
    return any(_bounds(condition, own) for condition in _conditions(scope))


def _conditions(scope: exp.Expression) -> Iterator[exp.Expression]:
    """The conditions that each row of a scope meets."""
    joins = scope.args.get("joins") or []
    where = scope.args.get("where")
    for given in (where.this if where else None, *(join.args.get("on") for join in joins)):
        if given is not None:
            yield from given.flatten() if isinstance(given, exp.And) else [given]


def _bounds(condition: exp.Expression, own: set[str]) -> bool:
    """Whether a condition bounds `slot_start` by something that is no column of the row."""
    column = condition.this
    if not isinstance(condition, BOUNDS) or not isinstance(column, exp.Column):
        return False
    if column.name != "slot_start" or column.table not in own:
        return False
    if isinstance(condition, exp.In):
        return bool(condition.expressions)
    others = [part for part in condition.iter_expressions() if part is not column]
    return not any(part.find(exp.Column) for part in others)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_reports_and_checks_name_their_slots(path: Path) -> None:
    assert unbounded(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("system", sorted(systems(load_all())))
def test_the_swap_names_its_slots(system: str) -> None:
    contracts = systems(load_all())[system]
    manifest = _manifest(system)
    staged = frozenset(table.name for table in manifest.tables)
    counts = [Counts(dataset=s.dataset, slot=s.slot, rows_in=1, rows_out=1) for s in manifest.slots]
    script = swap_script(manifest, counts, staged, datetime(2025, 6, 5, tzinfo=UTC)).sql
    on_lake = [piece for piece in script.split(";\n") if "lake." in piece]
    assert len(on_lake) == 2 * len(manifest.tables)
    assert {name for name in names_of(on_lake)} == staged
    assert len(contracts) == len(manifest.contracts)
    for piece in on_lake:
        assert unbounded(_as_read(piece)) == []


def names_of(statements: list[str]) -> Iterator[str]:
    """The lake tables that statements mention."""
    for text in statements:
        (statement,) = sqlglot.parse(text, read="bigquery")
        assert statement is not None
        yield from (t.name for t in statement.find_all(exp.Table) if t.db == "lake")


def _as_read(insert_or_delete: str) -> str:
    """An INSERT's own target has no WHERE: what it takes from staging must be bounded instead."""
    (statement,) = sqlglot.parse(insert_or_delete, read="bigquery")
    if isinstance(statement, exp.Insert):
        select = statement.expression
        for table in select.find_all(exp.Table):
            if table.db == "staging":
                table.set("db", exp.to_identifier("lake"))
        return str(select.sql("bigquery"))
    return insert_or_delete


def _manifest(system: str) -> Manifest:
    """A manifest with one slot of each of the system's data sets."""
    contracts = {contract.dataset: contract for contract in systems(load_all())[system]}
    slots = tuple(_slot(contract.dataset, contract.calendar.slot) for contract in contracts.values())
    identity = manifest_id(system, ((s.dataset, s.slot, s.version) for s in slots))
    assert names.manifest(system, identity)
    return Manifest(
        id=identity, system=system, sealed_at="2025-06-05T00:00:00+00:00", lake="gs://demo-lake",
        bytes=1, slots=slots,
        tables=tuple(table for c in contracts.values() for table in c.lake_tables()),
        contracts={dataset: c.for_job() for dataset, c in contracts.items()},
    )  # fmt: skip
