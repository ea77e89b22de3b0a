"""Rows as CSV and NDJSON files, written in pieces, and as a table in HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import batched

import msgspec
from markupsafe import Markup, escape

from catalog.reports import ReportColumn
from functions.serve.attribution import Attribution
from functions.serve.value_codec import to_json_value
from functions.serve.warehouse.result import ResultTable, Value

_ROWS = 1_000
"""Rows in one piece of a file."""
_FORMULA = re.compile("^(?='*[=+\\-@\t\r\n＝＋－＠])|(?<=[;\t\r\n])(?=['\"]*[=+\\-@＝＋－＠])")
"""Positions where a formula begins: at the text's begin, or in a cell that splitting it makes."""


def csv_pieces(
    columns: Iterable[ReportColumn], rows: Iterable[tuple[Value, ...]]
) -> Iterator[bytes]:
    """Write CSV as in RFC 4180: UTF-8, header, CRLF; text is quoted, null is an empty field.

    Text that a spreadsheet would read as a formula gets a `'` in front, see `neutral`.
    """
    yield _csv([[column.name for column in columns]])
    for piece in batched(rows, _ROWS, strict=False):
        yield _csv([[_cell(value) for value in row] for row in piece])


def ndjson_pieces(
    columns: Iterable[ReportColumn], rows: Iterable[tuple[Value, ...]]
) -> Iterator[bytes]:
    """Write one JSON object a line, the same objects as in the API's `rows`."""
    names = [column.name for column in columns]
    for piece in batched(rows, _ROWS, strict=False):
        yield b"".join(msgspec.json.encode(record(names, row)) + b"\n" for row in piece)


def record(names: Iterable[str], row: tuple[Value, ...]) -> dict[str, object]:
    """Convert a row to a JSON object."""
    return {name: to_json_value(value) for name, value in zip(names, row, strict=True)}


def neutral(text: str) -> str:
    """Change a text so that no spreadsheet reads it as a formula (CWE-1236).

    A text gets a `'` in front if it begins with `=`, `+`, `-`, `@`, tab or a line's end, or with `'`
    before one of them. A part after `;`, tab or a line's end also gets one if it begins with `=`, `+`,
    `-`, `@`, or with quotes before one of them: a reader that splits at `;` or tab makes it a cell.
    Removing each added `'` returns the text.
    """
    return _FORMULA.sub("'", text)


def html_page(table: ResultTable, attribution: Attribution, next_address: str) -> str:
    """Write a page of rows in HTML without style or script, with a link to the next page."""
    title = escape(table.declared.title)
    head = Markup("").join(_head(column) for column in table.columns)
    body = Markup("\n").join(_row(row) for row in table.rows)
    reach = to_json_value(table.data_as_of) or "nothing yet"
    footer = Markup("<p>{}; data as of {}; origin {}</p>").format(
        "; ".join(f"{each.attribution} ({each.licence})" for each in attribution.contracts),
        reach,
        table.origin or "none",
    )
    link = (
        Markup('<p><a rel="next" href="{}">next rows</a></p>').format(next_address)
        if next_address
        else ""
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><table><caption>{title}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n{footer}{link}</body></html>\n"
    )


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_STRINGS, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Value) -> object:
    """Convert a value to a CSV field: NUMERIC with all its digits, BOOL in lower case."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return neutral(value)
        case _:
            return to_json_value(value)


def _head(column: ReportColumn) -> Markup:
    unit = f" [{column.unit}]" if column.unit else ""
    return Markup('<th scope="col" title="{}">{}{}</th>').format(
        column.description, column.name, unit
    )


def _row(row: tuple[Value, ...]) -> Markup:
    cells = (Markup("<td>{}</td>").format("" if v is None else to_json_value(v)) for v in row)
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))
