"""Rows of any report, made up by its declaration, for tests of pages: no warehouse needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from catalog.contract import load_all
from catalog.pages import Dashboard, load_pages
from catalog.records import Origin
from catalog.reports import ReportColumn
from functions.serve.api.query_params import Operator, ReportQuery
from functions.serve.errors import NotPublishedError
from functions.serve.pages.data import CHOICES_MOST, ReportFetcher
from functions.serve.pages.site import Pages
from functions.serve.report_catalog import ReportDefinition, load_report_definitions
from functions.serve.warehouse.result import ResultTable, Value

REPOSITORY = Path(__file__).resolve().parents[2]

DEFINITIONS = load_report_definitions(REPOSITORY / "bq_sql")

CONTRACTS = load_all()

DASHBOARDS = load_pages(
    REPOSITORY / "dashboards", {name: each.declared for name, each in DEFINITIONS.items()}
)

WANTED: dict[tuple[str, str], tuple[str, ...]] = {}


for _page in (dashboard.page for dashboard in DASHBOARDS.values()):
    for _part in (*_page.figures, *_page.charts, *_page.tables, *_page.filters):
        for _column, _texts in _part.where.items():
            _before = WANTED.get((_part.report, _column), ())
            WANTED[_part.report, _column] = tuple(dict.fromkeys((*_before, *_texts)))
"""Values that some part of a page is narrowed to: rows must have them to be seen."""

AS_OF = datetime(2024, 6, 1, 4, 17, tzinfo=UTC)

NOW = AS_OF + timedelta(minutes=30)

Row = dict[str, Value]


@dataclass
class Warehouse:
    """Answers questions from made-up rows, filtered as a query would."""

    rows_each: int = 40
    text: str = ""
    """What every STRING is, where one is given."""
    origin: Origin = Origin.PUBLISHER
    as_of: datetime = AS_OF
    reaches: Mapping[str, datetime] = field(default_factory=dict)
    """Report → how far its data reach, where that is not `as_of`."""
    placed: float = 1.0
    """Share of the rows that have a place."""
    nulls: Collection[str] = ()
    """Columns that have no value in any row."""
    empty: Collection[str] = ()
    """Reports that have no rows though others have."""
    gone: Mapping[str, Exception] = field(default_factory=dict)
    """Report → what asking for it raises."""
    without_choices: Exception | None = None
    """What asking for a filter's choices raises."""
    queries: list[ReportQuery] = field(default_factory=list)
    _rows_by_report: dict[str, list[Row]] = field(default_factory=dict)
    """Report → its rows, which all questions of a page share."""

    def table(self, query: ReportQuery) -> ResultTable:
        """The rows that a question asks for."""
        self.queries.append(query)
        if query.report.name in self.gone:
            raise self.gone[query.report.name]
        if self.without_choices and query.limit == CHOICES_MOST:
            raise self.without_choices
        rows = [row for row in self._rows(query.report) if _matches(row, query)]
        for order in reversed(query.order):
            rows.sort(key=lambda row: _sorts(row[order.column.name]), reverse=order.descending)
        return ResultTable(
            name=query.report.name,
            declared=query.report.declared,
            columns=query.columns,
            rows=tuple(tuple(row[c.name] for c in query.columns) for row in rows[: query.limit]),
            data_as_of=self.reaches.get(query.report.name, self.as_of) if self.rows_each else None,
            origin=self.origin,
            cursor="more" if len(rows) > query.limit else "",
            unchanged_since=self.as_of,
        )

    def _rows(self, report: ReportDefinition) -> list[Row]:
        if report.name not in self._rows_by_report:
            self._rows_by_report[report.name] = self._new_rows(report)
        return self._rows_by_report[report.name]

    def _new_rows(self, report: ReportDefinition) -> list[Row]:
        draw = random.Random(report.name)
        rows = []
        for number in range(0 if report.name in self.empty else self.rows_each):
            row = {
                column.name: self._value(report.name, column, number, draw)
                for column in report.columns
            }
            if number >= self.placed * self.rows_each:
                row |= dict.fromkeys({"lat", "lon"} & set(row))
            row |= dict.fromkeys(set(self.nulls) & set(row))
            rows.append(row | {"origin": str(self.origin), "data_as_of": self.as_of})
        return rows

    def _value(self, report: str, column: ReportColumn, number: int, draw: random.Random) -> Value:
        fixed: Row = {"lat": 48.8 + draw.random() / 10, "lon": 2.25 + draw.random() / 6}
        fixed |= {"year": 2019 + number % 6}
        if column.name in fixed:
            return fixed[column.name]
        if (report, column.name) in WANTED:
            wanted = WANTED[report, column.name]
            return wanted[number % len(wanted)]
        values: dict[str, Callable[[], Value]] = {
            "STRING": lambda: self.text or f"{column.name} {number % 9}",
            "INT64": lambda: draw.randrange(24),
            "FLOAT64": lambda: None if number % 10 == 9 else draw.random() * 100,
            "BOOL": lambda: number % 2 == 0,
            "DATE": lambda: date(2024, 4, 20) + timedelta(days=number),
            "TIMESTAMP": lambda: AS_OF - timedelta(hours=number),
        }
        return values[column.type]()


def pages(warehouse: Warehouse, now: datetime = NOW, **changed: Dashboard) -> Pages:
    """The repository's pages over a warehouse."""
    source = ReportFetcher(DEFINITIONS, warehouse.table, lambda: now)
    return Pages(DASHBOARDS | changed, source, CONTRACTS)


def unpublished(report: str) -> NotPublishedError:
    """What asking for a report without a table raises."""
    return NotPublishedError(f"{report} has no table yet")


def saying(dashboard: Dashboard, text: str) -> Dashboard:
    """Replace every text that readers see on a page by one text."""
    page = _saying(msgspec.to_builtins(dashboard.page), text)
    return replace(dashboard, page=msgspec.convert(page, type(dashboard.page)))


_WORDS = ("title", "intro", "label", "note", "hint")
"""Keys of a page whose values are words; of `columns`, `caveats` and `undrawn` all values are."""

_LISTED_TEXTS = {"columns", "caveats", "undrawn"}


def _saying(node: Any, text: str) -> Any:
    if isinstance(node, (list, tuple)):
        return [_saying(each, text) for each in node]
    if not isinstance(node, dict):
        return node
    words: dict[str, Any] = dict.fromkeys(set(_WORDS) & set(node), text)
    words |= {key: dict.fromkeys(node[key], text) for key in _LISTED_TEXTS & set(node)}
    return {key: words.get(key, _saying(each, text)) for key, each in node.items()}


def _matches(row: Row, query: ReportQuery) -> bool:
    for condition in query.where:
        value, wanted = row[condition.column.name], condition.values
        if condition.operator is Operator.ANY_OF and value not in wanted:
            return False
        if condition.operator is Operator.FROM and (value is None or value < wanted[0]):  # type: ignore[operator]
            return False
        if condition.operator is Operator.TO and (value is None or value > wanted[0]):  # type: ignore[operator]
            return False
    return True


def _sorts(value: Value) -> tuple[bool, object]:
    return (value is not None, value if value is not None else 0)
