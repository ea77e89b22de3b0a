"""The sample of holidays is what the law says: its dates reckoned anew from Easter."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest

from catalog.contract import DATASETS, load

SAMPLE = Path(__file__).parents[2] / "data" / "holidays" / "jours_feries_metropole.csv"
CONTRACT = load(DATASETS / "french_holidays.toml")

FIXED = {
    "1er janvier": (1, 1),
    "1er mai": (5, 1),
    "8 mai": (5, 8),
    "14 juillet": (7, 14),
    "Assomption": (8, 15),
    "Toussaint": (11, 1),
    "11 novembre": (11, 11),
    "Jour de Noël": (12, 25),
}
MOVING = {"Lundi de Pâques": 1, "Ascension": 39, "Lundi de Pentecôte": 50}
"""Days after Easter Sunday. Both: Code du travail, L3133-1."""

EASTERS = {2005: (3, 27), 2008: (3, 23), 2011: (4, 24), 2019: (4, 21), 2024: (3, 31), 2038: (4, 25)}
"""Known Easter Sundays, the earliest and the latest of the century among them."""


def easter(year: int) -> date:
    """Easter Sunday of a Gregorian year (the anonymous algorithm; Meeus, chapter 8)."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    leaps, odd = divmod(century, 4)
    moon = (19 * golden + century - leaps - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    quads, single = divmod(rest, 4)
    weekday = (32 + 2 * odd + 2 * quads - moon - single) % 7
    late = (golden + 11 * moon + 22 * weekday) // 451
    month, day = divmod(moon + weekday - 7 * late + 114, 31)
    return date(year, month, day + 1)


def rows() -> list[dict[str, str]]:
    """The sample as its header names it."""
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("year", EASTERS)
def test_easter(year: int) -> None:
    assert easter(year) == date(year, *EASTERS[year])


@pytest.mark.parametrize("year", range(2005, 2031))
def test_every_year_has_its_eleven_holidays(year: int) -> None:
    expected = {(name, date(year, *day)) for name, day in FIXED.items()}
    expected |= {(name, easter(year) + timedelta(days=after)) for name, after in MOVING.items()}
    listed = [
        (row["nom_jour_ferie"], date.fromisoformat(row["date"]))
        for row in rows()
        if row["annee"] == str(year)
    ]
    assert sorted(listed) == sorted(expected)


def test_two_holidays_can_fall_on_one_day() -> None:
    assert [row["nom_jour_ferie"] for row in rows() if row["date"] == "2008-05-01"] == [
        "1er mai",
        "Ascension",
    ]
    assert {"date", "name"} <= set(CONTRACT.key)


def test_the_contract_knows_every_column_of_the_sample() -> None:
    known = {name for c in CONTRACT.columns for name in (c.name, *c.aliases)}
    assert set(rows()[0]) <= known | set(CONTRACT.ignored)
    (zone,) = [column for column in CONTRACT.columns if column.name == "zone"]
    assert {row["zone"] for row in rows()} == set(zone.allowed)
