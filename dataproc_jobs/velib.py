"""Vélib': the reports of the stations, as they were fetched."""

from __future__ import annotations

import batch
from pyspark.sql import DataFrame


def transform(frames: dict[str, DataFrame], _: batch.Context) -> dict[str, DataFrame]:
    """The lake's tables from the typed rows of the data sets that the manifest has."""
    tables = {}
    if "velib_stations" in frames:
        tables["velib_observations"] = frames["velib_stations"]
    return tables


if __name__ == "__main__":
    batch.run(transform)
