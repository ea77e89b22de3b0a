"""SQL of a report query: names come from the declaration, values are query parameters."""

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
        """Add a parameter with one value and return its placeholder."""
        return self._add(ScalarQueryParameter(self._next(), kind, value))

    def many(self, kind: str, values: Sequence[Value]) -> str:
        """Add a parameter with a list of values and return its placeholder."""
        return self._add(ArrayQueryParameter(self._next(), kind, list(values)))

    def _next(self) -> str:
        return f"p{len(self.parameters)}"

    def _add(self, parameter: Parameter) -> str:
        self.parameters.append(parameter)
        return f"@{parameter.name}"


def selected(query: ReportQuery) -> tuple[ReportColumn, ...]:
    """List the columns of a query: the requested ones, then those that only the order needs."""
    order = tuple(each.column for each in query.order)
    return tuple(dict.fromkeys((*query.columns, *order)))


def rows_query(
    query: ReportQuery, now: datetime | None, after: Sequence[Value] = (), limit: int | None = None
) -> Query:
    """Write the SELECT of a query's rows in its order, after the row `after`, at most `limit`.

    Nulls come last in both directions. A FLOAT64 that is not finite becomes null, because JSON has
    no such numbers.
    """
    statement = Query(parameters=_time(query.report, now))
    names = [column.name for column in selected(query)]
    used = dict.fromkeys((*selected(query), *(each.column for each in query.where)))
    inner = ",\n".join(f"    {_finite(column)}" for column in used)
    conditions = [_condition(statement, each) for each in query.where]
    if after:
        conditions.append(_after(statement, query.order, after))
    statement.sql = "\n".join(
        (
            f"SELECT {', '.join(f'r.`{name}`' for name in names)}",
            f"FROM (\n  SELECT\n{inner}\n  FROM {query.report.source} AS s\n) AS r",
            *([f"WHERE {' AND '.join(conditions)}"] if conditions else []),
            f"ORDER BY {', '.join(map(_ordering, query.order))}",
            *([f"LIMIT {limit:d}"] if limit is not None else []),
        )
    )
    return statement


def reach_query(report: ReportDefinition, now: datetime | None = None) -> Query:
    """Write the SELECT of one row: up to when a report has data, and its origin."""
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


def _condition(statement: Query, each: FilterCondition) -> str:
    name, kind = f"r.`{each.column.name}`", each.column.type
    match each.operator:
        case Operator.ANY_OF:
            return f"{name} IN UNNEST({statement.many(kind, each.values)})"
        case Operator.FROM:
            return f"{name} >= {statement.one(kind, each.values[0])}"
        case Operator.TO:
            return f"{name} <= {statement.one(kind, each.values[0])}"


def _ordering(each: SortOrder) -> str:
    name = f"r.`{each.column.name}`"
    return f"{name} IS NULL, {name} {'DESC' if each.descending else 'ASC'}"


def _after(statement: Query, order: Sequence[SortOrder], after: Sequence[Value]) -> str:
    """Write the condition that a row comes after another: first columns equal, the next later."""
    placeholders = [
        None if value is None else statement.one(each.column.type, value)
        for each, value in zip(order, after, strict=True)
    ]
    conditions = list(_later(order, placeholders))
    return f"({' OR '.join(conditions) or 'FALSE'})"


def _later(order: Sequence[SortOrder], placeholders: Sequence[str | None]) -> Iterator[str]:
    alike: list[str] = []
    for each, placeholder in zip(order, placeholders, strict=True):
        name = f"r.`{each.column.name}`"
        if placeholder is None:  # no value sorts after null
            alike.append(f"{name} IS NULL")
            continue
        beyond = f"({name} {'<' if each.descending else '>'} {placeholder} OR {name} IS NULL)"
        yield f"({' AND '.join((*alike, beyond))})"
        alike.append(f"{name} = {placeholder}")
