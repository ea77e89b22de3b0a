"""A ferry line's taps: each with the time from the tap to its message."""

from __future__ import annotations

import batch
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812


def transform(frames: dict[str, DataFrame], context: batch.Context) -> dict[str, DataFrame]:
    """The lake's table."""
    del context  # the frames say all
    taps = frames["ferry_taps"]
    delay = F.unix_timestamp("published_at") - F.unix_timestamp("tapped_at")
    return {"ferry_rides": taps.withColumn("delay_s", delay)}


if __name__ == "__main__":
    batch.run(transform)
