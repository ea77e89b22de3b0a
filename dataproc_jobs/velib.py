"""Vélib': reports of the stations with their flags, and additive parts by station and hour.

What counts as stale, closed, empty or full is decided here and nowhere else: a report is flagged,
never dropped. A mean of any group is Σ bike-milliseconds / Σ milliseconds in which a report holds,
so a station that does not report does not weigh (V2), and nothing divides by a capacity (V6).
"""

from __future__ import annotations

import batch
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812

ZONE = "Europe/Paris"
"""Where the stations are: what hour of the day it is."""

HOUR_MS = 3_600_000
"""Length of a slot in milliseconds."""

HOLDS_MS = 20 * 60_000
"""How long a report holds without a next one, in milliseconds: two fetches."""

STALE_MS = 24 * HOUR_MS
"""Time without a report, in milliseconds, from which a station is stale (V2)."""

AHEAD_MS = 10 * 60_000
"""How much later than its tick a fetch may come, in milliseconds; later reports are of wrong clocks."""

APART_MS = HOUR_MS
"""Time between two reports, in milliseconds, above which the hour of a departure is unknown."""

COUNTS = ("numdocksavailable", "mechanical", "ebike")
"""Counts that a report needs to hold for any time."""


FLAGGED = {
    "stale_observations": "is_stale",
    "ahead_observations": "is_ahead",
    "closed_observations": "is_closed",
    "no_capacity_observations": "has_no_capacity",
    "counts_disagree_observations": "counts_disagree",
    "kinds_disagree_observations": "kinds_disagree",
}
"""Column of `velib_station_hours` → the flag whose rows it counts."""

LAST = {
    "last_reported_at": "duedate",
    "last_mechanical": "mechanical",
    "last_ebike": "ebike",
    "last_docks": "numdocksavailable",
    "last_is_closed": "is_closed",
}
"""Column of `velib_station_hours` → what it has of the station's newest report."""

SUMMED = (
    "observations", *FLAGGED, "bikes_seen", "kinds_seen", "covered_ms", "open_ms", "bike_ms",
    "mechanical_ms", "ebike_ms", "dock_ms", "empty_ms", "full_ms", "unusable_ms", "differences",
    "departures", "arrivals",
)  # fmt: skip
"""Columns of `velib_station_hours` that add up over stations."""

FACTS = ("name", "neighbourhood", "area_is_told", "capacity", "lat", "lon")
"""What a station is, as far as it is published."""

PLACE_DIGITS = 4
"""Digits of a coordinate that are compared: 11 m, for publishers print them with changing ones."""


def transform(frames: dict[str, DataFrame], _: batch.Context) -> dict[str, DataFrame]:
    """Calculate the lake's tables from the reports of the hours, and of the hour before each."""
    tables = {}
    if "velib_stations" in frames:
        reports = observations(frames["velib_stations"])
        hours = station_hours(reports)
        tables["velib_observations"] = reports
        tables["velib_station_hours"] = hours
        tables["velib_area_hours"] = area_hours(hours)
        tables["velib_station_changes"] = station_changes(reports)
    return tables


def observations(stations: DataFrame) -> DataFrame:
    """Return one row per hour of fetching, station and report: where it lies, and its flags."""
    fetched = F.to_timestamp(F.substring("run", 1, 15), "yyyyMMdd'T'HHmmss")
    timed = stations.withColumn("fetched_at", fetched)
    age = F.unix_millis("fetched_at") - F.unix_millis("duedate")
    bikes, docks = F.col("numbikesavailable"), F.col("numdocksavailable")
    return timed.withColumns(
        {
            **_place_columns(F.col("stationcode"), F.col("area"), F.col("insee")),
            "is_stale": age >= STALE_MS,
            "is_ahead": age < -AHEAD_MS,
            "is_closed": ~F.col("is_installed"),
            "has_no_capacity": F.col("capacity") == 0,
            "counts_disagree": bikes + docks != F.col("capacity"),
            "kinds_disagree": F.col("mechanical") + F.col("ebike") != bikes,
        }
    )


