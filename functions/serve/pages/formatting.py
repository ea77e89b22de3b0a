"""Values as readers see them: numbers with narrow spaces and units, times with zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import floor, log10
from zoneinfo import ZoneInfo

from catalog.records import Origin
from catalog.reports import ReportColumn
from functions.serve.warehouse.result import Value

NARROW = "\N{NARROW NO-BREAK SPACE}"
"""Between the thousands of a number, and before its unit (SI brochure, 5.4.3 and 5.4.4)."""

NO_VALUE = "–"
"""Text of an empty value."""

SMALLEST_IN_DIGITS = 1e-6
"""Smallest size of a number that is written in digits."""

ORIGINS = {
    Origin.SYNTHETIC: "synthetic: made up by a generator, not measured",
    Origin.SAMPLE: "sample: real files of other days, served in the place of the publisher",
}
"""What a page says about rows that do not come from their publisher."""


def format_value(value: Value, column: ReportColumn) -> str:
    """Format a field of a table, without its unit."""
    match value:
        case None:
            return NO_VALUE
        case bool():
            return "yes" if value else "no"
        case int():
            return format_integer(value) if column.unit else str(value)
        case float() | Decimal():
            return format_decimal(float(value))
        case datetime():
            return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case date():
            return value.isoformat()
        case _:
            return value


def format_with_unit(value: Value, column: ReportColumn) -> str:
    """Format a single figure with its unit."""
    text = format_value(value, column)
    return f"{text}{NARROW}{column.unit}" if column.unit and value is not None else text


def format_integer(number: int) -> str:
    """Format a whole number, with a space between thousands."""
    return f"{number:,}".replace(",", NARROW).replace("-", "\N{MINUS SIGN}")


def count_of(number: int, thing: str) -> str:
    """Format a count of things, such as `1 row` and `2 rows`."""
    return f"{format_integer(number)} {thing}{'' if number == 1 else 's'}"


def format_decimal(number: float) -> str:
    """Format a number to about three digits: no decimals from 100 on, one from 10 on, else two.

    Zero is `0`. A number that two decimals would show as zero has its first two digits.
    """
    size = abs(number)
    if size < SMALLEST_IN_DIGITS:
        return "0" if size == 0 else f"under{NARROW}{SMALLEST_IN_DIGITS:.6f}"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    if size < 0.01:
        digits = 1 - floor(log10(size))
    return f"{number:,.{digits}f}".replace(",", NARROW).replace("-", "\N{MINUS SIGN}")


def format_instant(at: datetime, zone: str) -> str:
    """Format a time in UTC and, if it differs, in the zone of the data set."""
    utc = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    local = at.astimezone(ZoneInfo(zone))
    if local.utcoffset() == timedelta(0):
        return utc
    form = "%H:%M" if local.date() == at.astimezone(UTC).date() else "%Y-%m-%d %H:%M"
    return f"{utc} ({local:{form}} {zone})"


def humanize_duration(length: timedelta) -> str:
    """Format a duration roughly, in the unit that a person would choose."""
    hours = length.total_seconds() / 3600
    if hours < 2:
        return f"{max(1, round(hours * 60))}{NARROW}min"
    return (
        f"{round(hours)}{NARROW}h"
        if hours < 72
        else f"{format_integer(round(hours / 24))}{NARROW}days"
    )
