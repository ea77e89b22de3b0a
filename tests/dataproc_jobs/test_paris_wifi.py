"""Paris Wi-Fi's transforms on the values that misled the original (W7, W8)."""

from __future__ import annotations

from datetime import date

import paris_wifi
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

CODES = {
    "75001": ("75001", 1),
    "75001.0": ("75001", 1),
    "75020": ("75020", 20),
    "75016": ("75016", 16),
    "75116": ("75116", 16),
    "75021": ("75021", None),
    "75000": ("75000", None),
    "93100": ("93100", None),
    "7500": (None, None),
    "PARIS": (None, None),
    None: (None, None),
}


def test_postal_codes_and_districts(spark: SparkSession) -> None:
    given = spark.createDataFrame([(code,) for code in CODES], "code STRING")
    found = given.select(
        "code", paris_wifi.postal_code(F.col("code")), paris_wifi.district(F.col("code"))
    )
    assert {row[0]: (row[1], row[2]) for row in found.collect()} == CODES


@pytest.mark.parametrize(
    ("instant", "day", "hour"),
    [
        ("2024-07-31T21:59:00Z", date(2024, 7, 31), 23),
        ("2024-07-31T22:30:00Z", date(2024, 8, 1), 0),
        ("2024-12-31T23:30:00Z", date(2025, 1, 1), 0),
        ("2024-03-31T01:00:00Z", date(2024, 3, 31), 3),
    ],
)
def test_a_session_lies_on_its_day_in_paris(
    spark: SparkSession, instant: str, day: date, hour: int
) -> None:
    used = spark.createDataFrame([(instant, "75001")], "at STRING, postal_code STRING")
    used = used.select(F.col("at").cast("timestamp").alias("started_at"), "postal_code")
    (row,) = paris_wifi.sessions(used, "Europe/Paris").collect()
    assert (row["local_day"], row["local_hour"]) == (day, hour)


def test_a_site_is_open_closed_or_of_unknown_state(spark: SparkSession) -> None:
    states = ["Opérationnel", "Fermé pour travaux", None]
    listed = spark.createDataFrame(
        [(state, "75001") for state in states], "state STRING, postal_code STRING"
    )
    assert [row["is_open"] for row in paris_wifi.sites(listed).collect()] == [True, False, None]
