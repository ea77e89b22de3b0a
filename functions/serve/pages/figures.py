"""Key figures of a page: value, caveats and the value of the row before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from catalog.pages import Figure
from catalog.reports import ReportColumn
from functions.serve.pages import formatting
from functions.serve.pages.notices import origin_mark
from functions.serve.pages.view_models import FigureView
from functions.serve.warehouse.result import ResultTable, Value

Row = tuple[Value, ...]
Field = tuple[ReportColumn, int]
"""A column and its position in a row."""


def without_value(figure: Figure, empty_reason: str) -> FigureView:
    """Build a key figure that has no value, with the reason."""
    return FigureView(
        label=figure.label,
        text=formatting.NO_VALUE,
        at="",
        anchor=_anchor(figure),
        empty_reason=empty_reason,
    )


def figure_view(figure: Figure, table: ResultTable, ignored_filters_note: str) -> FigureView:
    """Build a key figure from the first row of a table; the second is the row before."""
    fields = {column.name: (column, at) for at, column in enumerate(table.columns)}
    field, when = fields[figure.column], fields[figure.at]
    row, *earlier = table.rows
    return FigureView(
        label=figure.label,
        text=formatting.format_with_unit(row[field[1]], field[0]),
        at=_text(row, when),
        before=_before(row, earlier, field, when),
        caveats=_caveats(figure, fields, row, earlier),
        anchor=_anchor(figure),
        origin=origin_mark(table),
        ignored_filters_note=ignored_filters_note,
    )


def _anchor(figure: Figure) -> str:
    return f"{figure.report}.{figure.column}"


def _text(row: Row, field: Field) -> str:
    column, at = field
    return formatting.format_value(row[at], column)


def _caveats(
    figure: Figure, fields: Mapping[str, Field], row: Row, earlier: Sequence[Row]
) -> tuple[str, ...]:
    """List the caveats of the row and of the row before, which are flags in their columns."""
    flags = {text: fields[name][1] for name, text in figure.caveats.items()}
    own = [text for text, flag in flags.items() if row[flag]]
    before = [
        f"{_text(each, fields[figure.at])}: {text}"
        for each in earlier
        for text, flag in flags.items()
        if each[flag]
    ]
    return (*own, *before)


def _before(row: Row, earlier: Sequence[Row], field: Field, when: Field) -> str:
    """Say what the figure was in the row before, and in which direction it moved."""
    column, at = field
    if not earlier or earlier[0][at] is None:
        return ""
    before = earlier[0]
    direction = _direction(row[at], before[at])
    return f"{direction}{formatting.format_with_unit(before[at], column)} in {_text(before, when)}"


def _direction(value: Value, before: Value) -> str:
    if not all(isinstance(each, (int, float)) for each in (value, before)):
        return ""
    now, then = float(str(value)), float(str(before))
    return "up from " if now > then else "down from " if now < then else "as before: "
