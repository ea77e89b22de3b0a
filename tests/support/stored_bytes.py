"""What a statement would process: the stored bytes of the partitions that its predicates admit.

The stand-in for BigQuery bills nothing, so this calculates as the service prunes: a condition on
`slot_start` counts where it is joined by AND, has the column bare on its left, and on its right
neither a column nor a query; a partition is read whole if one slot that it may hold fits.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
from sqlglot import exp

from catalog.records import LakeTable
from functions.core.bigquery import QueryScript
from tests.support.predicates import bounding, parsed, scopes, tables

Start = date | datetime
"""A value of `slot_start`."""
Values = Mapping[str, Any]
"""The parameters of a script."""


@dataclass
class Stored:
    """What is stored of one table: bytes by partition."""

    unit: str
    """DAY or MONTH."""
    hours: bool = False
    """Whether `slot_start` is a TIMESTAMP."""
    bytes: dict[date, int] = field(default_factory=dict)
    """First day of a partition → its bytes."""

    @classmethod
    def of(cls, table: LakeTable, unit: str) -> Stored:
        """Nothing of a lake table yet, which is partitioned by `unit`."""
        types = {column.name: column.type for column in table.columns}
        return cls(unit, types["slot_start"] == "TIMESTAMP")

    def put(self, slot_start: str, size: int) -> None:
        """Store the bytes of a slot."""
        first = self.partition(slot_start)
        self.bytes[first] = self.bytes.get(first, 0) + size

    def partition(self, slot_start: str) -> date:
        """The partition of a slot, by its first day."""
        day = datetime.fromisoformat(slot_start).date()
        return day.replace(day=1) if self.unit == "MONTH" else day

    def starts(self, partition: date) -> Iterator[Start]:
        """Every `slot_start` that a partition may hold."""
        count = monthrange(partition.year, partition.month)[1] if self.unit == "MONTH" else 1
        for day in (partition + timedelta(days=number) for number in range(count)):
            if not self.hours:
                yield day
                continue
            begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
            yield from (begin + timedelta(hours=hour) for hour in range(24))


@dataclass(frozen=True)
class Scan:
    """One table that a statement reads or deletes from: the partitions it admits, their bytes."""

    table: str
    partitions: frozenset[date]
    bytes: int


def swap_scans(script: QueryScript, stored: Mapping[str, Stored]) -> list[Scan]:
    """What the statements of a swap admit of the lake."""
    values = {str(each.name): each.value for each in script.parameters}
    pieces = (piece for piece in script.sql.split(";\n") if "lake." in piece)
    return [scan for piece in pieces for scan in scans(piece, stored, values)]


def scans(sql: str, stored: Mapping[str, Stored], values: Values) -> list[Scan]:
    """What the statements of a script admit of the lake, a scan for each table of each scope."""
    return [
        _scan(stored[table.name], table, bounding(scope, table), values)
        for statement in parsed(sql)
        for scope in scopes(statement)
        for table in tables(scope)
        if table.db == "lake"
    ]


def _scan(stored: Stored, table: exp.Table, conditions: Iterable[exp.Expr], values: Values) -> Scan:
    pruning = [_filled(each, values) for each in conditions if not each.find(exp.Query)]
    admitted = frozenset(p for p in stored.bytes if _admits(pruning, stored.starts(p)))
    return Scan(table.name, admitted, sum(stored.bytes[p] for p in admitted))


def _filled(condition: exp.Expr, values: Values) -> str:
    """A condition as DuckDB evaluates it: parameters in place, the column without its table."""
    filled = condition.copy()
    for parameter in list(filled.find_all(exp.Parameter)):
        value = values[parameter.name]
        kind = "TIMESTAMPTZ" if isinstance(value, datetime) else "DATE"
        parameter.replace(exp.cast(exp.Literal.string(str(value)), kind))
    for column in filled.find_all(exp.Column):
        column.set("table", None)
    return filled.sql("duckdb")


def _admits(conditions: list[str], starts: Iterable[Start]) -> bool:
    """Whether one of these values of `slot_start` meets every condition."""
    values = list(starts)
    kind = "TIMESTAMPTZ" if isinstance(values[0], datetime) else "DATE"
    rows = ", ".join(f"(CAST('{start}' AS {kind}))" for start in values)
    where = " AND ".join(conditions) or "TRUE"
    sql = f"SELECT COUNT(*) FROM (VALUES {rows}) AS t(slot_start) WHERE {where}"
    (found,) = duckdb.sql(sql).fetchone() or (0,)
    return bool(found)
