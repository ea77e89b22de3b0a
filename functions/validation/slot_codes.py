"""Slots of many instants at once, as numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock

import numpy as np
import numpy.typing as npt

from catalog.slots import Calendar
from functions.validation.instants import DAY_SECONDS, Mask, Seconds
from functions.validation.slotting import QUARTER_SECONDS

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
        self._quarters: dict[int, int] = {}
        self._lock = Lock()

    def code(self, slot: str) -> int:
        """Return the number of a slot."""
        with self._lock:
            if slot not in self._numbers:
                self._numbers[slot] = len(self.names)
                self.names.append(slot)
            return self._numbers[slot]

    def codes(self, seconds: Seconds, known: Mask) -> Codes:
        """Return the number of each instant's slot, -1 if it is not `known`; from 1973 to 2199."""
        days = np.where(known, seconds // DAY_SECONDS - _FIRST_DAY, 0)
        found = self._days[days]
        if (found == _UNKNOWN).any():
            for day in np.unique(days[found == _UNKNOWN]).tolist():
                if self._days[day] == _UNKNOWN:
                    self._learn(day)
            found = self._days[days]
        cut = np.flatnonzero((found == _CUT) & known)
        found[cut] = [
            self._quarter(second) for second in (seconds[cut] // QUARTER_SECONDS).tolist()
        ]
        found[~known] = -1
        return found

    def _quarter(self, quarter: int) -> int:
        """Return the slot number of a quarter of an hour, which no offset splits since 1973."""
        if quarter not in self._quarters:
            slot = self._calendar.slot(_moment(quarter * QUARTER_SECONDS))
            self._quarters[quarter] = self.code(slot)
        return self._quarters[quarter]

    def _learn(self, day: int) -> None:
        """Find the slot of a UTC day, if it has one, and of the days that share it."""
        second = (day + _FIRST_DAY) * DAY_SECONDS
        first, last = _moment(second), _moment(second + DAY_SECONDS - 1)
        zone = self._calendar.zone
        slot = self._calendar.slot(first)
        even = first.astimezone(zone).utcoffset() == last.astimezone(zone).utcoffset()
        one = even and slot == self._calendar.slot(last)
        self._days[day] = self.code(slot) if one else _CUT
        # No clock is set back by a day, so days at least a day inside the slot belong to it.
        begin, end = (
            int(at(slot).timestamp()) // DAY_SECONDS - _FIRST_DAY
            for at in (self._calendar.start, self._calendar.end)
        )
        self._days[max(begin + 2, 0) : max(end - 1, 0)] = self.code(slot)


def _moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
