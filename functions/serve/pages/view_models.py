"""What a page's template shows, as plain values: texts, links, cells and drawings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.contract import Contract
from catalog.pages import Page
from catalog.reports import ReportColumn
from functions.serve.pages import formatting
from functions.serve.report_catalog import ReportDefinition

TABLE_ROWS_MOST = 200
"""Most rows of the table under a chart; the download has all."""


@dataclass(frozen=True)
class Notice:
    """A text that readers must see before the page."""

    kind: str
    """origin, stale or failed."""
    text: str


@dataclass(frozen=True)
class Choice:
    """One value of a filter."""

    value: str
    text: str
    selected: bool


@dataclass(frozen=True)
class FilterView:
    """A filter as a part of a form."""

    column: str
    label: str
    kind: str
    choices: tuple[Choice, ...] = ()
    optional: bool = True
    begin: str = ""
    end: str = ""


@dataclass(frozen=True)
class FigureView:
    """A key figure: its value with unit, the row that it is from, and the value before."""

    label: str
    text: str
    at: str
    before: str = ""
    caveats: tuple[str, ...] = ()
    anchor: str = ""
    empty_reason: str = ""
    """Why there is no value; empty if there is one."""
    origin: str = ""
    ignored_filters_note: str = ""
    """Which of the reader's choices the figure does not follow."""


@dataclass(frozen=True)
class Cell:
    """A field of a table."""

    text: str
    kind: str
    """CSS class: `n` for numbers, `d` for days, times and codes, `s` and `t` for longer texts."""


@dataclass(frozen=True)
class RowsView:
    """A table with its texts and downloads, and the drawing of a chart."""

    anchor: str
    title: str
    note: str
    headings: tuple[tuple[str, str, str], ...]
    """Label with unit, anchor of the definition, CSS class of the cells."""
    rows: tuple[tuple[Cell, ...], ...]
    as_of_note: str
    """Sample size, data as of, number of rows."""
    empty_reason: str
    """Why there are no rows; empty if there are some."""
    origin: str
    report: str
    csv: str
    ndjson: str
    drawing: Mapping[str, Any] | None = None
    """None for a table without a chart, and for a map whose rows have no place."""
    ignored_filters_note: str = ""
    """Which of the reader's choices the rows do not follow; empty if they follow all."""
    hint: str = ""
    """What a reader may choose to see more."""
    empty_chart_note: str = "None of these rows has a place."
    """Text in the place of the drawing, if there are rows and no drawing."""

    @property
    def row_count_text(self) -> str:
        """Number of the table's rows, or that it has only the first rows."""
        count = formatting.count_of(len(self.rows), "row")
        return f"the first {count}" if len(self.rows) == TABLE_ROWS_MOST else count


@dataclass(frozen=True)
class SectionView:
    """A part of a page."""

    title: str
    intro: str
    hint: str
    figures: tuple[FigureView, ...]
    charts: tuple[RowsView, ...]
    tables: tuple[RowsView, ...]


@dataclass(frozen=True)
class Definition:
    """The meaning of a column."""

    anchor: str
    column: ReportColumn


@dataclass(frozen=True)
class ReportView:
    """A report with the definitions of the columns that a page shows."""

    report: ReportDefinition
    definitions: tuple[Definition, ...]


@dataclass(frozen=True)
class PageView:
    """All content of a page."""

    name: str
    page: Page
    filters: tuple[FilterView, ...]
    notices: tuple[Notice, ...]
    sections: tuple[SectionView, ...]
    reports: tuple[ReportView, ...]
    sources: tuple[Contract, ...]
    as_of: str
