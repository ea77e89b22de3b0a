"""Read decimal commas and `time_format` times, and repair values, before they are checked.

The contract requests each of these, and they are counted.

A repair never guesses. Text is decoded again only if the whole text becomes UTF-8, and coordinates
are exchanged only if that puts them into the contract's box. A value that is not in its column's
time format, or not a number with a decimal comma, stays unchanged; the column's own check decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from catalog.contract import Column, Contract, GeoPoint
from catalog.time_format import TimeFormat

Columns = list[list[str | None]]

_MOST_DECODINGS = 4

_CONTROLS = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
"""Bytes without a character in Windows-1252; they are read as control characters."""

_AS_LATIN = {
    ord(bytes([byte]).decode("cp1252")): chr(byte)
    for byte in range(0x80, 0xA0)
    if byte not in _CONTROLS
}
"""Character of Windows-1252 → control character of Latin-1 with the same byte."""

_BLANKS = " \u00a0\u2009\u202f"
"""Separators of thousands: blank, no-break, thin, and narrow no-break."""

_COMMA = re.compile(
    rf"[+-]?(?:(?:[0-9]+|[0-9]{{1,3}}(?:[{_BLANKS}][0-9]{{3}})+)(?:,[0-9]*)?|,[0-9]+)"
    r"(?:[eE][+-]?[0-9]{1,3})?"
)

_DECIMAL_MARKS = str.maketrans({",": "."} | dict.fromkeys(_BLANKS, ""))


class Repairs:
    """The repairs of one contract."""

    def __init__(self, contract: Contract) -> None:
        """Collect the columns that the contract wants to be repaired."""
        names = [column.name for column in contract.columns]
        columns = list(enumerate(contract.columns))
        self._decoded = [(at, c) for at, c in columns if c.mojibake]
        self._commas = [(at, c) for at, c in columns if c.decimal]
        self._forms = [
            (at, _iso(TimeFormat(c.time_format), c))
            for at, c in columns
            if c.time_format is not None
        ]
        self._places = [
            (names.index(place.latitude), names.index(place.longitude), place)
            for place in contract.geo_points
        ]
        self._none = not (self._decoded or self._commas or self._forms or self._places)
        self.any = not self._none or any(column.value_map for column in contract.columns)
        """Whether a part may keep a value that differs from the text in the file."""

    def apply(self, columns: Columns) -> tuple[Columns, Counter[str]]:
        """Repair every value; return the columns, and the number of repairs by column and kind."""
        counts: Counter[str] = Counter()
        if self._none:
            return columns, counts
        repaired = list(columns)
        for at, column in self._decoded:
            repaired[at] = _fix_texts(columns[at], column, counts)
        for at, column in self._commas:
            repaired[at] = _map_values(
                columns[at], normalize_decimal, counts, f"{column.name}: decimal comma"
            )
        for (
            at,
            iso,
        ) in self._forms:  # another way to write a time is not a fault, so it is not counted
            repaired[at] = _map_values(columns[at], iso)
        for north, east, place in self._places:
            repaired[north], repaired[east] = _swap_exchanged_coordinates(
                repaired[north], repaired[east], place, counts
            )
        return repaired, counts


def fix_mojibake(text: str) -> str:
    """Decode text again that was UTF-8 read as Windows-1252, however often; else return it.

    Some tool replaces the no-break space after `Ã`, the second byte of an `à`, by a blank. Such a
    blank is changed back, so that the text is not repaired by half.
    """
    for _ in range(_MOST_DECODINGS):
        if text.isascii():
            break
        inner = _decoded(text) or _decoded(text.replace("Ã ", "Ã\xa0"))
        if inner is None or inner == text:
            break
        text = inner
    return text


def _decoded(text: str) -> str | None:
    """Decode the text again; return None if it is not misread UTF-8."""
    try:
        return text.translate(_AS_LATIN).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


def normalize_decimal(text: str) -> str:
    """Write a number with a decimal comma or spaced thousands with a point; else return it."""
    stripped = text.strip()
    read = stripped.translate(_DECIMAL_MARKS)
    return read if read != stripped and _COMMA.fullmatch(stripped) else text


def _iso(form: TimeFormat, column: Column) -> Callable[[str], str]:
    """Build a function that converts texts in the time format to ISO; other texts stay."""
    read = form.date if column.type == "date" else form.instant
    return lambda text: read(text) or text


def _fix_texts(values: list[str | None], column: Column, counts: Counter[str]) -> list[str | None]:
    def read(value: str) -> str:
        return value if value.isascii() else fix_mojibake(value)

    return _map_values(values, read, counts, f"{column.name}: mojibake")


def _map_values(
    values: list[str | None], read: Callable[[str], str], counts: Counter[str] | None = None,
    name: str = "",
) -> list[str | None]:  # fmt: skip
    """Apply `read` to the values; add the number of changed values to `counts`, if given."""
    results = {value: read(value) for value in set(values) if value}
    new = {value: text for value, text in results.items() if text != value}
    if not new:
        return values
    if counts is not None:
        counts[name] += sum(value in new for value in values)
    return [new.get(value, value) if value else value for value in values]


def _swap_exchanged_coordinates(
    north: list[str | None], east: list[str | None], place: GeoPoint, counts: Counter[str]
) -> tuple[list[str | None], list[str | None]]:
    """Exchange coordinates, or empty them, if they are outside the box."""
    pair = f"{place.latitude}, {place.longitude}"
    latitudes, longitudes = list(north), list(east)
    for at, (one, other) in enumerate(zip(north, east, strict=True)):
        first, second = _number(one), _number(other)
        if first is None or second is None or place.holds(first, second):
            continue
        if place.holds(second, first):
            latitudes[at], longitudes[at] = other, one
            counts[f"{pair}: exchanged"] += 1
        else:
            latitudes[at] = longitudes[at] = None
            counts[f"{pair}: outside the box"] += 1
    return latitudes, longitudes


def _number(text: str | None) -> float | None:
    """Parse a number; return None if it is not one, so that the column's own check decides."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
