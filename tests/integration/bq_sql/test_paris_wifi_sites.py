"""Sites whose sessions say something else than the lists: postal codes, districts, doubled codes.

Ten covered days, two lists; what the rates per open day must be is reckoned by hand.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from catalog.reports import script
from tests.support.warehouse import Warehouse
from tests.support.wifi_lake import Row, Session, fill_sessions, fill_sites, loaded, placed

FOLDER = Path(__file__).parents[3] / "bq_sql" / "paris_wifi"
NOON = datetime(2024, 9, 2, 12, 7, tzinfo=UTC)
DAYS = tuple(f"2024-05-{day:02}" for day in range(1, 11))


def daily(site: str, place: int | str, sessions: int) -> tuple[Session, ...]:
    """Sessions of a minute at a site, as many on each of the ten days."""
    return tuple(Session(day, 9, site, place, 60.0) for day in DAYS for _ in range(sessions))


SESSIONS = (
    *daily("PWO", 2, 6),
    *daily("PWO", "missing", 4),
    *daily("PWE", 4, 1),
    *daily("PWD", 5, 1),
    *daily("PWH", 6, 1),
)


def site(code: str, district: int, address: str = "a street", name: str = "SITE") -> Row:
    """A listed site in operation."""
    known = {"site_code": code, "address": address, "name": name, "state": "Opérationnel"}
    return known | placed(district) | {"access_points": 3, "is_open": True}


SILENT = site("PWU", 7) | {"state": None, "is_open": None, "access_points": None}
"""A site of which neither state nor access points were published."""

LISTS = {
    "2024-05-01": (
        site("PWO", 2), site("PWE", 3), site("PWN", 3),
        site("PWD", 5, "1 a street", "LIBRARY"), site("PWD", 5, "9 a street", "GYM"),
        site("PWH", 6, "5 a street"), SILENT,
    ),
    "2024-05-06": (
        site("PWO", 2), site("PWE", 3), site("PWN", 3),
        site("PWD", 5, "1 a street", "LIBRARY"), site("PWD", 5, "9 a street", "ARENA"),
        site("PWH", 6, "5 a street"), site("PWH", 6, "7 a street"), SILENT,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def published(server: bigquery.Client) -> Warehouse:
    """A warehouse with the rows above and the reports made of them, once."""
    warehouse = Warehouse(server)
    warehouse.empty()
    fill_sessions(warehouse, SESSIONS)
    fill_sites(warehouse, LISTS)
    warehouse.fill("ops.loads", loaded("paris_wifi_usage", "2024-05", len(SESSIONS)))
    lists = (loaded("paris_wifi_sites", day, len(rows)) for day, rows in LISTS.items())
    warehouse.fill("ops.loads", *lists)
    warehouse.run(script("paris_wifi", FOLDER).text, NOON)
    return warehouse


def shown(warehouse: Warehouse, report: str, keys: int, *names: str) -> dict[Any, tuple[Any, ...]]:
    """Columns of a report, the first of them the key."""
    rows = warehouse.run(f"SELECT {', '.join(names)} FROM reports.{report}")
    values = [tuple(row[name] for name in names) for row in rows]
    return {row[:keys]: row[keys:] for row in values}


def test_rates_are_of_the_sessions_and_the_days_of_one_district(published: Warehouse) -> None:
    names = ("sessions_while_open", "open_days", "sessions_per_open_day", "minutes_per_open_day")
    assert shown(published, "wifi_site_use", 2, "site", "district", "sessions", *names) == {
        ("PWO", "2"): (60, 100, 10, 10.0, 10.0),
        ("PWO", "missing"): (40, 0, 0, None, None),
        ("PWE", "4"): (10, 0, 0, None, None),
        ("PWE", "3"): (0, 10, 10, 1.0, 1.0),
        ("PWN", "3"): (0, 0, 10, 0.0, 0.0),
        ("PWD", "5"): (10, 0, 0, None, None),
        ("PWD (2)", "5"): (0, 0, 0, None, None),
        ("PWH", "6"): (10, 5, 5, 1.0, 1.0),
        ("PWH (2)", "6"): (0, 0, 0, None, None),
        ("PWU", "7"): (0, 0, 0, None, None),
    }
    names = ("sessions_while_open", "open_site_days", "sessions_per_open_site_day")
    assert shown(published, "wifi_district_use", 1, "district", "sessions", *names) == {
        ("2",): (60, 100, 10, 10.0),
        ("missing",): (40, 0, 0, None),
        ("4",): (10, 0, 0, None),
        ("3",): (0, 10, 20, 0.5),
        ("5",): (10, 0, 0, None),
        ("6",): (10, 5, 5, 1.0),
        ("7",): (0, 0, 0, None),
    }


def test_only_a_known_district_can_be_another_than_the_list_says(published: Warehouse) -> None:
    names = ("district", "sessions_listed_elsewhere")
    found = shown(published, "wifi_district_use", 1, *names)
    assert {district: n for (district,), (n,) in found.items() if n} == {"4": 10}


def test_a_site_with_sessions_under_another_district_has_sessions(published: Warehouse) -> None:
    names = ("district", "listed_sites_without_sessions", "listed_sites_never_used", "used_sites")
    found = shown(published, "wifi_district_use", 1, *names)
    assert found[("3",)] == (1, 1, 0)
    assert {found[place,] for place in ("2", "4", "5", "6", "missing")} == {(0, 0, 1)}


def test_a_doubled_code_is_told_apart_by_address_and_never_open(published: Warehouse) -> None:
    names = ("site", "valid_from", "address", "name", "is_doubled", "has_sessions", "sample_size")
    found = shown(published, "wifi_site_history", 2, *names)
    assert {key: rest for key, rest in found.items() if key[0][:3] in ("PWD", "PWH")} == {
        ("PWD", date(2024, 5, 1)): ("1 a street", "LIBRARY", True, True, 2),
        ("PWD (2)", date(2024, 5, 1)): ("9 a street", "GYM", True, True, 1),
        ("PWD (2)", date(2024, 5, 6)): ("9 a street", "ARENA", True, True, 1),
        ("PWH", date(2024, 5, 1)): ("5 a street", "SITE", False, True, 1),
        ("PWH", date(2024, 5, 6)): ("5 a street", "SITE", True, True, 1),
        ("PWH (2)", date(2024, 5, 6)): ("7 a street", "SITE", True, True, 1),
    }


def test_the_newest_list_says_of_how_many_sites_nothing_was_published(published: Warehouse) -> None:
    names = (
        "district", "sites", "open_sites", "sites_of_unknown_state", "access_points",
        "sites_without_access_points", "sites_without_sessions",
    )  # fmt: skip
    found = shown(published, "wifi_sites_by_district", 1, *names)
    assert {district: told for (district,), told in found.items() if told[0]} == {
        "2": (1, 1, 0, 3, 0, 0),
        "3": (2, 2, 0, 6, 0, 1),
        "5": (2, 2, 0, 6, 0, 0),
        "6": (2, 2, 0, 6, 0, 0),
        "7": (1, 0, 1, 0, 1, 1),
    }
