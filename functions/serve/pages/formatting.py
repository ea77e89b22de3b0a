"""Values as a reader sees them: numbers with narrow blanks and units, times with their zones."""

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
"""What stands for an empty value."""

SMALLEST_SHOWN = 1e-6
"""The smallest size of a number that is told by its digits."""

ORIGINS = {
    Origin.SYNTHETIC: "synthetic: made up by a generator, not measured",
    Origin.SAMPLE: "sample: real files of other days, served in the place of the publisher",
}
"""What must be said of rows that do not come from their publisher."""


def format_value(given: Value, column: ReportColumn) -> str:
    """A field of a table's row, without its unit."""
    match given:
        case None:
            return NO_VALUE
        case bool():
            return "yes" if given else "no"
        case int():
            return format_integer(given) if column.unit else str(given)
        case float() | Decimal():
            return format_decimal(float(given))
        case datetime():
            return f"{given.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        case date():
            return given.isoformat()
        case _:
            return given


def format_with_unit(given: Value, column: ReportColumn) -> str:
    """A figure that stands alone, with its unit."""
    text = format_value(given, column)
    return f"{text}{NARROW}{column.unit}" if column.unit and given is not None else text


def format_integer(number: int) -> str:
    """A whole number, its thousands apart."""
    return f"{number:,}".replace(",", NARROW).replace("-", "\N{MINUS SIGN}")


def count_of(number: int, thing: str) -> str:
    """So many of a thing, as `1 row` and `2 rows`."""
    return f"{format_integer(number)} {thing}{'' if number == 1 else 's'}"


def format_decimal(number: float) -> str:
    """A number to about three digits: none after the point from 100 on, one from 10 on, else two.

    Zero is `0`, and what two digits would show as zero has the two that tell it from one.
    """
    size = abs(number)
    if size < SMALLEST_SHOWN:
        return "0" if size == 0 else f"under{NARROW}{SMALLEST_SHOWN:.6f}"
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    if size < 0.01:
        digits = 1 - floor(log10(size))
    return f"{number:,.{digits}f}".replace(",", NARROW).replace("-", "\N{MINUS SIGN}")


def format_instant(at: datetime, zone: str) -> str:
    """A time in UTC and, where it is another, on the clock of the data set's zone."""
    told = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    local = at.astimezone(ZoneInfo(zone))
    if local.utcoffset() == timedelta(0):
        return told
    form = "%H:%M" if local.date() == at.astimezone(UTC).date() else "%Y-%m-%d %H:%M"
    return f"{told} ({local:{form}} {zone})"


def humanize_duration(length: timedelta) -> str:
    """About how long, in the unit that a person would choose."""
    hours = length.total_seconds() / 3600
    if hours < 2:
        return f"{max(1, round(hours * 60))}{NARROW}min"
    return (
        f"{round(hours)}{NARROW}h"
        if hours < 72
        else f"{format_integer(round(hours / 24))}{NARROW}days"
    )
