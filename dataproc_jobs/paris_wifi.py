"""Paris Wi-Fi: sites as listed on each day, and sessions by the month they start in."""

from __future__ import annotations

import batch
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

OPEN = "Opérationnel"
"""The state of a site in operation, as the city writes it."""


def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
    """The lake's tables from the typed rows of both data sets, those that the manifest has."""
    tables = {}
    if "paris_wifi_sites" in frames:
        tables["wifi_sites"] = sites(frames["paris_wifi_sites"])
    if "paris_wifi_usage" in frames:
        zone = context.zone("paris_wifi_usage")
        tables["wifi_sessions"] = sessions(frames["paris_wifi_usage"], zone)
    return tables


def sites(listed: DataFrame) -> DataFrame:
    """One row per listed site: postal code of five digits, district, whether it is open."""
    return listed.withColumns(
        {
            "postal_code": postal_code(F.col("postal_code")),
            "district": district(F.col("postal_code")),
            "is_open": F.col("state") == OPEN,
        }
    )


def sessions(used: DataFrame, zone: str) -> DataFrame:
    """One row per session: its day and hour in `zone` (W7), postal code and district (W8)."""
    local = F.from_utc_timestamp("started_at", zone)
    return used.withColumns(
        {
            "local_day": F.to_date(local),
            "local_hour": F.hour(local).cast("bigint"),
            "postal_code": postal_code(F.col("postal_code")),
            "district": district(F.col("postal_code")),
        }
    )


def postal_code(given: Column) -> Column:
    """Five digits, null where there are not five; `75001.0` of a spreadsheet is `75001` (W8)."""
    clean = F.regexp_replace(F.trim(given), r"\.0+$", "")
    return F.when(clean.rlike(r"^[0-9]{5}$"), clean)


def district(given: Column) -> Column:
    """Arrondissement of Paris, 1 to 20, of a postal code: 75116 is the 16th; null outside Paris."""
    code = postal_code(given)
    number = F.substring(code, 4, 2).cast("bigint")
    inside = code.rlike("^750(0[1-9]|1[0-9]|20)$") | (code == "75116")
    return F.when(inside, number)


if __name__ == "__main__":
    batch.run(transform)
