"""Rows as files: CSV and NDJSON, a piece at a time, and a table in HTML."""

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
"""Rows of one piece."""
_FORMULA = re.compile("^(?='*[=+\\-@\t\r\n＝＋－＠])|(?<=[;\t\r\n])(?=['\"]*[=+\\-@＝＋－＠])")
"""Where a cell begins that is a formula: the text's own, and those that splitting it makes."""


def csv_pieces(
    columns: Iterable[ReportColumn], rows: Iterable[tuple[Value, ...]]
) -> Iterator[bytes]:
    """A CSV file as RFC 4180 has it: UTF-8, header, CRLF; text quoted, null an empty field.

    Text that a spreadsheet would take for a formula has a `'` before it, see `neutral`.
    """
    yield _csv([[column.name for column in columns]])
    for piece in batched(rows, _ROWS, strict=False):
        yield _csv([[_cell(value) for value in row] for row in piece])


def ndjson_pieces(
    columns: Iterable[ReportColumn], rows: Iterable[tuple[Value, ...]]
) -> Iterator[bytes]:
    """A JSON object a line, as rows of the API are."""
    names = [column.name for column in columns]
    for piece in batched(rows, _ROWS, strict=False):
        yield b"".join(msgspec.json.encode(record(names, row)) + b"\n" for row in piece)


def record(names: Iterable[str], row: tuple[Value, ...]) -> dict[str, object]:
    """A row as an object of JSON."""
    return {name: to_json_value(value) for name, value in zip(names, row, strict=True)}


def neutral(text: str) -> str:
    """A text that no spreadsheet takes for a formula.

    One that begins with `=`, `+`, `-`, `@`, tab or a line's end, or with `'` before one of them, gets
    a `'` in front. So does what follows `;`, tab or a line's end within it and begins with `=`, `+`,
    `-`, `@` or quotes before one of them: where `;` or tab parts the cells, it is a cell of its own.
    Taking each `'` off gives the text back. CWE-1236.
    """
    return _FORMULA.sub("'", text)


def html_page(table: ResultTable, own: Attribution, onward: str) -> str:
    """A page of rows as a document without style or script; `onward` is the next one's address."""
    title = escape(table.declared.title)
    head = Markup("").join(_head(column) for column in table.columns)
    body = Markup("\n").join(_row(row) for row in table.rows)
    reach = to_json_value(table.data_as_of) or "nothing yet"
    beneath = Markup("<p>{}; data as of {}; origin {}</p>").format(
        "; ".join(f"{each.attribution} ({each.licence})" for each in own.contracts),
        reach,
        table.origin or "none",
    )
    link = Markup('<p><a rel="next" href="{}">next rows</a></p>').format(onward) if onward else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><table><caption>{title}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n{beneath}{link}</body></html>\n"
    )


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_STRINGS, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Value) -> object:
    """Numbers stay bare, NUMERIC with all its digits; truth is lower case, as in JSON."""
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
