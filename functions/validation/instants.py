"""Parse the usual forms of timestamps with an offset all at once.

`values.instant` parses the others: local times by the contract's zone.

The usual forms are `2019-09-05T15:59:00+02:00` and `2019-09-05T13:59:00Z`, also with a blank instead
of `T`, from 1973 to 2199, with every part within its range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from functions.parsing.csv.bits import Bytes, Places

Seconds = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DAY_SECONDS = 86_400

_FIRST_YEAR, _LAST_YEAR = 1973, 2199
_MONTHS = np.arange(f"{_FIRST_YEAR}-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
_MONTH_STARTS = _MONTHS.astype("datetime64[D]").astype(np.int64)
_MONTH_DAYS = np.diff(_MONTH_STARTS)
_LOCAL = 19
"""Length of a time without its offset."""
_OFFSET_DIGITS = (20, 21, 23, 24)
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)
_MARKS = ((4, b"-"), (7, b"-"), (13, b":"), (16, b":"))


def instants(data: Bytes, starts: Places, lengths: Places) -> tuple[Seconds, Mask]:
    """Seconds since 1970 of the texts at `starts`, and which of them could be read so."""
    seconds = np.zeros(len(starts), np.int64)
    read = np.zeros(len(starts), np.bool_)
    for length in (_LOCAL + 6, _LOCAL + 1):
        fit = lengths == length
        if fit.all():
            return _read(data, starts, length)
        if fit.any():
            seconds[fit], read[fit] = _read(data, starts[fit], length)
    return seconds, read


def _read(data: Bytes, starts: Places, length: int) -> tuple[Seconds, Mask]:
    """Read texts of one length: 20 with a `Z`, 25 with an offset."""
    if not len(starts):
        return np.zeros(0, np.int64), np.zeros(0, np.bool_)
    # Windows of one item each: numpy takes those at half the price of rows of a matrix.
    windows = np.ndarray(len(data) - length + 1, f"V{length}", data, strides=(1,))
    letters = np.ascontiguousarray(windows[starts].view(np.uint8).reshape(-1, length).T)
    figures = letters - np.uint8(ord("0"))
    good = (letters[10] == ord("T")) | (letters[10] == ord(" "))
    for at, mark in _MARKS:
        good &= letters[at] == ord(mark)
    offset, known = _offset(letters, figures)
    good &= known
    for at in _DIGITS:
        good &= figures[at] <= 9
    local, within = _local(figures)
    return local - offset, good & within


def _local(figures: Bytes) -> tuple[Seconds, Mask]:
    """Seconds since 1970 by the clock, and whether every part is within its range."""
    year = _number(figures, 0, 2) * np.int32(100) + _number(figures, 2, 2)
    month, day = _number(figures, 5, 2), _number(figures, 8, 2)
    hour, minute = _number(figures, 11, 2), _number(figures, 14, 2)
    second = _number(figures, 17, 2)
    within = (year >= _FIRST_YEAR) & (year <= _LAST_YEAR) & (month >= 1) & (month <= 12)
    within &= (day >= 1) & (hour <= 23) & (minute <= 59) & (second <= 59)
    at = np.where(within, (year - _FIRST_YEAR) * 12 + month - 1, 0)
    within &= day <= _MONTH_DAYS[at]
    days = _MONTH_STARTS[at] + (day - 1)
    clock = hour * np.int32(3_600) + minute * np.int32(60) + second
    return days * DAY_SECONDS + clock, within


def _offset(letters: Bytes, figures: Bytes) -> tuple[Places, Mask]:
    """Return the seconds that each clock is ahead of UTC, and whether the offset is valid."""
    if len(letters) == _LOCAL + 1:
        return np.zeros(letters.shape[1], np.int32), letters[_LOCAL] == ord("Z")
    ahead = letters[_LOCAL] == ord("+")
    good = (ahead | (letters[_LOCAL] == ord("-"))) & (letters[22] == ord(":"))
    for at in _OFFSET_DIGITS:
        good &= figures[at] <= 9
    hours, minutes = _number(figures, 20, 2), _number(figures, 23, 2)
    good &= (hours <= 23) & (minutes <= 59)
    size = hours * np.int32(3_600) + minutes * np.int32(60)
    found: Places = np.where(ahead, size, -size)
    return found, good


def _number(figures: Bytes, at: int, count: int) -> Places:
    """Return the number that some digits form."""
    value: Places = figures[at].astype(np.int32)
    for place in range(at + 1, at + count):
        value = value * np.int32(10) + figures[place]
    return value
