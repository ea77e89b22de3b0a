"""Slots over clock changes, shifts and names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.slots import Calendar, Unit

PARIS = ZoneInfo("Europe/Paris")
CALENDARS = st.sampled_from(
    [
        Calendar(Unit.MONTH, PARIS),
        Calendar(Unit.DAY, PARIS),
        Calendar(Unit.MONTH, ZoneInfo("UTC")),
        Calendar(Unit.HOUR, ZoneInfo("UTC")),
    ]
)
INSTANTS = st.datetimes(
    datetime(2000, 1, 1),
    datetime(2040, 1, 1),
    timezones=st.just(UTC),
)


@pytest.mark.parametrize(
    ("unit", "instant", "slot"),
    [
        (Unit.MONTH, "2024-04-30T22:00:00+00:00", "2024-05"),
        (Unit.MONTH, "2024-04-30T21:59:59+00:00", "2024-04"),
        (Unit.MONTH, "2019-12-31T23:00:00+00:00", "2020-01"),
        (Unit.DAY, "2024-03-30T23:00:00+00:00", "2024-03-31"),
        (Unit.DAY, "2024-03-31T21:59:59+00:00", "2024-03-31"),
        (Unit.DAY, "2024-03-31T22:00:00+00:00", "2024-04-01"),
        (Unit.DAY, "2024-10-27T22:59:59+00:00", "2024-10-27"),
        (Unit.DAY, "2024-10-27T23:00:00+00:00", "2024-10-28"),
    ],
)
def test_the_slot_of_an_instant_in_paris(unit: Unit, instant: str, slot: str) -> None:
    assert Calendar(unit, PARIS).slot(datetime.fromisoformat(instant)) == slot


@pytest.mark.parametrize(
    ("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-05-05", 24)]
)
def test_days_of_23_and_25_hours(day: str, hours: int) -> None:
    calendar = Calendar(Unit.DAY, PARIS)
    assert calendar.end(day) - calendar.start(day) == timedelta(hours=hours)


@given(CALENDARS, INSTANTS)
def test_an_instant_lies_in_its_slot_and_in_no_other(calendar: Calendar, instant: datetime) -> None:
    slot = calendar.slot(instant)
    assert calendar.start(slot) <= instant < calendar.end(slot)
    assert calendar.slot(calendar.start(slot)) == slot


@given(CALENDARS, INSTANTS, st.integers(-500, 500))
def test_a_shift_and_back_is_nothing(calendar: Calendar, instant: datetime, count: int) -> None:
    slot = calendar.slot(instant)
    assert calendar.shift(calendar.shift(slot, count), -count) == slot


@given(CALENDARS, INSTANTS, INSTANTS)
def test_slots_order_as_their_instants_do(
    calendar: Calendar, one: datetime, other: datetime
) -> None:
    early, late = sorted((one, other))
    assert calendar.slot(early) <= calendar.slot(late)


def test_hours_are_refused_where_clocks_change() -> None:
    with pytest.raises(ValueError, match=r"Europe/Paris: use UTC"):
        Calendar(Unit.HOUR, PARIS)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        Calendar(Unit.DAY, PARIS).slot(datetime(2024, 1, 1))


@pytest.mark.parametrize("slot", ["2024", "2024-5", "2024-05-01", "2024-13", "none", ""])
def test_what_is_no_month_is_refused(slot: str) -> None:
    with pytest.raises(ValueError):
        Calendar(Unit.MONTH, PARIS).parse(slot)


def test_slot_start_is_the_local_date_or_the_utc_hour() -> None:
    assert Calendar(Unit.MONTH, PARIS).slot_start("2024-05") == "2024-05-01"
    assert (
        Calendar(Unit.HOUR, ZoneInfo("UTC")).slot_start("2024-05-01T07") == "2024-05-01T07:00:00Z"
    )
