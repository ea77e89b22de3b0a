"""Conversion of values between request parameters, JSON and BigQuery's types.

INT64 and FLOAT64 are numbers, NUMERIC is text with all its digits, DATE and TIMESTAMP are ISO 8601
(TIMESTAMP in UTC with `Z`), null is null. So all values of a column have one format.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from decimal import Decimal

from functions.serve.warehouse.result import Value

ORDERED = ("INT64", "FLOAT64", "NUMERIC", "DATE", "TIMESTAMP")
"""Types that can be filtered by `.from` and `.to`."""

_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)

_DECIMAL = re.compile(r"[+-]?\d{1,29}(\.\d{1,9})?", re.ASCII)

_FLOAT = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?", re.ASCII)

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})", re.ASCII
)

_FORMS = {
    "INT64": "a whole number of 64 bits",
    "FLOAT64": "a number",
    "NUMERIC": "a number with up to 9 decimals",
    "BOOL": "true or false",
    "DATE": "a day such as 2024-05-31",
    "TIMESTAMP": "an instant such as 2024-05-31T12:00:00Z, or a day in UTC",
}

_TEXT_MOST = 500


def parse_value(kind: str, text: str, *, last: bool = False) -> Value:
    """Parse a text as a BigQuery type; raises ValueError that says what it must be.

    For a TIMESTAMP, a day means its first microsecond, or with `last` its last one.
    """
    try:
        return _read(kind, text, last)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"must be {_FORMS.get(kind, 'text')}") from error


def to_json_value(value: Value) -> str | int | float | bool | None:
    """Convert a value to a type that JSON has."""
    match value:
        case datetime():
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case _:
            return value


def _read(kind: str, text: str, last: bool) -> Value:
    match kind:
        case "INT64":
            return _bounded(int(_of(_WHOLE, text)))
        case "FLOAT64":
            return _finite(float(_of(_FLOAT, text)))
        case "NUMERIC":
            return Decimal(_of(_DECIMAL, text))
        case "BOOL":
            return _of(re.compile("true|false"), text) == "true"
        case "DATE":
            return date.fromisoformat(_of(_DATE, text))
        case "TIMESTAMP":
            return _instant(text, last)
        case _:
            return _short(text)


def _of(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _bounded(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError(number)
    return number


def _finite(number: float) -> float:
    if number in (float("inf"), float("-inf")):
        raise ValueError(number)
    return number


def _instant(text: str, last: bool) -> datetime:
    if _DATE.fullmatch(text):
        at = time.max if last else time.min
        return datetime.combine(date.fromisoformat(text), at, UTC)
    return datetime.fromisoformat(_of(_INSTANT, text)).astimezone(UTC)


def _short(text: str) -> str:
    if len(text) > _TEXT_MOST or "\0" in text:
        raise ValueError(text)
    text.encode()  # fails for half a surrogate pair, which UTF-8 cannot encode
    return text
