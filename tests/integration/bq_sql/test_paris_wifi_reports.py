"""The reports of Paris Wi-Fi on an engine: figures reckoned by hand, faults of the original by id.

A dozen sessions and three lists stand for all: what is before the first list, between two, after
the last that had a site, and what never joins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from catalog.reports import load_reports, script
from tests.support.bad_rows import checks, with_bad
from tests.support.warehouse import Warehouse
from tests.support.wifi_lake import Row, Session, fill_sessions, fill_sites, loaded, placed

FOLDER = Path(__file__).parents[3] / "bq_sql" / "paris_wifi"
NOON = datetime(2024, 9, 2, 12, 7, tzinfo=UTC)
OLD_RUN = "20240501T032700Z"
NEW_RUN = "20240609T032700Z"

SESSIONS = (
    Session("2023-12-30", 10, "PWA", 1, 600.0),
    Session("2023-12-31", 23, "PWA", 1, 1200.0),
    Session("2024-05-01", 9, "PWA", 1, 1800.0, language="Anglais", volumes=(10**9, 5 * 10**8)),
    Session("2024-05-02", 9, "PWC", 1, 60.0),
    Session("2024-05-10", 14, "PWB", 2, 300.0, device="Ordinateur", volumes=(2 * 10**6, 10**6)),
    Session("2024-05-19", 12, "PWB", 2, 900.0, language="Espagnol", volumes=(4 * 10**6, 10**6)),
    Session("2024-05-20", 12, "PWB", 2, 0.0, "zero"),
    Session("2024-05-21", 12, "PWX", "missing", None, "missing", None, None),
    Session("2024-06-03", 12, "PWA", 1, 600.0, language="Allemand"),
    Session("2024-06-04", 12, "PWC", 1, -5.0, "negative"),
    Session("2024-06-06", 12, "PWC", 16, 691_200.0, "over_limit", "Anglais"),
    Session("2024-06-07", 14, "PWB", 2, 120.0),
    Session("2024-06-07", 9, "PWA", 1, 240.0, repaired=True),
)


def site(code: str | None, district: int | None, state: str | None) -> Row:
    """A listed site."""
    return {
        "site_code": code,
        "postal_code": f"750{district:02}" if district else None,
        **placed(district or "missing"),
        "access_points": None if state is None else 3,
        "state": state,
        "is_open": None if state is None else state == "Opérationnel",
    }


LISTS = {
    "2024-05-10": (
        site("PWA", 1, "Opérationnel") | {"latitude": 48.86, "longitude": 2.34},
        site("PWB", 2, "Opérationnel"),
        site("PARIS_WIFI_01", 1, None),
    ),
    "2024-05-20": (
        site("PWA", 1, "Opérationnel"),
        site("PWB", 2, "Fermé pour travaux"),
        site("PWC", 1, "Opérationnel"),
    ),
    "2024-06-05": (
        site("PWA", 1, "Opérationnel") | {"latitude": 48.87, "longitude": 2.35},
        site("PWB", 2, "Opérationnel"),
        site(None, None, "Opérationnel"),
    ),
}
HOLIDAYS = (
    ("2024-05-01", "1er mai"), ("2024-05-08", "8 mai"), ("2024-05-09", "Ascension"),
    ("2024-05-20", "Lundi de Pentecôte"), ("2024-05-01", "another of that day"),
)  # fmt: skip
LEDGER = (
    loaded("paris_wifi_usage", "2023-12", 2, run=OLD_RUN, newest="2023-12-31T22:00:00Z"),
    loaded("paris_wifi_usage", "2024-05", 6, run=NEW_RUN, newest="2024-05-21T10:00:00Z"),
    loaded(
        "paris_wifi_usage", "2024-06", 5, rows_in=9, rejected=3, duplicates=1,
        run=NEW_RUN, newest="2024-06-07T12:00:00Z", origin="sample",
    ),
    *(loaded("paris_wifi_sites", day, len(rows)) for day, rows in LISTS.items()),
    loaded("french_holidays", "2024-05-01", 1, origin="synthetic"),
    loaded("french_holidays", "2024-06-01", len(HOLIDAYS), origin="synthetic"),
)  # fmt: skip


@pytest.fixture(scope="module")
def published(server: bigquery.Client) -> Warehouse:
    """A warehouse with the rows above and the reports made of them, once."""
    warehouse = Warehouse(server)
    warehouse.empty()
    fill_sessions(warehouse, SESSIONS)
    fill_sites(warehouse, LISTS)
    older = {"slot_start": "2024-05-01", "date": "2024-05-03", "name": "no more", "run": "r"}
    newer = ({"slot_start": "2024-06-01", "date": d, "name": n, "run": "r"} for d, n in HOLIDAYS)
    warehouse.fill("lake.french_holidays", older, *newer)
    warehouse.fill("ops.loads", *LEDGER)
    warehouse.run(script("paris_wifi", FOLDER).text, NOON)
    return warehouse


@pytest.fixture(scope="module")
def reports(published: Warehouse) -> dict[str, list[Row]]:
    """The rows of every report."""
    names = [report.name for report in load_reports(FOLDER)]
    return {name: published.run(f"SELECT * FROM reports.{name}") for name in names}


def shown(rows: Iterable[Row], key: str, *names: str) -> dict[Any, tuple[Any, ...]]:
    """Some columns of the rows by another one."""
    return {row[key]: tuple(row[name] for name in names) for row in rows}


def of(year: int) -> Callable[[Row], bool]:
    """Whether a row is of the year."""
    return lambda row: bool(row["year"] == year)


def near(*values: float | str | None) -> Any:
    """The values, as near as floats are."""
    return tuple(pytest.approx(v) if isinstance(v, float) else v for v in values)


def test_every_report_has_rows_and_says_whence(reports: dict[str, list[Row]]) -> None:
    assert [name for name, rows in reports.items() if not rows] == []
    for name, rows in reports.items():
        assert all(row["sample_size"] is not None and row["data_as_of"] for row in rows), name
    assert {row["origin"] for row in reports["wifi_usage_by_day"]} == {"sample"}
    assert {row["origin"] for row in reports["wifi_day_types"]} == {"synthetic"}
    as_of = {row["data_as_of"] for row in reports["wifi_site_use"]}
    assert as_of == {datetime(2024, 6, 7, 12, tzinfo=UTC)}


def test_w1_sites_are_distinct_codes_of_the_year(reports: dict[str, list[Row]]) -> None:
    rows = filter(of(2024), reports["wifi_usage_by_year"])
    assert shown(rows, "district", "sites") == {"1": (2,), "2": (1,), "16": (1,), "missing": (1,)}


def test_w2_days_are_calendar_days(reports: dict[str, list[Row]]) -> None:
    names = ("days", "days_without_sessions", "sessions", "sessions_per_day")
    rows = filter(of(2024), reports["wifi_day_types"])
    assert shown(rows, "day_type", *names) == {
        "Monday to Thursday": near(18, 13, 5, 5 / 18),
        "Friday": near(6, 4, 3, 3 / 6),
        "weekend": near(10, 9, 1, 1 / 10),
        "public holiday": near(4, 2, 2, 2 / 4),
    }
    (lone,) = filter(of(2023), reports["wifi_day_types"])
    assert (lone["day_type"], lone["days"], lone["sessions_per_day"]) == ("weekend", 2, 1.0)
    assert lone["is_partial_year"]


def test_w3_a_mean_length_is_minutes_over_sessions(reports: dict[str, list[Row]]) -> None:
    rows = list(filter(of(2024), reports["wifi_usage_by_year"]))
    names = ("sessions", "sessions_counted", "minutes", "minutes_per_session")
    assert shown(rows, "district", *names) == {
        "1": near(5, 4, 45, 45 / 4),
        "2": near(4, 3, 22, 22 / 3),
        "16": near(1, 0, 0, None),
        "missing": near(1, 0, 0, None),
    }
    assert {(row["days_covered"], row["is_partial_year"]) for row in rows} == {(38, True)}


def test_every_report_of_years_marks_those_that_are_not_whole(
    reports: dict[str, list[Row]],
) -> None:
    yearly = {name: rows for name, rows in reports.items() if "year" in rows[0]}
    assert {name for name in reports if name not in yearly} == {
        "wifi_site_history", "wifi_months", "wifi_usage_by_day", "wifi_sites_by_district",
        "wifi_data_volume",
    }  # fmt: skip
    marks = {row["is_partial_year"] for rows in yearly.values() for row in rows}
    assert marks == {True}


def test_a_year_is_whole_when_each_of_its_days_is_covered(published: Warehouse) -> None:
    (made,) = (report for report in load_reports(FOLDER) if report.name == "wifi_days")
    hours = "lake.wifi_hours\n  WHERE slot_start >= DATE '2012-01-01'"
    assert hours in made.select
    ends = """(
      SELECT DATE '2023-01-02' AS local_day, 1 AS sessions, 1 AS sessions_counted, 0 AS milliseconds
      UNION ALL SELECT DATE '2025-01-01', 1, 1, 0)"""
    rows = published.run(
        f"""
        CREATE TEMP TABLE ledger AS
        SELECT 'paris_wifi_usage' AS dataset, FORMAT_DATE('%Y-%m', month) AS slot, 1 AS rows_out
        FROM UNNEST(GENERATE_DATE_ARRAY('2023-01-01', '2025-01-01', INTERVAL 1 MONTH)) AS month;
        SELECT DISTINCT year, is_partial_year FROM ({made.select.replace(hours, ends)})
        """
    )
    assert shown(rows, "year", "is_partial_year") == {2023: (True,), 2024: (False,), 2025: (True,)}


def test_w3_the_median_stands_beside_the_mean(reports: dict[str, list[Row]]) -> None:
    rows = [row for row in reports["wifi_session_length"] if row["year"] == 2024]
    lengths = {(row["cut"], row["member"]): row for row in rows}
    whole = lengths["all", "all"]
    names = ("minutes_per_session", "median_minutes", "shortest_minutes", "longest_minutes")
    assert tuple(whole[name] for name in names) == near(67 / 7, 5, 1, 30)
    assert lengths["district", "1"]["minutes_per_session"] == pytest.approx(45 / 4)
    assert lengths["day type", "weekend"]["median_minutes"] == pytest.approx(15)
    assert lengths["district", "16"]["median_minutes"] is None
    assert {cut for cut, _ in lengths} == {"all", "district", "day type"}


def test_w4_the_history_of_the_sites(reports: dict[str, list[Row]]) -> None:
    names = ("valid_to", "state", "sample_size", "has_sessions", "joins_from", "joins_to")
    rows = {
        (row["site"], f"{row['valid_from']:%m-%d}"): tuple(
            f"{row[name]:%y-%m-%d}" if isinstance(row[name], date) else row[name] for name in names
        )
        for row in reports["wifi_site_history"]
    }
    working = "Opérationnel"
    assert rows == {
        ("PWA", "05-10"): (None, working, 3, True, "23-12-30", None),
        ("PWB", "05-10"): ("24-05-20", working, 1, True, "24-05-10", "24-05-20"),
        ("PWB", "05-20"): ("24-06-05", "Fermé pour travaux", 1, True, "24-05-20", "24-06-05"),
        ("PWB", "06-05"): (None, working, 1, True, "24-06-05", None),
        ("PWC", "05-20"): ("24-06-05", working, 1, True, "24-05-02", None),
        ("PARIS_WIFI_01", "05-10"): ("24-05-20", None, 1, False, "24-05-10", None),
        ("no code: KIOSK, no address", "06-05"): (None, working, 1, False, "24-06-05", None),
    }


def test_a_site_stands_where_its_newest_list_puts_it(reports: dict[str, list[Row]]) -> None:
    places = {
        (row["site"], row["lat"], row["lon"])
        for report in ("wifi_site_history", "wifi_site_use", "wifi_site_years")
        for row in reports[report]
        if row["site"] in ("PWA", "PWB", "PWX")
    }
    assert places == {("PWA", 48.87, 2.35), ("PWB", None, None), ("PWX", None, None)}


def test_w4_open_sites_are_those_of_the_day(reports: dict[str, list[Row]]) -> None:
    names = (
        "sessions_while_open", "open_days", "open_days_before_first_list",
        "days_of_unknown_state", "listed_days", "sessions_per_open_day",
    )  # fmt: skip
    rows = filter(of(2024), reports["wifi_site_use"])
    found = {(r["site"], r["district"]): tuple(r[name] for name in names) for r in rows}
    assert found == {
        ("PWA", "1"): near(3, 38, 9, 0, 38, 3 / 38),
        ("PWB", "2"): near(3, 13, 0, 0, 29, 3 / 13),
        ("PWC", "1"): near(2, 34, 18, 0, 34, 2 / 34),
        ("PWC", "16"): near(0, 0, 0, 0, 0, None),
        ("PWX", "missing"): near(0, 0, 0, 0, 0, None),
        ("PARIS_WIFI_01", "1"): near(0, 0, 0, 10, 10, None),
        ("no code: KIOSK, no address", "missing"): near(0, 3, 0, 0, 3, 0),
    }
    (lone,) = filter(of(2023), reports["wifi_site_use"])
    assert (lone["open_days"], lone["open_days_before_first_list"]) == (2, 2)


def test_w4_how_sessions_join_is_counted(reports: dict[str, list[Row]]) -> None:
    names = ("as_of", "earliest", "last", "never")
    joined = [f"sessions_joined_{name}" for name in names[:3]]
    rows = list(filter(of(2024), reports["wifi_district_use"]))
    assert shown(rows, "district", *joined, "sessions_never_joined") == {
        "1": (3, 2, 0, 0),
        "2": (4, 0, 0, 0),
        "16": (0, 0, 1, 0),
        "missing": (0, 0, 0, 1),
    }
    others = ("sessions_listed_elsewhere", "listed_sites_never_used", "used_sites")
    assert shown(rows, "district", *others) == {
        "1": (0, 1, 2), "2": (0, 0, 1), "16": (1, 0, 1), "missing": (0, 1, 1),
    }  # fmt: skip
    rates = (
        "open_site_days",
        "open_days_before_first_list",
        "sessions_per_open_site_day",
        "minutes_per_open_site_day",
    )
    assert shown(rows, "district", *rates) == {
        "1": near(72, 27, 5 / 72, 45 / 72),
        "2": near(13, 0, 3 / 13, 22 / 13),
        "16": near(0, 0, None, None),
        "missing": near(3, 0, 0, 0),
    }


FIGURES = {
    "wifi_district_use": (
        ("district",),
        ("listed_sites_without_sessions", "open_sites_per_day", "site_days_of_unknown_state",
         "minutes_while_open"),
        {
            ("1",): near(1, 72 / 38, 10, 45.0),
            ("2",): near(0, 13 / 38, 0, 22.0),
            ("16",): near(0, 0.0, 0, 0.0),
            ("missing",): near(1, 3 / 38, 0, 0.0),
        },
    ),
    "wifi_site_use": (
        ("site", "district"),
        ("is_ever_used", "minutes_while_open", "minutes_per_open_day"),
        {
            ("PWA", "1"): near(True, 44.0, 44 / 38),
            ("PWB", "2"): near(True, 22.0, 22 / 13),
            ("PWC", "1"): near(True, 1.0, 1 / 34),
            ("PWC", "16"): near(True, 0.0, None),
            ("PWX", "missing"): near(True, 0.0, None),
            ("PARIS_WIFI_01", "1"): near(False, 0.0, None),
            ("no code: KIOSK, no address", "missing"): near(False, 0.0, 0.0),
        },
    ),
    "wifi_day_types": (
        ("day_type",),
        ("minutes", "minutes_per_day"),
        {
            ("Monday to Thursday",): near(11.0, 11 / 18),
            ("Friday",): near(11.0, 11 / 6),
            ("weekend",): near(15.0, 15 / 10),
            ("public holiday",): near(30.0, 30 / 4),
        },
    ),
    "wifi_devices": (
        ("device",),
        ("sessions_counted", "minutes", "minutes_per_session"),
        {
            ("Mobile",): near(6, 62.0, 62 / 6),
            ("Ordinateur",): near(1, 5.0, 5.0),
            ("not given",): near(0, 0.0, None),
        },
    ),
    "wifi_languages": (
        ("language",),
        ("sessions_counted", "minutes", "minutes_per_session"),
        {
            ("Français",): near(4, 12.0, 3.0),
            ("Anglais",): near(1, 30.0, 30.0),
            ("Espagnol",): near(1, 15.0, 15.0),
            ("Allemand",): near(1, 10.0, 10.0),
            ("not given",): near(0, 0.0, None),
        },
    ),
}  # fmt: skip
"""Report → key within 2024, figures, what they must be."""


@pytest.mark.parametrize("report", FIGURES)
def test_figures_of_2024(reports: dict[str, list[Row]], report: str) -> None:
    keys, names, expected = FIGURES[report]
    assert {
        tuple(row[key] for key in keys): tuple(row[name] for name in names)
        for row in filter(of(2024), reports[report])
    } == expected


def test_w4_sites_of_the_newest_list_by_district(reports: dict[str, list[Row]]) -> None:
    rows = reports["wifi_sites_by_district"]
    assert len(rows) == 23
    names = ("sites", "open_sites", "access_points", "sites_without_sessions")
    assert shown((row for row in rows if row["sites"]), "district", *names) == {
        "1": (1, 1, 3, 0),
        "2": (1, 1, 3, 0),
        "missing": (1, 1, 3, 1),
    }
    assert {row["listed_on"] for row in rows} == {date(2024, 6, 5)}


def test_w6_shares_are_of_all_sessions(reports: dict[str, list[Row]]) -> None:
    rows = filter(of(2024), reports["wifi_languages"])
    assert shown(rows, "language", "sessions", "share_percent", "rank") == {
        "Français": near(6, 600 / 11, 1),
        "Anglais": near(2, 200 / 11, 2),
        "Espagnol": near(1, 100 / 11, 3),
        "Allemand": near(1, 100 / 11, 3),
        "not given": near(1, 100 / 11, 3),
    }
    rows = filter(of(2024), reports["wifi_devices"])
    assert shown(rows, "device", "sessions", "share_percent") == {
        "Mobile": near(9, 900 / 11),
        "Ordinateur": near(1, 100 / 11),
        "not given": near(1, 100 / 11),
    }


def test_w7_weekday_and_hour_are_those_of_paris(reports: dict[str, list[Row]]) -> None:
    rows = reports["wifi_week_hours"]
    assert len(rows) == 2 * 24 + 7 * 24
    names = ("weekday", "days", "sessions", "sessions_per_day")
    used = {
        (row["year"], row["weekday_number"], row["hour"]): tuple(row[name] for name in names)
        for row in rows
        if row["sessions"]
    }
    assert used[2023, 7, 23] == near("Sunday", 1, 1, 1)
    assert used[2024, 5, 14] == near("Friday", 6, 2, 2 / 6)
    assert used[2024, 5, 9] == near("Friday", 6, 1, 1 / 6)
    assert sum(row["sessions"] for row in rows) == len(SESSIONS)


def test_w8_what_was_repaired_or_unknown_is_counted(reports: dict[str, list[Row]]) -> None:
    rows = filter(of(2024), reports["wifi_usage_by_year"])
    assert shown(rows, "district", "postal_codes_repaired")["1"] == (1,)
    days = {(row["day"], row["district"]): row["sessions"] for row in reports["wifi_usage_by_day"]}
    assert days[date(2024, 5, 21), "missing"] == 1


def test_w11_lengths_that_do_not_count_are_counted(reports: dict[str, list[Row]]) -> None:
    rows = [row for row in reports["wifi_session_length"] if row["year"] == 2024]
    kinds = ("missing_length", "zero", "negative", "over_limit", "counted")
    names = [f"sessions_{kind}" for kind in kinds]
    found = {(row["cut"], row["member"]): tuple(row[name] for name in names) for row in rows}
    assert found["all", "all"] == (1, 1, 1, 1, 7)
    assert found["district", "2"] == (0, 1, 0, 0, 3)
    assert found["day type", "Monday to Thursday"] == (1, 0, 1, 1, 2)


def test_w16_holidays_are_a_type_of_their_own(reports: dict[str, list[Row]]) -> None:
    days = {row["day"]: row for row in reports["wifi_days"]}
    assert len(days) == len(reports["wifi_days"]) == 40
    assert days[date(2024, 5, 1)]["holiday"] == "1er mai, another of that day"
    kinds = {day: row["day_type"] for day, row in days.items()}
    assert kinds[date(2024, 5, 1)] == kinds[date(2024, 5, 20)] == "public holiday"
    assert kinds[date(2024, 5, 3)] == "Friday"
    assert kinds[date(2024, 5, 6)] == "Monday to Thursday"
    known = {(row["year"], row["holidays_known"]) for row in reports["wifi_days"]}
    assert known == {(2023, False), (2024, True)}
    rows = reports["wifi_day_types"]
    assert {row["year"]: row["days_of_unknown_holidays"] for row in rows} == {2023: 2, 2024: 0}


def test_each_month_is_told_with_its_layers(reports: dict[str, list[Row]]) -> None:
    rows = reports["wifi_months"]
    states = shown(rows, "month", "state", "sessions", "is_in_newest_run", "days_with_sessions")
    missing = ("missing", 0, False, 0)
    assert states == {
        date(2023, 12, 1): ("partial", 2, False, 2),
        **{date(2024, month, 1): missing for month in (1, 2, 3, 4)},
        date(2024, 5, 1): ("partial", 6, True, 6),
        date(2024, 6, 1): ("partial", 5, True, 4),
    }
    assert {row["newest_run"] for row in rows} == {NEW_RUN}
    june = {row["month"].month: row for row in rows}[6]
    assert (june["rows_in"], june["rejected"], june["duplicates"]) == (9, 3, 1)
    layers = {name for name in june if name.startswith("sessions_in_")}
    assert {name: june[name] for name in layers} == dict.fromkeys(layers, 5)


MONTH = """
CREATE TEMP TABLE ledger AS
SELECT
  'paris_wifi_usage' AS dataset, slot, n AS rows_in, n AS rows_out, 0 AS rejected,
  0 AS duplicates, run