def station_hours(reports: DataFrame) -> DataFrame:
    """Sum additive parts by station and hour, from the reports of the hour and the hour before.

    A report holds from itself or the hour's start to the next report, the hour's end or 20 minutes
    after itself; a station has a row where the hour shows it or a report still holds.
    """
    held = _with_hold_time(_order_reports(reports))
    is_open = ~F.coalesce("is_closed", F.lit(False))
    open_ms = F.when(is_open, F.col("held_ms")).otherwise(0)
    was_open = open_ms > 0
    # Both kinds, not the published sum: some eras have none, and parts must add up.
    bikes, docks = F.col("mechanical") + F.col("ebike"), F.col("numdocksavailable")
    # A wrong clock would be the newest report for as long as it is ahead.
    newest = F.struct(~F.col("is_ahead"), "duedate", "run")
    own = ~F.col("context")
    summed = held.groupBy("slot", "slot_start", "stationcode").agg(
        F.max_by("neighbourhood", newest).alias("neighbourhood"),
        batch.count_where(own).alias("observations"),
        *(batch.count_where(own & F.col(flag)).alias(name) for name, flag in FLAGGED.items()),
        batch.sum_or_zero(F.when(own & bikes.isNotNull(), F.col("numbikesavailable"))).alias(
            "bikes_seen"
        ),
        batch.sum_or_zero(F.when(own & F.col("numbikesavailable").isNotNull(), bikes)).alias(
            "kinds_seen"
        ),
        F.max("fetched_at").alias("last_fetched_at"),
        *(F.max_by(column, newest).alias(name) for name, column in LAST.items()),
        F.sum("held_ms").alias("covered_ms"),
        F.sum(open_ms).alias("open_ms"),
        batch.sum_or_zero(bikes * open_ms).alias("bike_ms"),
        batch.sum_or_zero(F.col("mechanical") * open_ms).alias("mechanical_ms"),
        batch.sum_or_zero(F.col("ebike") * open_ms).alias("ebike_ms"),
        batch.sum_or_zero(docks * open_ms).alias("dock_ms"),
        batch.sum_or_zero(F.when((bikes <= 0) & (docks > 0), open_ms)).alias("empty_ms"),
        batch.sum_or_zero(F.when((bikes > 0) & (docks <= 0), open_ms)).alias("full_ms"),
        batch.sum_or_zero(F.when((bikes <= 0) & (docks <= 0), open_ms)).alias("unusable_ms"),
        F.min(F.when(was_open, bikes)).alias("bikes_min"),
        F.max(F.when(was_open, bikes)).alias("bikes_max"),
        F.min(F.when(was_open, F.col("ebike"))).alias("ebikes_min"),
        F.max(F.when(was_open, F.col("ebike"))).alias("ebikes_max"),
        batch.count_where(F.col("is_pair")).alias("differences"),
        *_departures_and_arrivals(),
    )
    local = F.from_utc_timestamp("slot_start", ZONE)
    listed = summed.where((F.col("observations") > 0) | (F.col("covered_ms") > 0))
    return listed.withColumns(
        {"local_day": F.to_date(local), "local_hour": F.hour(local).cast("bigint")}
    ).repartition("slot")


def area_hours(hours: DataFrame) -> DataFrame:
    """Sum the same parts by neighbourhood and hour, for the reports over all time."""
    return (
        hours.groupBy("slot", "slot_start", "neighbourhood", "local_day", "local_hour")
        .agg(
            batch.count_where(F.col("observations") > 0).alias("stations"),
            batch.count_where(F.col("open_ms") > 0).alias("open_stations"),
            *(F.sum(name).alias(name) for name in SUMMED),
        )
        .repartition("slot")
    )


def station_changes(reports: DataFrame) -> DataFrame:
    """Return a station's facts by its newest report, where the hour before had others.

    A station that is not in the hour before has a row: its earlier facts are not read here.
    """
    newest = F.struct(F.col("fetched_at"), F.col("duedate"))
    with_facts = reports.withColumns(
        {
            "area_is_told": F.col("area").isNotNull(),
            "lat": F.round("lat", PLACE_DIGITS),
            "lon": F.round("lon", PLACE_DIGITS),
        }
    ).withColumn("facts", F.struct(*FACTS))
    own = F.when(~F.col("context"), newest)
    by_hour = with_facts.groupBy("slot", "slot_start", "stationcode").agg(
        F.max_by("facts", own).alias("facts"),
        F.max_by("facts", F.when(F.col("context"), newest)).alias("facts_before"),
        F.collect_list(F.when(~F.col("context"), F.struct("fetched_at", "facts"))).alias("rows"),
    )
    changed = by_hour.where(
        (F.size("rows") > 0) & ~F.col("facts").eqNullSafe(F.col("facts_before"))
    )
    # An hour may begin with the facts before: the change is as old as the first row with the new.
    matching_rows = F.filter("rows", lambda row: row["facts"].eqNullSafe(F.col("facts")))
    seen_at = F.array_min(F.transform(matching_rows, lambda row: row["fetched_at"]))
    return (
        changed.withColumn("seen_at", seen_at)
        .select("slot", "slot_start", "stationcode", "seen_at", "facts.*")
        .repartition("slot")
    )


def neighbourhood(code: Column, area: Column, insee: Column) -> Column:
    """Return commune, or `Paris 1` to `Paris 20`; what is unknown is named so, never null (V7).

    The publisher's word goes first: an arrondissement in its area or INSEE code, then another
    commune than Paris, then the prefix of the station's code.
    """
    number = F.coalesce(_published_arrondissement(area, insee), _code_arrondissement(code))
    paris = F.when(number.isNull(), "Paris, arrondissement not known").otherwise(
        F.concat(F.lit("Paris "), number)
    )
    outside = F.when(number.isNull(), "not known").otherwise(paris)
    return F.when(area.isNull(), outside).when(_is_paris(area), paris).otherwise(area)


