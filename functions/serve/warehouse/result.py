"""Rows of a report on their way to a page, an answer or a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from catalog.records import Origin
from catalog.reports import Declaration, ReportColumn

Value = str | int | float | Decimal | bool | date | datetime | None
"""A field of a row, as BigQuery's client gives it; a GEOGRAPHY is text in WKT."""


@dataclass(frozen=True)
class ResultTable:
    """Some rows of one report, and what must be shown beside them."""

    name: str
    declared: Declaration
    columns: tuple[ReportColumn, ...]
    """Those of `rows`, in their order."""
    rows: tuple[tuple[Value, ...], ...]
    data_as_of: datetime | None
    """How far the data of the report reaches, UTC; None for a report without rows."""
    origin: Origin | None
    cursor: str = ""
    """What asks for the rows after these; empty where these are the last."""
    version: str = ""
    """The state of the report that the rows are of; it differs where they may."""
    stood: datetime | None = None
    """Since when the report stands like this, UTC; of one that is asked and not made, when it was."""
