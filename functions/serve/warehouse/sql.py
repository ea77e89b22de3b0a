"""The query of a question: names from the declaration, values as parameters, nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from catalog.reports import ReportColumn
from functions.serve.api.query_params import FilterCondition, Operator, ReportQuery, SortOrder
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import Value

Parameter = ScalarQueryParameter | ArrayQueryParameter


@dataclass
class Query:
    """A SELECT and the values of its parameters."""

    sql: str = ""
    parameters: list[Parameter] = field(default_factory=list)

    def one(self, kind: str, value: Value) -> str:
        """A parameter's place for one value."""
        return self._add(ScalarQueryParameter(self._next(), kind, value))

    def many(self, kind: str, values: Sequence[Value]) -> str:
        """A parameter's place for a list of values."""
        return self._add(ArrayQueryParameter(self._next(), kind, list(values)))

    def _next(self) -> str:
        return f"p{len(self.parameters)}"

    def _add(self, parameter: Parameter) -> str:
        self.parameters.append(parameter)
        return f"@{parameter.name}"


def selected(asked: ReportQuery) -> tuple[ReportColumn, ...]:
    """The columns that a query gives: those asked for, then those that order alone needs."""
    order = tuple(each.column for each in asked.order)
    return tuple(dict.fromkeys((*asked.columns, *order)))


def rows_query(
    asked: ReportQuery, now: datetime | None, after: Sequence[Value] = (), limit: int | None = None
) -> Query:
    """The rows of a question in its order: those after a row where one is given, at most `limit`.

    Nulls come last either way. A FLOAT64 that is no finite number is null: JSON has no other.
    """
    query = Query(parameters=_time(asked.report, now))
    names = [column.name for column in selected(asked)]
    wanted = dict.fromkeys((*selected(asked), *(each.column for each in asked.where)))
    inner = ",\n".join(f"    {_finite(column)}" for column in wanted)
    conditions = [_condition(query, each) for each in asked.where]
    if after:
        conditions.append(_after(query, asked.order, after))
    query.sql = "\n".join(
        (
            f"SELECT {', '.join(f'r.`{name}`' for name in names)}",
            f"FROM (\n  SELECT\n{inner}\n  FROM {asked.report.source} AS s\n) AS r",
            *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
            f"ORDER BY {', '.join(map(_ordering, asked.order))}",
            *([f"LIMIT {limit:d}"] if limit is not None else []),
        )
    )
    return query


def reach_query(report: ReportDefinition, now: datetime | None = None) -> Query:
    """How far the rows of a report reach, and where they come from: one row."""
    figures = "MAX(s.data_as_of) AS data_as_of, MAX(s.origin) AS origin"
    sql = f"SELECT {figures} FROM {report.source} AS s"  # noqa: S608 - a declared name
    return Query(sql, _time(report, now))


def _time(report: ReportDefinition, now: datetime | None) -> list[Parameter]:
    return [ScalarQueryParameter("now", "TIMESTAMP", now)] if report.select else []


def _finite(column: ReportColumn) -> str:
    name = f"s.`{column.name}`"
    if column.type != "FLOAT64":
        return name
    return f"IF(IS_NAN({name}) OR IS_INF({name}), NULL, {name}) AS `{column.name}`"


def _condition(query: Query, each: FilterCondition) -> str:
    name, kind = f"r.`{each.column.name}`", each.column.type
    match each.operator:
        case Operator.ANY_OF:
            return f"{name} IN UNNEST({query.many(kind, each.values)})"
        case Operator.FROM:
            return f"{name} >= {query.one(kind, each.values[0])}"
        case Operator.TO:
            return f"{name} <= {query.one(kind, each.values[0])}"


def _ordering(each: SortOrder) -> str:
    name = f"r.`{each.column.name}`"
    return f"{name} IS NULL, {name} {'DESC' if each.descending else 'ASC'}"


def _after(query: Query, order: Sequence[SortOrder], after: Sequence[Value]) -> str:
    """That a row comes after another: alike in the first columns, later in the next."""
    places = [
        None if value is None else query.one(each.column.type, value)
        for each, value in zip(order, after, strict=True)
    ]
    later = list(_later(order, places))
    return f"({' OR '.join(later) or 'FALSE'})"


def _later(order: Sequence[SortOrder], places: Sequence[str | None]) -> Iterator[str]:
    alike: list[str] = []
    for each, place in zip(order, places, strict=True):
        name = f"r.`{each.column.name}`"
        if place is None:  # nothing comes after null
            alike.append(f"{name} IS NULL")
            continue
        beyond = f"({name} {'<' if each.descending else '>'} {place} OR {name} IS NULL)"
        yield f"({' AND '.join((*alike, beyond))})"
        alike.append(f"{name} = {place}")
