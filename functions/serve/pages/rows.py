"""Tables of a page, alone or under a chart: headings, cells, downloads and drawings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from catalog.pages import Chart, Listing
from catalog.reports import SAMPLE_SIZE, ReportColumn
from functions.serve.pages import charts, formatting
from functions.serve.pages.data import Question
from functions.serve.pages.view_models import TABLE_ROWS_MOST, Cell, RowsView
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import ResultTable

_SHORT, _LONG, _CODE = 12, 60, 24
"""Characters: longer texts need some room, or much; up to the last, one word counts as a code."""


def empty_rows(
    part: Chart | Listing, question: Question, anchor: str, empty_reason: str
) -> RowsView:
    """Build a chart or table without headings and rows, with the reason."""
    return RowsView(
        anchor=anchor,
        title=part.title,
        note=part.note,
        hint=part.hint,
        headings=(),
        rows=(),
        as_of_note="",
        empty_reason=empty_reason,
        origin="",
        report=part.report,
        csv=_download(question, "csv"),
        ndjson=_download(question, "ndjson"),
    )


def headings(
    part: Chart | Listing, columns: Iterable[ReportColumn]
) -> tuple[tuple[str, str, str], ...]:
    """Build the headings of a table: label with unit, anchor of the definition, CSS class."""
    return tuple(
        (_heading(part.columns[c.name], c), f"{part.report}.{c.name}", _kind(c)) for c in columns
    )


def columns_of(part: Chart | Listing, report: ReportDefinition) -> list[ReportColumn]:
    """List the columns of a report that a chart or table shows."""
    return [report.column(name) for name in part.columns]


def cells(table: ResultTable, columns: Iterable[ReportColumn]) -> tuple[tuple[Cell, ...], ...]:
    """Format the fields of a table's first rows."""
    positions = {column.name: at for at, column in enumerate(table.columns)}
    fields = [(column, positions[column.name]) for column in columns]
    return tuple(
        tuple(_cell(formatting.format_value(row[at], column), column) for column, at in fields)
        for row in table.rows[:TABLE_ROWS_MOST]
    )


def as_of_note(table: ResultTable, zone: str) -> str:
    """Say up to when a table has data, and how many of its rows are on the page."""
    if table.data_as_of is None:
        return ""
    reach = f"Data as of {formatting.format_instant(table.data_as_of, zone)}."
    count = formatting.count_of(len(table.rows), "row")
    more = f" More than {count}: the first are shown." if table.cursor else f" {count}."
    return reach + more


def with_drawing(
    rows: RowsView, chart: Chart, table: ResultTable, drawing: Mapping[str, Any]
) -> RowsView:
    """Add sample size and drawing to a chart's rows, or the note why it has no drawing."""
    count = formatting.format_integer(charts.sample(chart, table))
    unit = next(column.unit for column in table.columns if column.name == SAMPLE_SIZE)
    note = f"Sample size {count}{formatting.NARROW}{unit}. {rows.as_of_note}"
    if empty_note := _empty_chart_note(chart, table):
        return replace(rows, as_of_note=note, empty_chart_note=empty_note)
    spec = charts.render_vega_spec(drawing, chart, table)
    return replace(rows, as_of_note=note, drawing=spec if spec["data"]["values"] else None)


def table_anchor(listing: Listing) -> str:
    """Build the anchor of a table from its title."""
    return "table_" + "_".join(listing.title.lower().split())


def _empty_chart_note(chart: Chart, table: ResultTable) -> str:
    """Return the chart's text for a column without any value that the drawing needs."""
    positions = {column.name: at for at, column in enumerate(table.columns)}
    for name, text in chart.undrawn.items():
        if all(row[positions[name]] is None for row in table.rows):
            return text
    return ""


def _cell(text: str, column: ReportColumn) -> Cell:
    """Choose the CSS class of a field: a code is not wrapped, a long text has room."""
    kind = _kind(column)
    if kind:
        return Cell(text, kind)
    if len(text) <= _CODE and " " not in text:
        return Cell(text, "d")
    return Cell(text, "t" if len(text) > _LONG else "s" if len(text) > _SHORT else "")


def _heading(label: str, column: ReportColumn) -> str:
    """Build a column's heading, with its unit if the label does not name it."""
    named = not column.unit or column.unit.lower() in label.lower().split()
    return label if named else f"{label} [{column.unit}]"


def _kind(column: ReportColumn) -> str:
    if column.type in ("INT64", "FLOAT64", "NUMERIC"):
        return "n"
    return "d" if column.type in ("DATE", "TIMESTAMP") else ""


def _download(question: Question, file_format: str) -> str:
    """Build the address of all columns and rows of a question, relative to the API's root."""
    return f"reports/{question.report}/rows?{urlencode([('format', file_format), *question.where])}"
