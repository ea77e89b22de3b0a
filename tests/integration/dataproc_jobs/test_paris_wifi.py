"""Paris Wi-Fi's transforms on the values that misled the original (W7, W8, W11)."""

from __future__ import annotations

from datetime import UTC, date, datetime

import paris_wifi
import pytest
from pyspark.sql import SparkSession

CODES = {
    "75001": ("75001", False, 1, "known", "1"),
    "75001.0": ("75001", True, 1, "known", "1"),
    "75001.00": ("75001", True, 1, "known", "1"),
    " 75001\t": ("75001", True, 1, "known", "1"),
    "\u00a075001.0\n": ("75001", True, 1, "known", "1"),
    "75020": ("75020", False, 20, "known", "20"),
    "75016": ("75016", False, 16, "known", "16"),
    "75116": ("75116", False, 16, "known", "16"),
    "75021": ("75021", False, None, "outside", "outside"),
    "75000": ("75000", False, None, "outside", "outside"),
    "93100": ("93100", False, None, "outside", "outside"),
    "92100.0": ("92100", True, None, "outside", "outside"),
    "7500": (None, False, None, "malformed", "malformed"),
    "75001.5": (None, False, None, "malformed", "malformed"),
    "750010": (None, False, None, "malformed", "malformed"),
    "PARIS": (None, False, None, "malformed", "malformed"),
    None: (None, False, None, "missing", "missing"),
}
"""Postal code as given → of five digits, whether it was repaired, district, its class, place."""

LENGTHS = {
    None: ("missing", None, None),
    -1.0: ("negative", None, None),
    -0.5: ("negative", None, None),
    0.0: ("zero", None, None),
    0.0004: ("counted", 0.0004 / 60, 0),
    0.1: ("counted", 0.1 / 60, 100),
    0.2996: ("counted", 0.2996 / 60, 300),
    1.0: ("counted", 1 / 60, 1000),
    7241.0: ("counted", 7241 / 60, 7_241_000),
    86_400.0: ("counted", 1440.0, 86_400_000),
    86_400.5: ("over_limit", None, None),
    604_800.0: ("over_limit", None, None),
    1e300: ("over_limit", None, None),
}
"""Seconds as given → class, minutes that count, milliseconds that are added up."""

USED = "started_at TIMESTAMP, duration_s DOUBLE, postal_code STRING"
NOON = datetime(2024, 6, 5, 12, tzinfo=UTC)


def test_postal_codes_and_districts(spark: SparkSession) -> None:
    used = spark.createDataFrame([(NOON, 60.0, code) for code in CODES], USED)
    found = {
        row["postal_code_given"]: (
            row["postal_code"],
            row["postal_code_repaired"],
            row["district"],
            row["district_class"],
            row["place"],
        )
        for row in paris_wifi.sessions(used, "Europe/Paris").collect()
    }
    assert found == CODES


def test_lengths_are_classed_and_only_some_count(spark: SparkSession) -> None:
    used = spark.createDataFrame([(NOON, seconds, "75001") for seconds in LENGTHS], USED)
    rows = paris_wifi.sessions(used, "Europe/Paris").collect()
    names = ("length_class", "minutes", "milliseconds")
    assert {row["duration_s"]: tuple(row[name] for name in names) for row in rows} == LENGTHS


@pytest.mark.parametrize(
    ("instant", "day", "hour"),
    [
        ("2024-07-31T21:59:00Z", date(2024, 7, 31), 23),
        ("2024-07-31T22:30:00Z", date(2024, 8, 1), 0),
        ("2024-12-31T23:30:00Z", date(2025, 1, 1), 0),
        ("2024-03-31T01:00:00Z", date(2024, 3, 31), 3),
        ("2024-10-27T00:30:00Z", date(2024, 10, 27), 2),
        ("2024-10-27T01:30:00Z", date(2024, 10, 27), 2),
    ],
)
def test_a_session_lies_on_its_day_in_paris(
    spark: SparkSession, instant: str, day: date, hour: int
) -> None:
    used = spark.createDataFrame([(datetime.fromisoformat(instant), 60.0, "75001")], USED)
    (row,) = paris_wifi.sessions(used, "Europe/Paris").collect()
    assert (row["local_day"], row["local_hour"]) == (day, hour)


def test_a_site_is_open_closed_or_of_unknown_state(spark: SparkSession) -> None:
    states = ["Opérationnel", "Fermé pour travaux", None]
    listed = spark.createDataFrame(
        [(state, "75001") for state in states], "state STRING, postal_code STRING"
    )
    assert [row["is_open"] for row in paris_wifi.sites(listed).collect()] == [True, False, None]


def test_a_site_lies_where_a_session_of_its_postal_code_does(spark: SparkSession) -> None:
    listed = spark.createDataFrame(
        [(code, "Opérationnel") for code in CODES], "postal_code STRING, state STRING"
    )
    rows = paris_wifi.sites(listed).collect()
    names = ("postal_code", "district", "district_class", "place")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (code, *where) for code, _, *where in CODES.values()
    ]