FROM UNNEST([
  STRUCT('2024-02' AS slot, 29 AS n, '{0}' AS run), ('2024-03', 0, '{1}'), ('2024-04', 1, '{2}')
]);
CREATE TEMP TABLE wifi_days AS
SELECT day, DATE_TRUNC(day, MONTH) AS month, 1 AS sessions
FROM UNNEST(GENERATE_DATE_ARRAY('2024-02-01', '2024-02-29')) AS day;
"""


def test_a_whole_month_is_complete_and_an_empty_one_missing(published: Warehouse) -> None:
    (made,) = (report for report in load_reports(FOLDER) if report.name == "wifi_months")
    rows = published.run(f"{MONTH.format(*['r'] * 3)} SELECT * FROM ({made.select})")
    assert shown(rows, "month", "state") == {
        date(2024, 2, 1): ("complete",),
        date(2024, 3, 1): ("missing",),
        date(2024, 4, 1): ("partial",),
    }


MAY, JUNE = "20240501T032700Z", "20240601T032700Z"


@pytest.mark.parametrize(
    ("runs", "newest", "told"),
    [
        ((MAY, MAY, MAY), MAY, (True, True, True)),
        ((JUNE, MAY, JUNE), JUNE, (True, False, True)),
        ((f"{JUNE}.2024-02", MAY, MAY), f"{JUNE}.2024-02", (True, True, True)),
        ((f"{MAY}.2024-02", JUNE, JUNE), JUNE, (False, True, True)),
        ((f"{JUNE}.2024-02", f"{JUNE}.2024-03", f"{JUNE}.2024-04"), f"{JUNE}.2024-04",
         (True, True, True)),
        ((f"{JUNE}.2024-02", f"{MAY}.2024-03", f"{MAY}.2024-04"), f"{JUNE}.2024-02",
         (True, None, None)),
    ],
    ids=["whole", "a month vanished", "a slot asked for", "and passed by", "slices", "under way"],
)  # fmt: skip
def test_a_month_is_in_the_newest_run_or_not_or_nobody_can_say(
    published: Warehouse, runs: tuple[str, ...], newest: str, told: tuple[bool | None, ...]
) -> None:
    (made,) = (report for report in load_reports(FOLDER) if report.name == "wifi_months")
    rows = published.run(f"{MONTH.format(*runs)} SELECT * FROM ({made.select}) ORDER BY month")
    assert tuple(row["is_in_newest_run"] for row in rows) == told
    assert {row["newest_run"] for row in rows} == {newest}


def test_volumes_are_in_decimal_units(reports: dict[str, list[Row]]) -> None:
    names = ("sessions", "sessions_with_bytes", "gigabytes_in", "gigabytes_out")
    found = {
        (row["month"], row["district"]): (*(row[n] for n in names), row["megabytes_per_session"])
        for row in reports["wifi_data_volume"]
    }
    assert found[date(2024, 5, 1), "1"] == near(2, 1, 1.0, 0.5, 1500)
    assert found[date(2024, 5, 1), "2"] == near(3, 2, 0.006, 0.002, 4)
    assert found[date(2024, 6, 1), "2"] == near(1, 0, 0, 0, None)


def test_top_sites_are_ranked_over_their_districts(reports: dict[str, list[Row]]) -> None:
    rows = filter(of(2024), reports["wifi_top_sites"])
    names = ("rank", "sessions", "district", "name", "share_percent")
    assert shown(rows, "site", *names) == {
        "PWA": near(2, 3, "1", "PWA", 300 / 11),
        "PWB": near(1, 4, "2", "PWB", 400 / 11),
        "PWC": near(2, 3, "1", "PWC", 300 / 11),
        "PWX": near(4, 1, "missing", None, 100 / 11),
    }


def test_a_site_stands_once_in_the_district_of_most_of_its_sessions(
    reports: dict[str, list[Row]],
) -> None:
    rows = list(filter(of(2024), reports["wifi_site_years"]))
    names = ("district", "districts", "sessions", "open_days", "sessions_per_open_day", "lat")
    assert len(rows) == len({row["site"] for row in rows})
    assert shown(rows, "site", *names) == {
        "PWA": near("1", 1, 3, 38, 3 / 38, 48.87),
        "PWB": near("2", 1, 4, 13, 3 / 13, None),
        "PWC": near("1", 2, 3, 34, 2 / 34, None),
        "PWX": near("missing", 1, 1, 0, None, None),
        "PARIS_WIFI_01": near("1", 1, 0, 0, None, None),
        "no code: KIOSK, no address": near("missing", 1, 0, 3, 0, None),
    }


def plus(column: str, more: str = "1") -> str:
    """A table with more in a column."""
    return f"SELECT * REPLACE ({column} + {more} AS {column}) FROM"


LAYERS = "wifi_months: a month has not the same sessions in ledger, sessions, parts and days"
SUMS = "the sum of sessions is not the rows loaded in every report"
PARTS = "sessions, site days, languages and hours differ in counted sessions or their minutes"
LISTS_HELD = "wifi_site_history: its periods do not hold every row of every list once"
NEWEST = "wifi_sites_by_district: the sum of sites is not the rows of the newest list"
TWICE = "wifi_days: a day is counted twice or stands in two types of day"
SHARES = "wifi_languages, wifi_devices: the shares of a year do not sum to 100 within a millionth"
LENGTHS = (
    "wifi_session_length: a counted length is not above zero, or a session has no class of length"
)
USAGE = "wifi_usage_by_day: more counted sessions or sites than sessions, or a negative length"
DISTRICT = "wifi_usage_by_day: a district is neither 1 to 20 nor a class of the unknown"
PERIODS = "wifi_site_history: a period is empty or overlaps the next"
JOINED = "wifi_site_use: a session joins no list or two, or a site is open when it is not listed"
OPEN = "wifi_sites_by_district: more open sites than sites"
LATER = "SELECT * REPLACE (DATE_ADD({0}, INTERVAL 40 DAY) AS {0}) FROM"

BAD = [
    *((LAYERS, "wifi_months", plus(f"sessions_in_{layer}"))
      for layer in ("lake", "site_days", "languages", "hours", "days")),
    (SUMS, "ledger", plus("rows_out")),
    (SUMS, "wifi_site_use", "SELECT * REPLACE (0 AS sessions) FROM"),
    (SUMS, "wifi_site_years", plus("sessions")),
    (SUMS, "wifi_session_length", plus("sessions")),
    (SUMS, "wifi_week_hours", plus("sessions")),
    (PARTS, "wifi_languages", plus("sessions_counted")),
    (PARTS, "wifi_days", plus("minutes", "0.01")),
    (LISTS_HELD, "wifi_site_history", plus("sample_size")),
    (NEWEST, "wifi_sites_by_district", plus("sites")),
    (TWICE, "wifi_days", "SELECT * REPLACE (DATE '2024-05-01' AS day) FROM"),
    (TWICE, "wifi_days", LATER.format("month")),
    (TWICE, "wifi_day_types", plus("days")),
    (SHARES, "wifi_languages", plus("share_percent", "0.001")),
    (SHARES, "wifi_devices", plus("share_percent", "0.001")),
    (LENGTHS, "wifi_session_length", plus("shortest_minutes", "-60")),
    (LENGTHS, "wifi_session_length", plus("sessions_zero")),
    (USAGE, "wifi_usage_by_day", plus("sessions_counted", "9")),
    (USAGE, "wifi_usage_by_day", plus("sites", "9")),
    (USAGE, "wifi_usage_by_day", plus("minutes", "-99")),
    (DISTRICT, "wifi_usage_by_day", "SELECT * REPLACE ('21' AS district) FROM"),
    (DISTRICT, "wifi_usage_by_day", "SELECT * REPLACE ('unknown' AS district) FROM"),
    (PERIODS, "wifi_site_history", "SELECT * REPLACE (valid_from AS valid_to) FROM"),
    (PERIODS, "wifi_site_history", LATER.format("valid_to")),
    (PERIODS, "wifi_site_history", LATER.format("joins_from")),
    (PERIODS, "wifi_site_history", "SELECT * REPLACE (CAST(NULL AS DATE) AS valid_to) FROM"),
    (JOINED, "wifi_site_use", plus("sessions_never_joined")),
    (JOINED, "wifi_site_use", plus("sessions_while_open", "IF(open_days > 0, 9, 0)")),
    (JOINED, "wifi_site_use", "SELECT * REPLACE (0 AS open_days) FROM"),
    (JOINED, "wifi_site_use", plus("open_days", "99")),
    (OPEN, "wifi_sites_by_district", plus("open_sites", "9")),
]  # fmt: skip


@pytest.mark.parametrize(("message", "table", "bad"), BAD)
def test_each_check_fails_on_a_bad_row(
    published: Warehouse, message: str, table: str, bad: str
) -> None:
    condition = checks(FOLDER)[message]
    assert f"FROM {table}" in condition
    (held,) = published.run(f"SELECT {with_bad(FOLDER, condition, table, bad)} AS held")
    assert held["held"] is False


def test_every_check_is_seen_to_fail() -> None:
    assert {message for message, _, _ in BAD} == set(checks(FOLDER))
    assert len(checks(FOLDER)) == 13
