"""A harbour's gauges: each report with the rise since the one before, and the range of each hour."""

from __future__ import annotations

import batch
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812


def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
    """The lake's tables; the rows of the hour before are there to reckon the first rise from."""
    reports = frames["harbour_gauges"]
    in_order = Window.partitionBy("slot", "gauge").orderBy("reported_at", "run")
    rise = F.col("level_cm") - F.lag("level_cm").over(in_order)
    ranges = (
        reports.where(~F.col("context"))
        .groupBy("slot", "slot_start", "gauge")
        .agg(F.min("level_cm").alias("lowest_cm"), F.max("level_cm").alias("highest_cm"))
    )
    return {"gauge_readings": reports.withColumn("rise_cm", rise), "gauge_ranges": ranges}


if __name__ == "__main__":
    batch.run(transform)
