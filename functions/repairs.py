"""What is done to values before they are checked, where the contract asks for it, and how often.

A repair never guesses: text is read anew only where all of it turns into UTF-8, and a place is
exchanged only where that puts it into the contract's box.
"""

from __future__ import annotations

from collections import Counter

from catalog.contract import Column, Contract, Place

Columns = list[list[str | None]]

_MOST_DECODINGS = 4
_CONTROLS = (0x81, 0x8D, 0x8F, 0x90, 0x9D)
"""Bytes that stand for no letter in Windows-1252, and are read as controls."""
_AS_LATIN = {
    ord(bytes([byte]).decode("cp1252")): chr(byte)
    for byte in range(0x80, 0xA0)
    if byte not in _CONTROLS
}
"""What Windows-1252 has in place of Latin-1's controls → those."""


class Repairs:
    """The repairs of one contract."""

    def __init__(self, contract: Contract) -> None:
        """Nothing is repaired yet."""
        names = [column.name for column in contract.columns]
        self._decoded = [(at, c) for at, c in enumerate(contract.columns) if c.mojibake]
        self._places = [
            (names.index(place.latitude), names.index(place.longitude), place)
            for place in contract.places
        ]
        self.any = bool(
            self._decoded or self._places or any(column.words for column in contract.columns)
        )
        """Whether a value may be kept otherwise than its letters alone would tell."""

    def done(self, columns: Columns) -> tuple[Columns, Counter[str]]:
        """The contract's columns with every value repaired, and how many were, by column and repair."""
        told: Counter[str] = Counter()
        if not (self._decoded or self._places):
            return columns, told
        made = list(columns)
        for at, column in self._decoded:
            made[at] = _meant(columns[at], column, told)
        for north, east, place in self._places:
            made[north], made[east] = _placed(made[north], made[east], place, told)
        return made, told


def meant(text: str) -> str:
    """The text that was meant where UTF-8 was read as Windows-1252, however often; else the text.

    A blank after `Ã` stands for the no-break space that some tool has made of it, the second byte of
    an `à`: without that such a text would be half repaired.
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
    """The text read anew; None where it is not UTF-8 that was misread."""
    try:
        return text.translate(_AS_LATIN).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


def _meant(values: list[str | None], column: Column, told: Counter[str]) -> list[str | None]:
    known = {value: meant(value) for value in set(values) if value and not value.isascii()}
    wrong = {value: new for value, new in known.items() if new != value}
    if not wrong:
        return values
    told[f"{column.name}: mojibake"] += sum(value in wrong for value in values)
    return [wrong.get(value, value) if value else value for value in values]


def _placed(
    north: list[str | None], east: list[str | None], place: Place, told: Counter[str]
) -> tuple[list[str | None], list[str | None]]:
    """Latitudes and longitudes, exchanged or emptied where they are not in the box."""
    pair = f"{place.latitude}, {place.longitude}"
    latitudes, longitudes = list(north), list(east)
    for at, (one, other) in enumerate(zip(north, east, strict=True)):
        first, second = _number(one), _number(other)
        if first is None or second is None or place.holds(first, second):
            continue
        if place.holds(second, first):
            latitudes[at], longitudes[at] = other, one
            told[f"{pair}: exchanged"] += 1
        else:
            latitudes[at] = longitudes[at] = None
            told[f"{pair}: outside the box"] += 1
    return latitudes, longitudes


def _number(text: str | None) -> float | None:
    """A number, None for what the column's own check has to judge."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
