"""What a user would pick instead of the shipped split, each run as a process of its own.

`python -m bench.ways NAME EXPORT FOLDER` reads an export in either layout and writes a part for each
month into the folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

LABEL, API = "Date heure début", "datetime"
"""The names of the column that tells when, in the two layouts."""


def pandas(export: Path, folder: Path, time: str) -> None:
    """As the original does: the whole file in memory, a CSV file for each month of the start."""
    import pandas as pd

    table = pd.read_csv(export, sep=";", low_memory=False)
    table[time] = pd.to_datetime(table[time], errors="coerce", utc=True)
    table = table.dropna(subset=[time])
    months = table[time].dt.strftime("%Y-%m")
    for month, rows in table.groupby(months):
        rows.to_csv(folder / f"usage_{month}.csv", sep=";", index=False)


def duckdb(export: Path, folder: Path, time: str) -> None:
    """`COPY … PARTITION_BY` to Parquet at a limit of 1 GB."""
    import duckdb as db

    with db.connect(
        config={"memory_limit": "1GB", "temp_directory": str(folder / "scratch")}
    ) as to:
        to.execute(
            f"""
            COPY (
              SELECT *, {_month_sql(time)} AS slot
              FROM read_csv($export, delim = ';', quote = '"', header = true, all_varchar = true)
            ) TO '{folder / "parts"}' (FORMAT parquet, PARTITION_BY (slot), COMPRESSION zstd)
            """,  # noqa: S608 - a folder of this program's own
            {"export": str(export)},
        )


def polars(export: Path, folder: Path, time: str) -> None:
    """A partitioned `sink_parquet` of a scan."""
    import polars as pl

    start = pl.col(time)
    if time == API:
        local = start.str.to_datetime(time_zone="UTC").dt.convert_time_zone("Europe/Paris")
        month = local.dt.strftime("%Y-%m")
    else:
        month = start.str.slice(0, 7)
    table = pl.scan_csv(export, separator=";", infer_schema=False).with_columns(slot=month)
    by_slot = pl.PartitionBy(folder / "parts", key="slot", include_key=False)
    table.sink_parquet(by_slot, compression="zstd", mkdir=True)


WAYS: dict[str, Callable[[Path, Path, str], None]] = {
    "pandas": pandas,
    "duckdb": duckdb,
    "polars": polars,
}
"""By name, what is measured beside the shipped split."""

LEAVES_OUT = {
    "pandas": "bad starts dropped silently, months in UTC, no lines, no rejects, no revision",
    "duckdb": "label layout: the month as written, no check of any value, no lines, no rejects, no revision",
    "polars": "label layout: the month as written, no check of any value, no lines, no rejects, no revision",
}
"""What each of them does not do that the shipped split does."""


def _month_sql(time: str) -> str:
    """The local month of the start: as written, or converted from UTC."""
    if time == LABEL:
        return f'substr("{time}", 1, 7)'
    return f"""strftime(timezone('Europe/Paris', "{time}"::TIMESTAMPTZ), '%Y-%m')"""


def layout_of(export: Path) -> str:
    """The name of the column that tells when in an export."""
    with export.open(encoding="utf-8") as file:
        return LABEL if LABEL in file.readline() else API


if __name__ == "__main__":
    source, target = Path(sys.argv[2]), Path(sys.argv[3])
    WAYS[sys.argv[1]](source, target, layout_of(source))