def _place_columns(code: Column, area: Column, insee: Column) -> dict[str, Column]:
    """Say where a station lies, and whether its code says the same."""
    by_code = _code_arrondissement(code)
    published = _published_arrondissement(area, insee)
    is_published = published.isNotNull() | (area.isNotNull() & ~_is_paris(area))
    by = F.when(is_published, "area").when(by_code.isNotNull(), "code").otherwise("nothing")
    differs = (published != by_code) | (_is_paris(area) != by_code.isNotNull())
    return {
        "neighbourhood": neighbourhood(code, area, insee),
        "neighbourhood_from": by,
        "area_disagrees": F.when(area.isNotNull(), F.coalesce(differs, F.lit(False))),
    }


def _is_paris(area: Column) -> Column:
    """Check whether a commune is Paris, with an arrondissement or without."""
    return area.rlike(r"(?i)^\s*paris\b")


def _published_arrondissement(area: Column, insee: Column) -> Column:
    """Return the arrondissement that `Paris 16ème` or the INSEE code 75116 names; else null."""
    by_name = F.regexp_extract(area, r"(?i)^\s*paris\D{1,3}0?([1-9]|1[0-9]|20)(?![0-9])", 1)
    by_insee = F.regexp_extract(insee, r"^751(0[1-9]|1[0-9]|20)$", 1)
    number = F.when(by_name != "", by_name).when(by_insee != "", by_insee)
    return F.regexp_replace(number, "^0", "")


def _code_arrondissement(code: Column) -> Column:
    """Return the arrondissement that a station's code begins with: 16107 is in the 16th.

    9020 is in the 9th. Codes of other communes begin with 21 or more.
    """
    prefix = F.regexp_extract(code, r"^([1-9]|1[0-9]|20)[0-9]{3}(?![0-9])", 1)
    return F.when(prefix != "", prefix)


def _order_reports(reports: DataFrame) -> DataFrame:
    """Return each report of a station once per hour, with the next one and the one before.

    A report that is also in the hour before is the same report, with the counts fetched last.
    Reports ahead of their fetch are ordered apart from the others: their clock is wrong.
    """
    same = Window.partitionBy("slot", "stationcode", "duedate")
    newest = same.orderBy(F.col("run").desc(), F.col("line"))
    once = (
        reports.withColumns(
            {
                "rank": F.row_number().over(newest),
                "is_new": ~F.max("context").over(same),
                "report_ms": F.unix_millis("duedate"),
                "start_ms": F.unix_millis("slot_start"),
            }
        )
        .where(F.col("rank") == 1)
        .drop("rank")
    )
    line = Window.partitionBy("slot", "stationcode", "is_ahead").orderBy("report_ms", "duedate")
    before = {f"{name}_before": F.lag(name).over(line) for name in ("mechanical", "ebike")}
    return once.withColumns(
        {
            "next_ms": F.lead("report_ms").over(line),
            "before_ms": F.lag("report_ms").over(line),
            **before,
        }
    )


def _with_hold_time(ordered: DataFrame) -> DataFrame:
    """Add the milliseconds of the hour for which a report holds, and whether it is a pair.

    A report that is ahead of its fetch holds for none: nobody knows when it was true.
    """
    begin = F.greatest("report_ms", "start_ms")
    end = F.least("next_ms", F.col("start_ms") + HOUR_MS, F.col("report_ms") + HOLDS_MS)
    is_whole = ~F.col("is_ahead")
    for name in COUNTS:
        is_whole &= F.col(name).isNotNull()
    near = F.col("report_ms") - F.col("before_ms") <= APART_MS
    return ordered.withColumns(
        {
            "held_ms": F.when(is_whole, F.greatest(end - begin, F.lit(0))).otherwise(0),
            "is_pair": F.col("is_new") & ~F.col("is_ahead") & near
            & _decrease("mechanical").isNotNull() & _decrease("ebike").isNotNull(),
        }
    )  # fmt: skip


def _departures_and_arrivals() -> tuple[Column, Column]:
    """Sum decreases and increases of each kind, so that a swap of kinds counts as both."""
    decreases = [_decrease("mechanical"), _decrease("ebike")]
    down = sum((F.greatest(decrease, F.lit(0)) for decrease in decreases), F.lit(0))
    up = sum((F.greatest(-decrease, F.lit(0)) for decrease in decreases), F.lit(0))
    is_pair = F.col("is_pair")
    return (
        batch.sum_or_zero(F.when(is_pair, down)).alias("departures"),
        batch.sum_or_zero(F.when(is_pair, up)).alias("arrivals"),
    )


def _decrease(kind: str) -> Column:
    """Count by how many bikes of a kind a report is below the one before."""
    return F.col(f"{kind}_before") - F.col(kind)


if __name__ == "__main__":
    batch.run(transform)
