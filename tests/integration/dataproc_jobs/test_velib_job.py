"""Vélib': flags on the values that misled the original (V2, V6, V7), parts against a slow reference."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import batch
import velib
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from tests.integration.dataproc_jobs.test_batch import Row, Zone
from tests.support.velib_reference import HOUR, MINUTE, Seen, parts

SLOT, SLOT_BEFORE = "2025-06-05T02", "2025-06-05T01"
START = datetime(2025, 6, 5, 2, tzinfo=UTC)
FIELDS = (
    "slot STRING, slot_start TIMESTAMP, row_slot STRING, context BOOLEAN, run STRING, line BIGINT, "
    "stationcode STRING, is_installed BOOLEAN, capacity BIGINT, numdocksavailable BIGINT, "
    "numbikesavailable BIGINT, mechanical BIGINT, ebike BIGINT, duedate TIMESTAMP, area STRING, "
    "insee STRING, name STRING, lat DOUBLE, lon DOUBLE"
)

PLACES = {
    # code, area, INSEE code: neighbourhood, what says so, whether code and area disagree
    ("16107", "Paris", None): ("Paris 16", "code", False),
    ("9020", "Paris", "75056"): ("Paris 9", "code", False),
    ("9020", None, None): ("Paris 9", "code", None),
    ("20106", "Paris", None): ("Paris 20", "code", False),
    ("13118_relais", "Paris", "75056"): ("Paris 13", "code", False),
    ("16107", "Paris 16ème", None): ("Paris 16", "area", False),
    ("15107", "Paris 16e Arrondissement", None): ("Paris 16", "area", True),
    ("1001", "PARIS 01", None): ("Paris 1", "area", False),
    ("16107", "Paris", "75116"): ("Paris 16", "area", False),
    ("8001", "Paris", "75108"): ("Paris 8", "area", False),
    ("19043", "Pantin", "93055"): ("Pantin", "area", True),
    ("43403", "Paris", "75056"): ("Paris, arrondissement not known", "nothing", True),
    ("40001", "Créteil", None): ("Créteil", "area", False),
    ("40001", None, None): ("not known", "nothing", None),
    ("21001", "Paris", None): ("Paris, arrondissement not known", "nothing", True),
    ("relais", None, None): ("not known", "nothing", None),
    ("32001", "Parisot", None): ("Parisot", "area", False),
}


def rows_of(seen: Iterable[Seen], station: str = "16107") -> list[tuple[Any, ...]]:
    """The typed rows of a station as `batch` gives them, context ones among them."""
    return [
        (
            SLOT, START, SLOT if each.fetched >= 0 else SLOT_BEFORE,
            each.fetched < 0, f"{START + timedelta(milliseconds=each.fetched):%Y%m%dT%H%M%SZ}",
            number, station, each.is_installed, 30, each.docks, each.bikes, each.mechanical,
            each.ebike, START + timedelta(milliseconds=each.reported), "Paris", None, "Place", 48.85, 2.35,
        )
        for number, each in enumerate(seen)
    ]  # fmt: skip


def hours_of(spark: SparkSession, rows: list[tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
    """The hour of each station."""
    shown = velib.observations(spark.createDataFrame(rows, FIELDS))
    made = [row.asDict() for row in velib.station_hours(shown).collect()]
    assert len({row["stationcode"] for row in made}) == len(made)
    return {row["stationcode"]: row for row in made}


def only_parts(row: dict[str, Any]) -> dict[str, Any]:
    """What the reference reckons of a row."""
    names = parts([Seen(0, 0, 1, 1, 1)])
    return {name: value for name, value in row.items() if name in names}


def at(minutes: float) -> int:
    """Milliseconds from the start of the hour."""
    return round(minutes * MINUTE)


def test_v7_a_station_lies_where_the_publisher_or_its_code_says(spark: SparkSession) -> None:
    rows = spark.createDataFrame(list(PLACES), "stationcode STRING, area STRING, insee STRING")
    columns = velib._place_columns(rows["stationcode"], rows["area"], rows["insee"])
    found = {tuple(row)[:3]: tuple(row)[3:] for row in rows.withColumns(columns).collect()}
    assert found == PLACES


FLAGS = {
    # minutes from report to fetch, in operation, capacity, docks, mechanical, electric: flags
    "as it should be": ((5, True, 30, 20, 6, 4), ()),
    "a day old": ((1440, True, 30, 20, 6, 4), ("is_stale",)),
    "a day old but a minute": ((1439, True, 30, 20, 6, 4), ()),
    "an hour ahead": ((-60, True, 30, 20, 6, 4), ("is_ahead",)),
    "fetched late": ((-9, True, 30, 20, 6, 4), ()),
    "closed": ((5, False, 30, 20, 6, 4), ("is_closed",)),
    "no capacity": ((5, True, 0, 20, 6, 4), ("has_no_capacity", "counts_disagree")),
    "no capacity, no counts": ((5, True, 0, 0, 0, 0), ("has_no_capacity",)),
    "a broken dock": ((5, True, 30, 19, 6, 4), ("counts_disagree",)),
    "not published": ((5, None, None, 20, 6, 4), ()),
}


def test_v6_what_is_odd_is_flagged_and_kept(spark: SparkSession) -> None:
    fetched = START + timedelta(minutes=3)
    rows = [
        (
            SLOT, START, SLOT, False, f"{fetched:%Y%m%dT%H%M%SZ}", 1, case,
            installed, capacity, docks, mechanical + ebike, mechanical, ebike,
            fetched - timedelta(minutes=age), None, None, None, None, None,
        )
        for case, ((age, installed, capacity, docks, mechanical, ebike), _) in FLAGS.items()
    ]  # fmt: skip
    made = velib.observations(spark.createDataFrame(rows, FIELDS)).collect()
    flags = (
        "is_stale", "is_ahead", "is_closed", "has_no_capacity", "counts_disagree", "kinds_disagree",
    )  # fmt: skip
    found = {row["stationcode"]: tuple(f for f in flags if row[f]) for row in made}
    assert found == {case: expected for case, (_, expected) in FLAGS.items()}
    assert {row["fetched_at"].astimezone(UTC) for row in made} == {fetched}
    (unknown,) = [row for row in made if row["stationcode"] == "not published"]
    assert {unknown[f] for f in ("is_closed", "has_no_capacity", "counts_disagree")} == {None}


TICKS = (-7, 3, 13, 23, 33, 43, 53)
CASES: dict[str, tuple[list[Seen], dict[str, Any]]] = {
    # what the fetches showed: what must come of it, in minutes
    "three reports": (
        [Seen(at(-7), at(-10), 4, 1, 5), Seen(at(3), at(2), 3, 1, 6), Seen(at(13), at(12), 0, 0, 10)],
        {"covered": 32, "bikes": 2 * 5 + 10 * 4, "empty": 20, "full": 0, "departures": 5, "min": 0},
    ),
    "v2: a stale station shown again and again weighs nothing": (
        [Seen(at(tick), at(-26 * 60), 9, 9, 0) for tick in TICKS],
        {"covered": 0, "bikes": 0, "empty": 0, "full": 0, "departures": 0, "min": None},
    ),
    "the report fetched last counts": (
        [Seen(at(3), at(2), 3, 1, 6), Seen(at(13), at(2), 5, 1, 4)],
        {"covered": 20, "bikes": 20 * 6, "empty": 0, "full": 0, "departures": 0, "min": 6},
    ),
    "a report of the hour before is not moved twice": (
        [Seen(at(-17), at(-20), 9, 0, 1), Seen(at(-7), at(-8), 5, 0, 5), Seen(at(3), at(-8), 5, 0, 5)],
        {"covered": 12, "bikes": 60, "empty": 0, "full": 0, "departures": 0, "min": 5},
    ),
    "a closed station is covered and not open": (
        [Seen(at(3), at(0), 0, 0, 10, is_installed=False)],
        {"covered": 20, "bikes": 0, "empty": 0, "full": 0, "departures": 0, "min": None},
    ),
    "full to the end of the hour": (
        [Seen(at(53), at(50), 30, 0, 0)],
        {"covered": 10, "bikes": 300, "empty": 0, "full": 10, "departures": 0, "min": 30},
    ),
    "a source that goes back": (
        [Seen(at(3), at(2), 6, 0, 4), Seen(at(13), at(-9), 9, 0, 1), Seen(at(23), at(22), 6, 0, 4)],
        {"covered": 42, "bikes": 2 * 9 + 40 * 6, "empty": 0, "full": 0, "departures": 3, "min": 6},
    ),
    "a clock an hour ahead": (
        [Seen(at(3), at(62), 6, 0, 4)],
        {"covered": 0, "bikes": 0, "empty": 0, "full": 0, "departures": 0, "min": None},
    ),
    "a clock an hour behind": (
        [Seen(at(3), at(-58), 6, 0, 4), Seen(at(13), at(-48), 9, 0, 1)],
        {"covered": 0, "bikes": 0, "empty": 0, "full": 0, "departures": 0, "min": None},
    ),
    "a clock an hour ahead, in the hour before too": (
        [Seen(at(-17), at(42), 6, 0, 4), Seen(at(-7), at(52), 9, 0, 1), Seen(at(3), at(62), 1, 0, 9)],
        {"covered": 0, "bikes": 0, "empty": 0, "full": 0, "departures": 0, "min": None},
    ),
    "one report ahead among good ones": (
        [Seen(at(3), at(2), 6, 0, 4), Seen(at(13), at(30), 0, 0, 9), Seen(at(33), at(32), 5, 0, 5)],
        {"covered": 40, "bikes": 20 * 6 + 20 * 5, "empty": 0, "full": 0, "departures": 1, "min": 5},
    ),
}  # fmt: skip


def test_hours_reckoned_by_hand(spark: SparkSession) -> None:
    made = hours_of(
        spark, [row for case, (seen, _) in CASES.items() for row in rows_of(seen, case)]
    )
    names = {"covered": "covered_ms", "bikes": "bike_ms", "empty": "empty_ms", "full": "full_ms"}
    for case, (_, expected) in CASES.items():
        row = made[case]
        found: dict[str, Any] = {name: row[column] / MINUTE for name, column in names.items()}
        found |= {"departures": row["departures"], "min": row["bikes_min"]}
        assert found == expected, case


def test_a_station_that_is_gone_has_no_row_once_its_report_holds_no_more(
    spark: SparkSession,
) -> None:
    gone = [Seen(at(-7), at(-10), 4, 1, 5)]
    long_gone = [Seen(at(-7), at(-21), 4, 1, 5)]
    made = hours_of(spark, rows_of(gone, "gone") + rows_of(long_gone, "long gone"))
    assert set(made) == {"gone"}
    assert (made["gone"]["observations"], made["gone"]["covered_ms"]) == (0, 10 * MINUTE)


def test_an_hour_has_its_day_and_hour_in_paris(spark: SparkSession) -> None:
    (row,) = hours_of(spark, rows_of([Seen(at(3), at(2), 1, 1, 1)])).values()
    assert (row["local_day"], row["local_hour"]) == (date(2025, 6, 5), 4)


COUNT = st.one_of(st.integers(0, 3), st.sampled_from([0, 0, None, 60]))
REPORTS = st.lists(
    st.builds(
        Seen,
        fetched=st.sampled_from(TICKS).map(at),
        reported=st.one_of(
            st.integers(-90 * MINUTE, 70 * MINUTE), st.sampled_from([0, HOUR, at(2), -25 * HOUR])
        ),
        mechanical=COUNT,
        ebike=COUNT,
        docks=COUNT,
        is_installed=st.sampled_from([True, True, True, False, None]),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda seen: (seen.fetched, seen.reported),
)


def is_whole(found: dict[str, int | None]) -> bool:
    """Whether the parts of an hour fit into each other."""
    names = ("observations", "covered_ms", "open_ms", "bike_ms", "mechanical_ms", "ebike_ms")
    seen, covered, is_open, bikes, mechanical, ebike = (found[name] or 0 for name in names)
    lacking = sum(found[name] or 0 for name in ("empty_ms", "full_ms", "unusable_ms"))
    fits = seen >= 0 and 0 <= lacking <= is_open <= covered <= HOUR
    return fits and bikes == mechanical + ebike


@given(seen=REPORTS, data=st.data())
def test_the_reference_is_whole_and_knows_no_order(seen: list[Seen], data: st.DataObject) -> None:
    found = parts(seen)
    assert is_whole(found)
    assert parts(data.draw(st.permutations(seen))) == found


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stations=st.lists(REPORTS, min_size=20, max_size=40), data=st.data())
def test_spark_makes_what_the_reference_makes(
    spark: SparkSession, stations: Sequence[list[Seen]], data: st.DataObject
) -> None:
    named = {f"s{number}": seen for number, seen in enumerate(stations)}
    rows = [row for name, seen in named.items() for row in rows_of(seen, name)]
    made = hours_of(spark, data.draw(st.permutations(rows)))
    expected = {name: parts(seen) for name, seen in named.items()}
    shown = {n: e for n, e in expected.items() if e["observations"] or e["covered_ms"]}
    assert {name: only_parts(row) for name, row in made.items()} == shown
    assert all(map(is_whole, map(only_parts, made.values())))


def test_a_batch_counts_what_it_keeps_once(tmp_path: Path, spark: SparkSession) -> None:
    def shown(station: str, minute: int, bikes: int) -> Row:
        return {
            "stationcode": station, "duedate": f"2025-06-05T02:{minute:02}:00+00:00",
            "numbikesavailable": str(bikes), "mechanical": str(bikes), "ebike": "0",
            "numdocksavailable": "9", "is_installed": "OUI", "capacity": "30", "area": "Paris",
        }  # fmt: skip

    zone, dataset = Zone(tmp_path), "velib_stations"
    before = zone.part(dataset, SLOT_BEFORE, "20250605T015300Z", [shown("9020", 0, 5)])
    # The other source of the contract tells no area: that alone is no revision.
    other = {name: value for name, value in shown("1001", 1, 1).items() if name != "area"}
    first = zone.part(dataset, SLOT, "20250605T020300Z", [shown("9020", 2, 4), other])
    again = zone.part(dataset, SLOT, "20250605T021300Z", [shown("9020", 2, 3), shown("1001", 1, 1)])
    zone.slot(dataset, SLOT, [first, again], 4, context=(before,))
    zone.run(velib.transform)

    (counts,) = zone.receipt.counts
    assert (counts.rows_in, counts.rows_out, counts.duplicates, counts.revised) == (4, 2, 2, 1)
    seen = {row["stationcode"]: row for row in zone.table("velib_observations", SLOT)}
    assert {code: row["numbikesavailable"] for code, row in seen.items()} == {"9020": 3, "1001": 1}
    hours = {row["stationcode"]: row for row in zone.table("velib_station_hours", SLOT)}
    assert (hours["9020"]["departures"], hours["1001"]["departures"]) == (2, 0)
    assert hours["9020"]["covered_ms"] == 22 * MINUTE
    assert {row["neighbourhood"] for row in hours.values()} == {"Paris 9", "Paris 1"}


def test_areas_add_up_and_changes_are_told_once_in_a_large_batch(
    tmp_path: Path, spark: SparkSession, large: None
) -> None:
    def shown(station: str, at: str, **facts: str | None) -> Row:
        return {
            "stationcode": station, "duedate": f"2025-06-05T{at}:00+00:00", "name": "Place",
            "numbikesavailable": "7", "mechanical": "4", "ebike": "2", "numdocksavailable": "9",
            "is_installed": "OUI", "capacity": "30", "area": "Paris", "lat": "48.85001",
        } | facts  # fmt: skip

    zone, dataset = Zone(tmp_path, size=batch.SMALL_BYTES), "velib_stations"
    codes = ("9001", "9002", "9003")
    before = zone.part(dataset, SLOT_BEFORE, "20250605T015300Z", [shown(c, "01:52") for c in codes])
    now = [
        shown("9001", "02:02", lat="48.85002"),
        shown("9002", "02:02", capacity="31"),
        shown("9003", "02:02", is_installed="NON"),
        shown("1001", "02:02", area="Pantin"),
    ]
    part = zone.part(dataset, SLOT, "20250605T020300Z", now)
    zone.slot(dataset, SLOT, [part], 4, context=(before,))
    zone.run(velib.transform)

    hours = zone.table("velib_station_hours", SLOT)
    areas = {row["neighbourhood"]: row for row in zone.table("velib_area_hours", SLOT)}
    assert set(areas) == {"Paris 9", "Pantin"}
    assert (areas["Paris 9"]["stations"], areas["Paris 9"]["open_stations"]) == (3, 3)
    for name in velib.SUMMED:
        assert sum(row[name] for row in hours) == sum(row[name] for row in areas.values()), name
    assert (areas["Paris 9"]["bikes_seen"], areas["Paris 9"]["kinds_seen"]) == (21, 18)
    assert areas["Paris 9"]["kinds_disagree_observations"] == 3
    assert areas["Paris 9"]["closed_observations"] == 1
    changes = {row["stationcode"]: row for row in zone.table("velib_station_changes", SLOT)}
    assert set(changes) == {"9002", "1001"}
    assert (changes["9002"]["capacity"], changes["1001"]["neighbourhood"]) == (31, "Pantin")


def test_a_change_is_no_older_than_the_fetch_that_tells_it(
    tmp_path: Path, spark: SparkSession
) -> None:
    """Two stations are the old ones at :03; one is the old one again, one is told without an area."""

    def shown(station: str, at: str, capacity: int, area: str | None = "Pantin") -> Row:
        return {
            "stationcode": station, "duedate": f"2025-06-05T{at}:00+00:00", "name": "Place",
            "mechanical": "4", "ebike": "2", "numdocksavailable": "9", "capacity": str(capacity),
        } | ({"area": area} if area else {})  # fmt: skip

    zone, dataset = Zone(tmp_path), "velib_stations"
    codes = ("9001", "9002", "19043")
    fetches = {
        "20250605T015300Z": [shown(code, "01:52", 30) for code in codes],
        "20250605T020300Z": [shown("9001", "02:02", 30), shown("9002", "02:02", 31)],
        "20250605T021300Z": [shown("9001", "02:12", 31), shown("9002", "02:12", 30)],
        "20250605T022300Z": [shown("9001", "02:22", 31), shown("19043", "02:22", 30, None)],
    }
    before, *parts = [
        zone.part(dataset, SLOT_BEFORE if run < "20250605T02" else SLOT, run, rows)
        for run, rows in fetches.items()
    ]
    zone.slot(dataset, SLOT, parts, 6, context=(before,))
    zone.run(velib.transform)
    found = {
        row["stationcode"]: (
            f"{row['seen_at'].astimezone(UTC):%H:%M}", row["capacity"], row["neighbourhood"],
            row["area_is_told"],
        )
        for row in zone.table("velib_station_changes", SLOT)
    }  # fmt: skip
    assert found == {
        "9001": ("02:13", 31, "Pantin", True),
        "19043": ("02:23", 30, "Paris 19", False),
    }


SAMPLES = Path(__file__).parents[2] / "data" / "velib"
OUTSIDE_BY_AREA = {"19043", "12041", "14116", "13121", "14023"}
"""Codes that begin as those of an arrondissement, of stations that both eras place in a suburb."""


def published_places() -> list[tuple[str, str, str, str | None]]:
    """Era, code, area and INSEE code of every station of the samples that tell an area."""
    records = json.loads((SAMPLES / "2020-06-24_hosuaby_v1_records.json").read_text("utf-8"))
    told: list[tuple[str, str, str, str | None]] = [
        ("2020", r["fields"]["stationcode"], r["fields"]["nom_arrondissement_communes"], None)
        for r in records
    ]
    labels = SAMPLES / "2025-04-01_IF36_disponibilite.csv"
    with labels.open(encoding="utf-8-sig", newline="") as file:
        told += [
            ("2025", row["Identifiant station"], row["Nom communes équipées"],
             row["Code INSEE communes équipées"])
            for row in csv.DictReader(file, delimiter=";")
        ]  # fmt: skip
    return told


def test_v7_codes_agree_with_the_areas_of_both_eras_but_for_six(spark: SparkSession) -> None:
    fields = "era STRING, stationcode STRING, area STRING, insee STRING"
    rows = spark.createDataFrame(published_places(), fields)
    columns = velib._place_columns(rows["stationcode"], rows["area"], rows["insee"])
    made = rows.withColumns(columns).collect()
    disagree = {(row["era"], row["stationcode"]) for row in made if row["area_disagrees"]}
    both = {(era, code) for era in ("2020", "2025") for code in OUTSIDE_BY_AREA}
    assert disagree == both | {("2025", "43403")}
    assert Counter(row["neighbourhood_from"] for row in made if row["area"] == "Paris") == {
        "code": 1001 + 980, "nothing": 1,
    }  # fmt: skip
    places = {row["neighbourhood"] for row in made if row["neighbourhood_from"] == "code"}
    assert places == {f"Paris {number}" for number in range(1, 21)}


@cache
def wifi_districts() -> list[tuple[float, float, str]]:
    """Latitude, longitude and arrondissement of every site of the Wi-Fi list of 2023 in Paris."""
    path = SAMPLES.parent / "wifi" / "sites_2023-05_simonejw.geojson"
    sites = [each["properties"] for each in json.loads(path.read_bytes())["features"]]
    return [
        (site["geo_point_2d"]["lat"], site["geo_point_2d"]["lon"], f"Paris {int(site['cp'][3:])}")
        for site in sites
        if (site["cp"] or "").startswith("750") and site["geo_point_2d"]
    ]


def nearest(latitude: float, longitude: float) -> tuple[float, str]:
    """How many metres away the nearest of them is, and its arrondissement."""
    metres = 111_195.0
    across = metres * math.cos(math.radians(48.86))
    return min(
        (math.hypot((latitude - north) * metres, (longitude - east) * across), district)
        for north, east, district in wifi_districts()
    )


def test_v7_codes_agree_with_postal_codes_of_sites_near_by(spark: SparkSession) -> None:
    """Another list of the city tells arrondissements: near by, all agree but some at a border."""
    fields = [
        each["fields"] for each in json.loads((SAMPLES / "2020-06-24_hosuaby_v1_records.json").read_bytes())
    ]  # fmt: skip
    told = [
        (f["stationcode"], *nearest(*f["coordonnees_geo"]))
        for f in fields
        if f["nom_arrondissement_communes"] == "Paris"
    ]
    near = [row for row in told if row[1] <= 100]
    frame = spark.createDataFrame(near, "stationcode STRING, metres DOUBLE, district STRING")
    paris, unknown = velib.F.lit("Paris"), velib.F.lit(None).cast("string")
    placed = frame.withColumn("by", velib.neighbourhood(frame["stationcode"], paris, unknown))
    found = [(row["stationcode"], row["by"], row["district"]) for row in placed.collect()]
    assert (len(found), sum(metres <= 50 for _, metres, _ in near)) == (107, 45)
    assert {row for row in found if row[1] != row[2]} == {
        ("17018", "Paris 17", "Paris 8"), ("14113", "Paris 14", "Paris 13"),
        ("11038", "Paris 11", "Paris 3"), ("20014", "Paris 20", "Paris 11"),
    }  # fmt: skip
