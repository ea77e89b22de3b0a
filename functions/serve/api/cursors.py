"""Cursors: the last row of a page, as a text that is valid for one query only.

A cursor holds the last row's values of the columns that the query sorts by. So the next page begins after
that row, however many rows there are. A cursor also has a digest of report, filters, sort and report
version. The digest is not a signature and need not be one: a cursor's values become query parameters, and
a forged cursor shows only rows that its author may request anyway.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

import msgspec

from functions.serve import value_codec
from functions.serve.api.query_params import ReportQuery
from functions.serve.errors import BadRequestError
from functions.serve.warehouse.result import Value

_PATTERN = re.compile(r"([A-Za-z0-9_-]+)\.([0-9a-f]{32})")

_HINT = "take it from `next` of the answer before, for the same filters and sort"


@dataclass(frozen=True)
class CursorPosition:
    """What a cursor holds: the version of its report, and the last row of its page."""

    version: str
    after: tuple[Value, ...]
    """A value for each column of the query's order."""


class _CursorBody(msgspec.Struct, array_like=True, frozen=True):
    version: str
    after: tuple[str | int | float | bool | None, ...]


def write(query: ReportQuery, position: CursorPosition) -> str:
    """Encode a position as the cursor of a query."""
    after = tuple(value_codec.to_json_value(value) for value in position.after)
    body = msgspec.json.encode(_CursorBody(position.version, after))
    return f"{base64.urlsafe_b64encode(body).decode().rstrip('=')}.{_digest(query, body)}"


def read(query: ReportQuery) -> CursorPosition:
    """Decode a query's cursor; raises BadRequestError for the cursor of another query."""
    match = _PATTERN.fullmatch(query.cursor)
    if not match:
        raise BadRequestError(f"cursor is no cursor: {_HINT}")
    try:
        body = base64.b64decode(
            match[1] + "=" * (-len(match[1]) % 4), altchars=b"-_", validate=True
        )
        if _digest(query, body) != match[2]:
            raise BadRequestError(f"cursor belongs to another question: {_HINT}")
        cursor_body = msgspec.json.decode(body, type=_CursorBody)
        return CursorPosition(cursor_body.version, _after(query, cursor_body))
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        if isinstance(error, BadRequestError):
            raise
        raise BadRequestError(f"cursor cannot be read: {_HINT}") from error


def _after(query: ReportQuery, cursor_body: _CursorBody) -> tuple[Value, ...]:
    if len(cursor_body.after) != len(query.order):
        raise ValueError(cursor_body.after)
    return tuple(
        None if value is None else _value(each.column.type, value)
        for each, value in zip(query.order, cursor_body.after, strict=True)
    )


def _value(kind: str, value: str | float | bool) -> Value:
    """Convert a value from JSON; a STRING may be longer here than in a filter."""
    if kind in ("STRING", "BOOL", "FLOAT64"):
        expected = {"STRING": str, "BOOL": bool, "FLOAT64": (int, float)}[kind]
        if not isinstance(value, expected) or (kind == "FLOAT64" and isinstance(value, bool)):  # type: ignore[arg-type]
            raise ValueError(value)
        return float(value) if kind == "FLOAT64" else value
    return value_codec.parse_value(kind, str(value))


def _digest(query: ReportQuery, body: bytes) -> str:
    """Compute the digest of a cursor's body and the query that it belongs to."""
    where = [
        (
            each.column.name,
            each.operator,
            sorted(str(value_codec.to_json_value(v)) for v in each.values),
        )
        for each in query.where
    ]
    order = [(each.column.name, each.descending) for each in query.order]
    question = msgspec.json.encode((1, query.report.name, where, order))
    return hashlib.sha256(question + b"\n" + body).hexdigest()[:32]
