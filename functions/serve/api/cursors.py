"""Cursors: where a page ended, in a form that holds for its own question alone.

A cursor holds the values of the last row that the question sorts by, so the next page begins after that
row however many there are. It bears a digest of report, filters, sort and the state of the report.
That is no signature and need not be: its values are compared as parameters, and whoever makes one up
sees rows that he may ask for anyway.
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

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([0-9a-f]{32})")

_OTHERWISE = "take it from `next` of the answer before, for the same filters and sort"


@dataclass(frozen=True)
class CursorPosition:
    """What a cursor says: the state of the report it was made from, and the row it stands after."""

    state: str
    after: tuple[Value, ...]
    """A value for each column of the question's order."""


class _Written(msgspec.Struct, array_like=True, frozen=True):
    state: str
    after: tuple[str | int | float | bool | None, ...]


def write(asked: ReportQuery, place: CursorPosition) -> str:
    """The cursor of a place."""
    after = tuple(value_codec.to_json_value(value) for value in place.after)
    body = msgspec.json.encode(_Written(place.state, after))
    return f"{base64.urlsafe_b64encode(body).decode().rstrip('=')}.{_digest(asked, body)}"


def read(asked: ReportQuery) -> CursorPosition:
    """The place that a question's cursor names; raises BadRequest for one that is not its own."""
    fits = _FORM.fullmatch(asked.cursor)
    if not fits:
        raise BadRequestError(f"cursor is no cursor: {_OTHERWISE}")
    try:
        body = base64.b64decode(fits[1] + "=" * (-len(fits[1]) % 4), altchars=b"-_", validate=True)
        if _digest(asked, body) != fits[2]:
            raise BadRequestError(f"cursor belongs to another question: {_OTHERWISE}")
        written = msgspec.json.decode(body, type=_Written)
        return CursorPosition(written.state, _after(asked, written))
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        if isinstance(error, BadRequestError):
            raise
        raise BadRequestError(f"cursor cannot be read: {_OTHERWISE}") from error


def _after(asked: ReportQuery, written: _Written) -> tuple[Value, ...]:
    if len(written.after) != len(asked.order):
        raise ValueError(written.after)
    return tuple(
        None if value is None else _value(each.column.type, value)
        for each, value in zip(asked.order, written.after, strict=True)
    )


def _value(kind: str, told: str | float | bool) -> Value:
    """A value back from JSON; a text of the warehouse may be longer than one a reader may ask for."""
    if kind in ("STRING", "BOOL", "FLOAT64"):
        wanted = {"STRING": str, "BOOL": bool, "FLOAT64": (int, float)}[kind]
        if not isinstance(told, wanted) or (kind == "FLOAT64" and isinstance(told, bool)):  # type: ignore[arg-type]
            raise ValueError(told)
        return float(told) if kind == "FLOAT64" else told
    return value_codec.parse_value(kind, str(told))


def _digest(asked: ReportQuery, body: bytes) -> str:
    """Of the cursor's body and the question it belongs to."""
    where = [
        (
            each.column.name,
            each.operator,
            sorted(str(value_codec.to_json_value(v)) for v in each.values),
        )
        for each in asked.where
    ]
    order = [(each.column.name, each.descending) for each in asked.order]
    question = msgspec.json.encode((1, asked.report.name, where, order))
    return hashlib.sha256(question + b"\n" + body).hexdigest()[:32]
