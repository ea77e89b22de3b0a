"""The Spark job of the earlier dashboard, rebuilt from its description: CSV in and out.

`original_job.py MONTHLY OUTPUT` reads every monthly file as text and writes `cleaned` and `agg`
below OUTPUT, one CSV file each. Its column names were cleaned before; here they are the export's.
"""

from __future__ import annotations

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

_WEEKEND = ("Saturday", "Sunday")


def run(monthly: str, output: str) -> None:
    """Read all months, write both tables; times are UTC, as in the container it ran in (W7)."""
    spark = SparkSession.builder.getOrCreate()
    rows = spark.read.option("header", "true").option("sep", ";").csv(f"{monthly}/*.csv")
    sessions = cleaned(rows)
    _write(sessions, f"{output}/cleaned")
    _write(by_day(sessions), f"{output}/agg")


def cleaned(rows: DataFrame) -> DataFrame:
    """Return all columns of the files, and six derived ones."""
    return (
        rows.withColumn("start_time", F.to_timestamp("Date heure début"))
        .withColumn("day", F.date_format("start_time", "yyyy-MM-dd"))
        .withColumn("weekday_name", F.date_format("start_time", "EEEE"))
        .withColumn("is_weekend", F.col("weekday_name").isin(*_WEEKEND))
        .withColumn("district", F.col("Code postal").cast("string"))
        .withColumn("session_minutes", F.col("Temps de sessions en minutes").cast("double"))
    )


def by_day(sessions: DataFrame) -> DataFrame:
    """Sum by day and postal code over the rows whose postal code has five digits."""
    minutes = F.col("session_minutes")
    return (
        sessions.where(F.col("district").rlike("^[0-9]{5}$"))
        .groupBy("day", "is_weekend", "weekday_name", "district")
        .agg(
            F.count("*").alias("total_sessions"),
            F.sum(minutes).alias("total_duration_minutes"),
            F.approx_count_distinct("Code Site").alias("unique_sites"),
            F.avg(minutes).cast("float").alias("average_duration_minutes"),
        )
    )


def _write(table: DataFrame, folder: str) -> None:
    """Write one CSV file and overwrite an earlier one."""
    one = table.coalesce(1).write.mode("overwrite")
    one.option("header", "true").option("sep", ";").csv(folder)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
