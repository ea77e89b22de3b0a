"""The reports of Vélib' on an engine: figures reckoned by hand, faults of the original by id.

Five stations stand for all: one of each state, one that is dead, one that has gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from catalog.reports import load_reports, script
from tests.support.bad_rows import checks, with_bad
from tests.support.velib_lake import StationHour, accepted, area_rows, change
from tests.support.warehouse import Warehouse
from tests.support.wifi_lake import Row, loaded

FOLDER = Path(__file__).parents[3] / "bq_sql" / "velib"
NOON = datetime(2025, 6, 6, 4, 7, tzinfo=UTC)
MARCH, TWO, THREE, FIVE = "2025-03-01T10", "2025-06-05T02", "2025-06-05T03", "2025-06-05T05"
NINE, SIXTEEN, THIRTEEN = "Paris 9", "Paris 16", "Paris 13"

HOURS = (
    StationHour(MARCH, "7001", "Paris 7", 60, 5, 5, 10),
    StationHour(TWO, "9020", NINE, 60, 4, 2, 14, moved=(3, 1)),
    StationHour(TWO, "16107", SIXTEEN, 30, 0, 0, 20),
    StationHour(TWO, "19043", "Pantin", 60, 10, 10, 0, odd=1),
    StationHour(TWO, "13118_relais", THIRTEEN, 0, 9, 9, 2, observations=1, stale=True),
    StationHour(THREE, "9020", NINE, 60, 2, 2, 16, moved=(2, 0)),
    StationHour(THREE, "16107", SIXTEEN, 60, 1, 3, 16, moved=(0, 4)),
    StationHour(THREE, "19043", "Pantin", 60, 10, 10, 0, closed=True),
    StationHour(THREE, "13118_relais", THIRTEEN, 0, 9, 9, 2, observations=1, stale=True,
                report_age=3000.0),
    StationHour(FIVE, "9020", NINE, 40, 0, 6, 14),
    StationHour(FIVE, "16107", SIXTEEN, 40, 1, 3, 16, fetched_minute=19),
    StationHour(FIVE, "13118_relais", THIRTEEN, 0, 9, 9, 2, observations=1, stale=True,
                report_age=3000.0),
)  # fmt: skip
CHANGES = (
    change(MARCH, "7001", "Paris 7"),
    change(MARCH, "9020", NINE, capacity=20),
    change(MARCH, "19043", "Pantin"),
    change(TWO, "9020", NINE, capacity=20),
    change(TWO, "16107", SIXTEEN),
    change(
        TWO, "19043", "not known", name=None, capacity=None, lat=None, lon=None, area_is_told=False
    ),
    change(TWO, "13118_relais", THIRTEEN),
    change(THREE, "19043", "Paris 19", area_is_told=False),
    change(THREE, "9020", NINE),
    change(FIVE, "9020", NINE, name="Place neuve"),
)
LAST = "20250605T055900Z"
LEDGER = (
    loaded("velib_stations", MARCH, 6, system="velib", run=LAST, runs=1, newest="2025-03-01T10:57:00Z"),
    loaded("velib_stations", TWO, 19, rows_in=24, duplicates=4, rejected=1, revised=2,
           system="velib", run=LAST, runs=6, newest="2025-06-05T02:57:00Z"),
    loaded("velib_stations", THREE, 19, system="velib", run=LAST, runs=3, newest="2025-06-05T03:57:00Z"),
    loaded("velib_stations", FIVE, 13, system="velib", run=LAST, runs=1, newest="2025-06-05T05:57:00Z",
           origin="sample"),
)  # fmt: skip
EVENTS = (
    accepted("20240502T035900Z", "accepted", "stationcode", "gone for 400 days"),
    *(accepted(f"20250605T02{minute}00Z") for minute in ("09", "19", "29", "39", "49", "59")),
    *(accepted(f"20250605T03{minute}00Z") for minute in ("09", "19", "39")),
    accepted("20250605T034900Z", "refused", "stationcode", "Dernière"),
    accepted("20250605T035900Z", "accepted", "stationCode", layout="GBFS"),
    accepted("20250605T045900Z", "refused", "stationcode", "pogo", unknown="pogo"),
    accepted("20250605T050900Z", "accepted", "stationcode"),
    accepted("20250605T050900Z", "accepted", "stationcode") | {"event_id": "told twice"},
    accepted("20250605T051900Z", "accepted", "other") | {"dataset": "another"},
    accepted("20250605T052900Z", "accepted", "stationcode", "pogo"),
)


@pytest.fixture(scope="module")
def published(server: bigquery.Client) -> Warehouse:
    """A warehouse with the rows above and the reports made of them, once."""
    warehouse = Warehouse(server)
    warehouse.empty()
    warehouse.fill("lake.velib_station_hours", *(each.row() for each in HOURS))
    warehouse.fill("lake.velib_area_hours", *area_rows(HOURS))
    warehouse.fill("lake.velib_station_changes", *CHANGES)
    warehouse.fill("ops.loads", *LEDGER)
    warehouse.fill("ops.events", *EVENTS)
    warehouse.run(script("velib", FOLDER).text, NOON)
    return warehouse


@pytest.fixture(scope="module")
def reports(published: Warehouse) -> dict[str, list[Row]]:
    """The rows of every report."""
    names = [report.name for report in load_reports(FOLDER)]
    return {name: published.run(f"SELECT * FROM reports.{name}") for name in names}


def shown(rows: Iterable[Row], key: str, *names: str) -> dict[Any, tuple[Any, ...]]:
    """Some columns of the rows by another one, as near as floats are."""
    return {row[key]: near(*(row[name] for name in names)) for row in rows}


def near(*values: Any) -> Any:
    """The values, floats as near as they are."""
    return tuple(pytest.approx(v) if isinstance(v, float) else v for v in values)


def test_every_report_has_rows_and_says_whence(reports: dict[str, list[Row]]) -> None:
    assert [name for name, rows in reports.items() if not rows] == []
    for name, rows in reports.items():
        assert all(row["sample_size"] is not None for row in rows), name
        assert {row["origin"] for row in rows} == {"sample"}, name
        assert {row["data_as_of"] for row in rows} == {datetime(2025, 6, 5, 5, 57, tzinfo=UTC)}


def test_the_history_of_the_stations(reports: dict[str, list[Row]]) -> None:
    rows = sorted(
        reports["velib_station_history"], key=lambda r: (r["stationcode"], r["valid_from"])
    )
    found = [
        (r["stationcode"], f"{r['valid_from']:%m-%dT%H}", r["capacity"], r["name"],
         r["valid_to"] and f"{r['valid_to']:%m-%dT%H}", r["is_current"], r["sample_size"])
        for r in rows
    ]  # fmt: skip
    assert found == [
        ("13118_relais", "06-05T02", 30, "Place 13118_relais", None, True, 1),
        ("16107", "06-05T02", 30, "Place 16107", None, True, 1),
        ("19043", "03-01T10", 30, "Place 19043", None, True, 3),
        ("7001", "03-01T10", 30, "Place 7001", None, True, 1),
        ("9020", "03-01T10", 20, "Place 9020", "06-05T03", False, 2),
        ("9020", "06-05T03", 30, "Place 9020", "06-05T05", False, 1),
        ("9020", "06-05T05", 30, "Place neuve", None, True, 1),
    ]
    (pantin,) = [row for row in rows if row["stationcode"] == "19043"]
    assert pantin["neighbourhood"] == "Pantin"


def test_stations_now_tell_the_age_of_their_report(reports: dict[str, list[Row]]) -> None:
    names = ("name", "state", "ebikes", "fill_percent", "report_age_minutes")
    assert shown(reports["velib_stations_now"], "stationcode", *names) == {
        "9020": near("Place neuve", "in use", 6, 30.0, 2.0),
        "16107": near("Place 16107", "not shown", 3, 20.0, 42.0),
        "19043": near("Place 19043", "closed", 10, 100.0, 122.0),
        "13118_relais": near("Place 13118_relais", "stale", 9, 90.0, 3000.0),
    }


def test_dead_stations(reports: dict[str, list[Row]]) -> None:
    names = ("state", "days_without_report")
    assert shown(reports["velib_dead_stations"], "stationcode", *names) == {
        "16107": near("not shown", 42 / 1440),
        "19043": near("closed", 122 / 1440),
        "13118_relais": near("stale", 3000 / 1440),
    }


def test_v7_neighbourhoods_rank_by_electric_bikes_of_reporting_stations(
    reports: dict[str, list[Row]],
) -> None:
    names = ("rank", "ebikes", "stations", "reporting_stations", "ebikes_per_station_28_days")
    minutes = 60 + 60 + 40
    assert shown(reports["velib_neighbourhoods"], "neighbourhood", *names) == {
        NINE: near(1, 6, 1, 1, (2 * 60 + 2 * 60 + 6 * 40) / minutes),
        SIXTEEN: near(2, 0, 1, 0, (3 * 60 + 3 * 40) / 130),
        "Pantin": near(2, 0, 1, 0, 10.0),
        THIRTEEN: near(2, 0, 1, 0, None),
    }


def test_v6_full_and_empty_are_shares_of_open_time(reports: dict[str, list[Row]]) -> None:
    names = ("open_hours", "empty_percent", "full_percent", "bikes", "fill_percent", "sample_size")
    bikes = 6 * 60 + 4 * 60 + 6 * 40
    docks = 14 * 60 + 16 * 60 + 14 * 40
    assert shown(reports["velib_station_failures"], "stationcode", *names) == {
        "9020": near(160 / 60, 0.0, 0.0, bikes / 160, 100 * bikes / (bikes + docks), 3),
        "16107": near(130 / 60, 100 * 30 / 130, 0.0, 400 / 130, 100 * 400 / 2600, 3),
        "19043": near(1.0, 0.0, 100.0, 20.0, 100.0, 2),
        "13118_relais": near(0.0, None, None, None, None, 3),
    }
    assert {row["rank"] for row in reports["velib_station_failures"]} == {None}


def test_stations_of_one_name_are_told_apart(reports: dict[str, list[Row]]) -> None:
    told = {row["stationcode"]: row["station"] for row in reports["velib_station_failures"]}
    assert told["9020"] == "Place neuve (9020)"
    assert len(set(told.values())) == len(told)


def test_stations_with_a_day_of_open_time_are_ranked(published: Warehouse) -> None:
    (made,) = (each for each in load_reports(FOLDER) if each.name == "velib_station_failures")
    source = (
        "lake.velib_station_hours\n  WHERE slot_start >= TIMESTAMP_SUB(@run_time, INTERVAL 28 DAY)"
    )
    assert source in made.select
    more = "(SELECT * REPLACE (open_ms * 12 AS open_ms) FROM lake.velib_station_hours)"
    select = made.select.replace(source, f"{more}\n  WHERE slot_start >= '2025-06-01'")
    select = select.replace("velib_station_history", "reports.velib_station_history")
    rows = {row["stationcode"]: row["rank"] for row in published.run(select)}
    assert rows == {"9020": 2, "16107": 1, "19043": None, "13118_relais": None}


def test_hours_of_the_day_in_paris(reports: dict[str, list[Row]]) -> None:
    rows = reports["velib_hours_of_day"]
    assert {row["day_type"] for row in rows} == {"Monday to Friday"}
    names = (
        "hours",
        "open_station_hours",
        "bikes_per_station",
        "departures_per_hour",
        "full_percent",
    )
    assert shown(rows, "hour", *names) == {
        4: near(1, 2.5, (6 * 60 + 20 * 60) / 150, 3.0, 40.0),
        5: near(1, 2.0, (4 * 60 + 4 * 60) / 120, 2.0, 0.0),
        7: near(1, 80 / 60, (6 * 40 + 4 * 40) / 80, 0.0, 0.0),
    }


def test_a_stations_week_is_its_share_of_the_networks(reports: dict[str, list[Row]]) -> None:
    week, network = reports["velib_station_week"], reports["velib_hours_of_day"]
    for row in network:
        own = [each for each in week if each["hour"] == row["hour"]]
        assert {each["day_type"] for each in own} == {row["day_type"]}
        hours = sum(each["open_hours"] for each in own)
        bikes = sum((each["bikes"] or 0) * each["open_hours"] for each in own)
        assert (hours, bikes) == near(hours_of(row), hours_of(row) * row["bikes_per_station"])
        assert sum(each["sample_size"] for each in own) == row["sample_size"]


def hours_of(row: Row) -> float:
    """Open hours of a row of the network."""
    return float(row["open_station_hours"])


def test_network_by_day(reports: dict[str, list[Row]]) -> None:
    names = ("hours", "open_stations_hours", "open_station_hours", "bikes_per_station", "bikes",
             "departures", "arrivals")  # fmt: skip
    bikes = 6 * 60 + 20 * 60 + 4 * 60 + 4 * 60 + 6 * 40 + 4 * 40
    assert shown(reports["velib_network_days"], "day", *names) == {
        date(2025, 3, 1): near(1, 1, 1.0, 10.0, 10.0, 0, 0),
        date(2025, 6, 5): near(3, 7, 350 / 60, bikes / 350, bikes / 350 * 7 / 3, 5, 5),
    }


@pytest.mark.parametrize(("first", "hours"), [
    ("2025-03-29 23:00", 23), ("2025-06-04 22:00", 24), ("2025-10-25 22:00", 25),
])  # fmt: skip
def test_a_day_is_whole_with_all_the_hours_of_its_clock(
    published: Warehouse, first: str, hours: int
) -> None:
    (made,) = (each for each in load_reports(FOLDER) if each.name == "velib_network_days")
    source = "FROM lake.velib_area_hours\n"
    assert source in made.select
    for loaded_hours, partial in ((hours, False), (hours - 1, True)):
        generated = " UNION ALL ".join(
            f"SELECT TIMESTAMP_ADD(TIMESTAMP '{first}:00+00', INTERVAL {n} HOUR) AS starts"
            for n in range(loaded_hours)
        )
        rows = (
            "(SELECT l.* REPLACE (g.starts AS slot_start, DATE(g.starts, 'Europe/Paris') AS local_day) "
            "FROM (SELECT * FROM lake.velib_area_hours WHERE neighbourhood = 'Paris 7') AS l "
            f"CROSS JOIN ({generated}) AS g)"
        )
        (day,) = published.run(made.select.replace(source, f"FROM {rows}\n"))
        assert (day["hours"], day["is_partial_day"]) == (loaded_hours, partial)


def test_the_days_of_the_fixture_are_parts(reports: dict[str, list[Row]]) -> None:
    for name in ("velib_network_days", "velib_kind_days"):
        assert {row["is_partial_day"] for row in reports[name]} == {True}


def test_kinds_are_shares_of_all_bikes(reports: dict[str, list[Row]]) -> None:
    rows = [row for row in reports["velib_kind_days"] if row["day"] == date(2025, 6, 5)]
    mechanical = 4 * 60 + 10 * 60 + 2 * 60 + 60 + 40
    electric = 2 * 60 + 10 * 60 + 2 * 60 + 3 * 60 + 6 * 40 + 3 * 40
    assert shown(rows, "kind", "bike_hours", "share_percent") == {
        "mechanical": near(mechanical / 60, 100 * mechanical / (mechanical + electric)),
        "electric": near(electric / 60, 100 * electric / (mechanical + electric)),
    }


def test_v1_a_missed_fetch_is_a_gap(reports: dict[str, list[Row]]) -> None:
    rows = [row for row in reports["velib_coverage"] if row["day"] == date(2025, 6, 5)]
    of_june = {f"{row['hour']:%H}": row for row in rows if row["fetches"] or row["hour"].hour == 4}
    names = ("state", "fetches", "missed_fetches", "stations", "covered_percent", "revised")
    found = {hour: near(*(row[name] for name in names)) for hour, row in of_june.items()}
    assert found == {
        "02": near("complete", 6, 0, 4, 100 * 150 / 240, 2),
        "03": near("partial", 3, 3, 4, 100 * 180 / 240, 0),
        "04": near("missing", 0, 6, 0, None, 0),
        "05": near("partial", 1, 5, 3, 100 * 80 / 180, 0),
    }
    assert (
        len(reports["velib_coverage"])
        == (datetime.fromisoformat(FIVE) - datetime.fromisoformat(MARCH)).days * 24 + 20
    )


def test_v2_v6_what_is_odd_is_counted(reports: dict[str, list[Row]]) -> None:
    names = ("stale", "closed", "kinds_disagree", "kinds_difference", "sample_size")
    assert shown(reports["velib_quality_days"], "day", *names) == {
        date(2025, 3, 1): (0, 0, 0, 0, 6),
        date(2025, 6, 5): (3, 6, 6, -6, 51),
    }


def test_v3_columns_that_came_and_went(reports: dict[str, list[Row]]) -> None:
    """One comes back, and a fetch of the other source takes none away."""
    found = {
        (row["layout"], row["column_name"], f"{row['first_fetched_at']:%H%M}"): (
            f"{row['last_fetched_at']:%H%M}", row["gone_at"] and f"{row['gone_at']:%H%M}",
            row["is_in_newest"], row["fetches"], row["fetches_unknown"], row["sample_size"],
        )
        for row in reports["velib_drift"]
    }  # fmt: skip
    assert found == {
        ("export v2.1", "stationcode", "0349"): ("0529", None, True, 4, 0, 5),
        ("export v2.1", "Dernière", "0349"): ("0349", "0459", False, 1, 0, 1),
        ("export v2.1", "pogo", "0459"): ("0459", "0509", False, 1, 1, 1),
        ("export v2.1", "pogo", "0529"): ("0529", None, True, 1, 0, 1),
        ("GBFS", "stationCode", "0359"): ("0359", None, True, 1, 0, 1),
    }


def plus(column: str, what: str = "1") -> str:
    """A report with every value of a column raised."""
    return f"SELECT * REPLACE ({column} + {what} AS {column}) FROM"


LAYERS = "velib_coverage: an hour has not the same observations in ledger and parts"
SUMS = "the sum of observations is not the rows loaded in every report over all time"
LATELY = "stations, hours of the day and neighbourhoods differ in the observations of 28 days"
OPEN = "stations and hours of the day differ in open time or departures"
WEEK = "velib_station_week: the hours of a station are not all its open time"
TIME = "velib_station_failures: a station has more time empty, full, open or covered than there is"
KINDS = "velib_kind_days: the kinds of a day are not all its bikes"
HOURS_OF_DAY = (
    "velib_network_days: a day has more hours than there are, or lacks some and is called whole"
)
SAME_DAY = "velib_kind_days: a day is whole for one report and not for the other"
FLAGGED = "velib_quality_days: bikes by kind are not the bikes published, and no report is flagged"
FLAGS = "velib_quality_days: more flags of a kind than observations"
PERIODS = "velib_station_history: a period is empty or overlaps the next"
CURRENT = "velib_station_history: a station has no current period, or two"
AREAS = "velib_neighbourhoods: more stations report than there are, or bikes below zero"

BAD = [
    (LAYERS, "velib_coverage", plus("observations_loaded")),
    (SUMS, "ledger", plus("rows_out")),
    (SUMS, "velib_coverage", plus("sample_size")),
    (SUMS, "velib_network_days", plus("sample_size")),
    (SUMS, "velib_kind_days", plus("sample_size")),
    (SUMS, "velib_quality_days", plus("sample_size")),
    (LATELY, "velib_station_failures", plus("observations")),
    (LATELY, "velib_hours_of_day", plus("sample_size")),
    (LATELY, "velib_neighbourhoods", plus("sample_size")),
    (OPEN, "velib_station_failures", plus("open_hours", "0.01")),
    (OPEN, "velib_hours_of_day", plus("departures")),
    (WEEK, "velib_station_week", plus("open_hours", "0.01")),
    (TIME, "velib_station_failures", plus("empty_hours", "open_hours + 0.01")),
    (TIME, "velib_station_failures", plus("open_hours", "covered_hours + 0.01")),
    (TIME, "velib_station_failures", plus("covered_hours", "sample_size")),
    (TIME, "velib_station_failures", plus("bikes_min", "bikes_max + 1")),
    (KINDS, "velib_kind_days", plus("bike_hours", "0.01")),
    (HOURS_OF_DAY, "velib_network_days", plus("hours", "25")),
    (HOURS_OF_DAY, "velib_network_days", "SELECT * REPLACE (FALSE AS is_partial_day) FROM"),
    (SAME_DAY, "velib_kind_days", "SELECT * REPLACE (NOT is_partial_day AS is_partial_day) FROM"),
    (FLAGGED, "velib_quality_days", "SELECT * REPLACE (0 AS kinds_disagree) FROM"),
    (FLAGS, "velib_quality_days", plus("stale", "sample_size")),
    (PERIODS, "velib_station_history", "SELECT * REPLACE (valid_from AS valid_to) FROM"),
    (CURRENT, "velib_station_history", "SELECT * REPLACE (TRUE AS is_current) FROM"),
    (CURRENT, "velib_station_history", "SELECT * REPLACE (FALSE AS is_current) FROM"),
    (AREAS, "velib_neighbourhoods", plus("reporting_stations", "stations + 1")),
    (AREAS, "velib_neighbourhoods", plus("ebikes", "-99")),
]


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
