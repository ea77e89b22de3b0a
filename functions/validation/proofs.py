"""Find the values of a column that are certainly valid; `values` checks the others.

Only the common form is proved here, and nothing is rejected: a value in doubt may still be valid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.contract import Column, Contract
from catalog.runs import Run
from functions.parsing.csv.bits import Bytes, Places
from functions.validation.instants import Mask, instants
from functions.validation.values import ColumnCheck, time_limits

_ZERO, _POINT, _DASH = ord("0"), ord("."), ord("-")
_DIGITS_MAX = 18
"""So many digits are always within 64 bits."""
_FLOAT_MAX = 300
"""So many digits are always a finite number."""
_BLANK = np.zeros(256, np.bool_)
_BLANK[: ord(" ") + 1] = True
_BLANK[[0xC2, 0xE1, 0xE2, 0xE3]] = True
"""Bytes with which a blank of Unicode may begin, in UTF-8."""
_BLANK_OR_DASH = _BLANK.copy()
_BLANK_OR_DASH[_DASH] = True


@dataclass(frozen=True)
class Texts:
    """A column of texts by their bytes; a null has none."""

    array: pa.StringArray
    bytes: Bytes
    bounds: Places

    @classmethod
    def of(cls, array: pa.StringArray) -> Texts:
        """Take the texts of an array, or of a slice of one, that is not empty."""
        _, bounds, data = array.buffers()
        assert bounds is not None  # noqa: S101 - texts have bounds
        ends = np.frombuffer(bounds, np.int32)[array.offset : array.offset + len(array) + 1]
        whole = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
        return cls(array, whole[ends[0] : ends[-1]], ends - ends[0])

    @property
    def lengths(self) -> Places:
        """Bytes of each text."""
        return np.diff(self.bounds)

    @property
    def filled(self) -> Mask:
        """Which texts are not null."""
        return self.bounds[1:] > self.bounds[:-1]

    def having(self, bytes_: Mask) -> Mask:
        """Which texts have one of the bytes of a mask."""
        found = np.zeros(len(self.array), np.bool_)
        places = np.flatnonzero(bytes_)
        if len(places):
            found[np.searchsorted(self.bounds, places, side="right") - 1] = True
        return found


Doubt = Callable[[Texts], Mask]
"""Which values of a column may be wrong, or may not be kept as they are."""


def is_plain_time(column: Column) -> bool:
    """Whether a column is sound where its value is a time within its limits."""
    return column.type == "timestamp" and not column.allowed and column.pattern is None


def doubts(check: ColumnCheck, contract: Contract, run: Run) -> Doubt:
    """Build the function that finds the values in doubt of a column."""
    column = check.column
    if is_plain_time(column):
        return partial(_not_instants, limits=time_limits(column, contract, run))
    if column.allowed or column.pattern is not None:
        return _every
    limited = column.minimum is not None or column.maximum is not None
    simple: dict[str, Doubt] = {"integer": _not_digits, "float": _not_decimals}
    if column.type in simple:
        plain = simple[column.type]
        return partial(_beyond, column=column, plain=plain) if limited else plain
    if limited or column.type not in ("text", "code"):
        return _every
    return _pointed if column.type == "code" else _blank


def _every(texts: Texts) -> Mask:
    return texts.filled


def _blank(texts: Texts) -> Mask:
    return _beginning(texts, _BLANK)


def _pointed(texts: Texts) -> Mask:
    """Codes that may have the `.0` of a spreadsheet."""
    return texts.having(texts.bytes == _POINT) | _blank(texts)


def _beginning(texts: Texts, letters: Mask) -> Mask:
    """Which texts begin with one of some bytes."""
    if not len(texts.bytes):
        return np.zeros(len(texts.array), np.bool_)
    first = texts.bytes.take(texts.bounds[:-1], mode="clip")
    return letters.take(first) & texts.filled


def _not_digits(texts: Texts) -> Mask:
    """Integers that are not digits alone, or may be above 64 bits."""
    return texts.having(texts.bytes - np.uint8(_ZERO) > 9) | (texts.lengths > _DIGITS_MAX)


def _not_decimals(texts: Texts) -> Mask:
    """Numbers that are not digits with at most one point between them."""
    others = texts.bytes - np.uint8(_ZERO) > 9
    points = texts.bytes == _POINT
    found = texts.having(others & ~points)
    rows = np.searchsorted(texts.bounds, np.flatnonzero(points), side="right") - 1
    found[rows[1:][rows[1:] == rows[:-1]]] = True
    edge = np.zeros(256, np.bool_)
    edge[_POINT] = True
    return found | _beginning(texts, edge) | (texts.lengths > _FLOAT_MAX)


def _beyond(texts: Texts, column: Column, plain: Doubt) -> Mask:
    """Numbers that are not plain, or not between the column's least and greatest."""
    found = plain(texts)
    if found.any():
        return texts.filled
    numbers = pc.cast(texts.array, pa.float64())
    buffer = numbers.buffers()[1]
    assert buffer is not None  # noqa: S101 - numbers have data
    values = np.frombuffer(buffer, np.float64)[numbers.offset : numbers.offset + len(numbers)]
    if column.minimum is not None:
        found |= values < float(column.minimum)
    if column.maximum is not None:
        found |= values > float(column.maximum)
    return found & texts.filled


def _not_instants(texts: Texts, limits: tuple[float, float]) -> Mask:
    """Timestamps that are not of the usual forms, or not within their limits."""
    seconds, read = instants(texts.bytes, texts.bounds[:-1], texts.lengths)
    return texts.filled & ~(read & (seconds >= limits[0]) & (seconds <= limits[1]))
