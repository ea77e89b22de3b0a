"""Slots: the interval a row belongs to, in its data set's own unit and zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

NONE = "none"
"""Where rows without a slot are counted; never a slot of the lake."""


class Unit(StrEnum):
    """The length of a slot."""

    MONTH = "month"
    DAY = "day"
    HOUR = "hour"


_PATTERNS = {
    Unit.MONTH: (re.compile(r"\d{4}-\d{2}"), "%Y-%m"),
    Unit.DAY: (re.compile(r"\d{4}-\d{2}-\d{2}"), "%Y-%m-%d"),
    Unit.HOUR: (re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}"), "%Y-%m-%dT%H"),
}


@dataclass(frozen=True)
class Calendar:
    """How a data set cuts time: a unit in a zone.

    Hours are cut only in zones without clock changes: in Europe/Paris the name
    `2025-10-26T02` would name two hours.
    """

    unit: Unit
    zone: ZoneInfo

    def __post_init__(self) -> None:
        """Refuse hours in a zone whose clocks change."""
        if self.unit is Unit.HOUR and _changes_clocks(self.zone):
            raise ValueError(
                f"slots of an hour need a zone without clock changes, not {self.zone.key}: use UTC"
            )

    def slot(self, instant: datetime) -> str:
        """Return the slot that holds an aware `instant`, such as `2024-05`."""
        if instant.tzinfo is None:
            raise ValueError(f"{instant} has no zone: an instant must be aware")
        return instant.astimezone(self.zone).strftime(_PATTERNS[self.unit][1])

    def parse(self, slot: str) -> datetime:
        """Return the local start of `slot`, aware in the calendar's zone.

        Raises ValueError naming the slot when it is not one of this unit.
        """
        pattern, form = _PATTERNS[self.unit]
        if not pattern.fullmatch(slot):
            raise ValueError(f"{slot!r} is not a slot of a {self.unit}: expected the form {form}")
        return datetime.strptime(slot, form).replace(tzinfo=self.zone)

    def start(self, slot: str) -> datetime:
        """Return the instant, in UTC, at which `slot` begins."""
        return self.parse(slot).astimezone(UTC)

    def end(self, slot: str) -> datetime:
        """Return the instant, in UTC, at which `slot` ends: the start of the next one."""
        return self.start(self.shift(slot, 1))

    def shift(self, slot: str, count: int) -> str:
        """Return the slot `count` units after `slot`; before it when negative."""
        local = self.parse(slot)
        if self.unit is Unit.MONTH:
            months = local.year * 12 + local.month - 1 + count
            return f"{months // 12:04d}-{months % 12 + 1:02d}"
        if self.unit is Unit.DAY:
            return (local.date() + timedelta(days=count)).isoformat()
        return self.slot(local + timedelta(hours=count))

    def slot_start(self, slot: str) -> str:
        """Return `slot_start` as text: a DATE for months and days, else a UTC TIMESTAMP."""
        local = self.parse(slot)
        if self.unit is Unit.HOUR:
            return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return date(local.year, local.month, local.day).isoformat()

    @property
    def slot_start_type(self) -> str:
        """BigQuery's type of `slot_start`: DATE or TIMESTAMP."""
        return "TIMESTAMP" if self.unit is Unit.HOUR else "DATE"


def _changes_clocks(zone: ZoneInfo) -> bool:
    """Return whether the zone's offset differs between two days of some recent year."""
    days = (datetime(year, month, 1, tzinfo=zone) for year in (2020, 2026) for month in (1, 4, 7))
    return len({day.utcoffset() for day in days}) > 1
