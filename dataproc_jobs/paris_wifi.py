"""Paris Wi-Fi: listed sites, sessions with their additive parts, and the holidays of France.

What counts as a length and which district a session belongs to is decided here and nowhere else: a
session is classed, never dropped, and the classes are counted as well as summed. A mean of any group
is Σ milliseconds / Σ sessions_counted (W1 to W3, W11).
"""

from __future__ import annotations

import batch
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

OPEN = "Opérationnel"
"""The state of a site in operation, as the city writes it."""

LONGEST_S = 24 * 3600
"""Longest session that counts, in seconds: a longer one is a fault of device or accounting (W11)."""

MOST_BYTES = LONGEST_S * 125_000_000
"""Largest volume of a session that counts: a day at one gigabit a second, 10.8 TB."""


def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
    """Calculate the lake's tables from the typed rows of the data sets that the manifest has."""
    tables = {}
    if "french_holidays" in frames:
        tables["french_holidays"] = frames["french_holidays"]
    if "paris_wifi_sites" in frames:
        tables["wifi_sites"] = sites(frames["paris_wifi_sites"])
    if "paris_wifi_usage" in frames:
        all_sessions = sessions(frames["paris_wifi_usage"], context.zone("paris_wifi_usage"))
        tables["wifi_sessions"] = all_sessions
        own = all_sessions.where(~F.col("context"))
        tables["wifi_site_days"] = site_days(own)
        tables["wifi_language_devices"] = language_devices(own)
        tables["wifi_hours"] = hours(own)
    return tables


def sites(rows: DataFrame) -> DataFrame:
    """Return one row per listed site: postal code of five digits, district, whether it is open."""
    published = F.col("postal_code")
    code = postal_code(published)
    return rows.withColumns(
        {"postal_code": code, "is_open": F.col("state") == OPEN, **_place_columns(published, code)}
    )


def sessions(usage: DataFrame, zone: str) -> DataFrame:
    """Return one row per session: day and hour in `zone` (W7), length (W11) and district (W8)."""
    local = F.from_utc_timestamp("started_at", zone)
    published, code = F.col("postal_code_given"), F.col("postal_code")
    renamed = usage.withColumnRenamed("postal_code", "postal_code_given")
    repaired = renamed.withColumns(
        {
            "local_day": F.to_date(local),
            "local_hour": F.hour(local).cast("bigint"),
            "length_class": length_class(F.col("duration_s")),
            "postal_code": postal_code(published),
        }
    )
    return repaired.withColumns(
        {
            "minutes": F.when(_is("length_class", "counted"), F.col("duration_s") / 60),
            "milliseconds": F.when(
                _is("length_class", "counted"), F.round(F.col("duration_s") * 1000).cast("bigint")
            ),
            "postal_code_repaired": F.coalesce(code != published, F.lit(False)),
            **_place_columns(published, code),
        }
    )


def site_days(rows: DataFrame) -> DataFrame:
    """Sum additive parts by day in Paris, site and place, slot by slot."""
    volume = _has_volume()
    return _sum_parts(
        rows,
        ("local_day", "site_code", "district", "district_class", "place"),
        batch.count_where(_is("length_class", "missing")).alias("sessions_missing_length"),
        batch.count_where(_is("length_class", "zero")).alias("sessions_zero"),
        batch.count_where(_is("length_class", "negative")).alias("sessions_negative"),
        batch.count_where(_is("length_class", "over_limit")).alias("sessions_over_limit"),
        batch.sum_or_zero(F.when(volume, F.col("bytes_in"))).alias("bytes_in"),
        batch.sum_or_zero(F.when(volume, F.col("bytes_out"))).alias("bytes_out"),
        batch.count_where(volume).alias("sessions_with_bytes"),
        batch.count_where(F.col("postal_code_repaired")).alias("postal_codes_repaired"),
    )


def language_devices(rows: DataFrame) -> DataFrame:
    """Sum additive parts by language and device, slot by slot; null is a value of its own (W6)."""
    return _sum_parts(rows, ("language", "device"))


def hours(rows: DataFrame) -> DataFrame:
    """Sum additive parts by day and hour in Paris, slot by slot."""
    return _sum_parts(rows, ("local_day", "local_hour"))


def length_class(seconds: Column) -> Column:
    """Class a published length as counted, missing, zero, negative or over_limit (W11)."""
    return (
        F.when(seconds.isNull(), "missing")
        .when(seconds == 0, "zero")
        .when(seconds < 0, "negative")
        .when(seconds > LONGEST_S, "over_limit")
        .otherwise("counted")
    )


def postal_code(published: Column) -> Column:
    """Return five digits, or null; `75001.0` of a spreadsheet is `75001` (W8)."""
    clean = F.regexp_replace(published, r"(?U)^\s+|(\.0+)?\s*$", "")
    return F.when(clean.rlike("^[0-9]{5}$"), clean)


def district(code: Column) -> Column:
    """Return the arrondissement of Paris, 1 to 20: 75016 and 75116 are both the 16th.

    Null outside Paris, and for 75000, which names no arrondissement.
    """
    inside = code.rlike("^750(0[1-9]|1[0-9]|20)$") | (code == "75116")
    return F.when(inside, F.substring(code, 4, 2).cast("bigint"))


def district_class(published: Column, code: Column) -> Column:
    """Class a postal code, as published and of five digits, by whether it names a district.

    The class is `known`, `missing`, `malformed` or `outside`: five digits of no arrondissement.
    """
    return (
        F.when(published.isNull(), "missing")
        .when(code.isNull(), "malformed")
        .when(district(code).isNull(), "outside")
        .otherwise("known")
    )


def place(published: Column, code: Column) -> Column:
    """Return the district as text, or its class where there is none: reports group by it."""
    kind = district_class(published, code)
    return F.when(kind == "known", district(code).cast("string")).otherwise(kind)


def _place_columns(published: Column, code: Column) -> dict[str, Column]:
    return {
        "district": district(code),
        "district_class": district_class(published, code),
        "place": place(published, code),
    }


def _sum_parts(rows: DataFrame, grain: tuple[str, ...], *more: Column) -> DataFrame:
    """Sum the parts that every table has, and `more`, by slot and grain; a slot is one file."""
    # Whole milliseconds add up exactly in whatever order; minutes, and broken seconds, would not.
    parts = (
        F.count(F.lit(1)).alias("sessions"),
        batch.count_where(_is("length_class", "counted")).alias("sessions_counted"),
        batch.sum_or_zero(F.col("milliseconds")).alias("milliseconds"),
    )
    return rows.groupBy("slot", "slot_start", *grain).agg(*parts, *more).repartition("slot")


def _has_volume() -> Column:
    """Check that a session has both volumes, and that both are possible."""
    return F.col("bytes_in").between(0, MOST_BYTES) & F.col("bytes_out").between(0, MOST_BYTES)


def _is(column: str, value: str) -> Column:
    """Compare a column that is never null with a value."""
    return F.col(column) == value


if __name__ == "__main__":
    batch.run(transform)
