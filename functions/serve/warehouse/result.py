"""Rows of a report, for a page, an answer or a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from catalog.records import Origin
from catalog.reports import Declaration, ReportColumn

Value = str | int | float | Decimal | bool | date | datetime | None
"""A field of a row, as BigQuery's client returns it; a GEOGRAPHY is text in WKT."""


@dataclass(frozen=True)
class ResultTable:
    """Some rows of one report, and what readers must see with them."""

    name: str
    declared: Declaration
    columns: tuple[ReportColumn, ...]
    """The columns of `rows`, in their order."""
    rows: tuple[tuple[Value, ...], ...]
    data_as_of: datetime | None
    """Time up to which the report has data, UTC; None for a report without rows."""
    origin: Origin | None
    cursor: str = ""
    """Cursor of the next page; empty on the last page."""
    version: str = ""
    """Version of the report that the rows are from; another version may have other rows."""
    unchanged_since: datetime | None = None
    """Last change of the report's table, UTC; for a live SELECT, the time of the query."""
