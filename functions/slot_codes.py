"""Slots of many instants at once, as numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock

import numpy as np
import numpy.typing as npt

from catalog.slots import Calendar
from functions.instants import DAY_SECONDS, Mask, Seconds

Codes = npt.NDArray[np.int32]

_FIRST_DAY, _LAST_DAY = (
    int(np.datetime64(day, "D").astype(np.int64)) for day in ("1972-12-30", "2200-01-04")
)
_UNKNOWN, _CUT = -1, -2
"""In place of a day's slot: not asked for yet; not one slot, or one in which the clocks change."""


class SlotCodes:
    """Numbers for the slots of a calendar, in order of their first use; may be used by threads."""

    def __init__(self, calendar: Calendar) -> None:
        """Nothing is known yet."""
        self.names: list[str] = []
        """Slot of each number."""
        self._calendar = calendar
        self._numbers: dict[str, int] = {}
        self._days = np.full(_LAST_DAY - _FIRST_DAY, _UNKNOWN, np.int32)
        self._lock = Lock()

    def code(self, slot: str) -> int:
        """The number of a slot."""
        with self._lock:
            if slot not in self._numbers:
                self._numbers[slot] = len(self.names)
                self.names.append(slot)
            return self._numbers[slot]

    def codes(self, seconds: Seconds, known: Mask) -> Codes:
        """The number of each instant's slot, -1 where it is not `known`; from 1973 to 2199."""
        days = np.where(known, seconds // DAY_SECONDS - _FIRST_DAY, 0)
        found = self._days[days]
        if (found == _UNKNOWN).any():
            for day in np.unique(days[found == _UNKNOWN]).tolist():
                self._days[day] = self._day((day + _FIRST_DAY) * DAY_SECONDS)
            found = self._days[days]
        for at in np.flatnonzero((found == _CUT) & known).tolist():
            found[at] = self.code(self._calendar.slot(_moment(int(seconds[at]))))
        found[~known] = -1
        return found

    def _day(self, second: int) -> int:
        """The number of the slot of a whole UTC day, or that there is none."""
        first, last = _moment(second), _moment(second + DAY_SECONDS - 1)
        zone = self._calendar.zone
        slot = self._calendar.slot(first)
        even = first.astimezone(zone).utcoffset() == last.astimezone(zone).utcoffset()
        return self.code(slot) if even and slot == self._calendar.slot(last) else _CUT


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
