"""The shipped split and its common alternatives, each run as a process of its own.

`python -m bench.ways NAME EXPORT FOLDER` reads an export in either layout, writes a part for each
month into the folder, and prints its seconds as JSON. Modules are imported before the clock starts.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

LABEL, API = "Date heure début", "datetime"
"""The names of the time column in the two layouts."""


def shipped(export: Path, folder: Path, start: str) -> Callable[[], None]:
    """Prepare the shipped split, from a local file to local files."""
    from bench.folder_bucket import FolderBucket
    from bench.shipped import OBJECT, claim_of, split
    from functions.core.clients import Buckets

    del start
    buckets = [
        cast("Any", FolderBucket(folder / zone)) for zone in ("raw", "landing", "quarantine")
    ]
    raw = folder / "raw" / OBJECT
    raw.parent.mkdir(parents=True)
    os.link(export, raw)
    claim = claim_of(export, 1)
    return lambda: print(split(claim, Buckets(*buckets)).rows_in, file=sys.stderr)


def function(export: Path, folder: Path, start: str) -> Callable[[], None]:
    """Prepare the shipped split over the local object store, which runs at the same time."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    from bench.shipped import OBJECT, claim_of, split
    from functions.core.clients import Buckets
    from local_cloud.ports import free_port
    from local_cloud.processes import Supervisor
    from local_cloud.storage.server import StorageServer

    del start
    supervisor, port = Supervisor(folder), free_port()
    server = StorageServer(supervisor, port, gate_url=f"http://127.0.0.1:{port}")
    server.start()
    server.wait_ready()
    client = storage.Client(
        "demo", cast("Any", AnonymousCredentials)(), client_options={"api_endpoint": server.url}
    )
    for zone in ("raw", "landing", "quarantine"):
        server.create_bucket(zone)
    buckets = [client.bucket(zone) for zone in ("raw", "landing", "quarantine")]
    blob = buckets[0].blob(OBJECT, chunk_size=32 << 20)
    blob.upload_from_filename(str(export))
    claim = claim_of(export, int(blob.generation))

    def _timed() -> None:
        with closing(_Stop(supervisor.stop)):
            split(claim, Buckets(*buckets))

    return _timed


def pandas(export: Path, folder: Path, start: str) -> Callable[[], None]:
    """Prepare the original's way: the whole file in memory, a CSV file for each month."""
    pd = importlib.import_module("pandas")

    def _timed() -> None:
        table = pd.read_csv(export, sep=";", low_memory=False)
        table[start] = pd.to_datetime(table[start], errors="coerce", utc=True)
        table = table.dropna(subset=[start])
        for month, rows in table.groupby(table[start].dt.strftime("%Y-%m")):
            rows.to_csv(folder / f"usage_{month}.csv", sep=";", index=False)

    return _timed


def duckdb(export: Path, folder: Path, start: str) -> Callable[[], None]:
    """Prepare a `COPY … PARTITION_BY` to Parquet at a limit of 1 GB."""
    db = importlib.import_module("duckdb")
    month = f'substr("{start}", 1, 7)'
    if start == API:
        month = f"""strftime(timezone('Europe/Paris', "{start}"::TIMESTAMPTZ), '%Y-%m')"""
    statement = f"""
        COPY (
          SELECT *, {month} AS slot
          FROM read_csv('{export}', delim = ';', quote = '"', header = true, all_varchar = true)
        ) TO '{folder / "parts"}' (FORMAT parquet, PARTITION_BY (slot), COMPRESSION zstd)
    """  # noqa: S608 - files of this program's own

    def _timed() -> None:
        config = {"memory_limit": "1GB", "temp_directory": str(folder / "scratch")}
        with db.connect(config=config) as connection:
            connection.execute(statement)

    return _timed


def polars(export: Path, folder: Path, start: str) -> Callable[[], None]:
    """Prepare a partitioned `sink_parquet` of a scan."""
    pl = importlib.import_module("polars")
    moment = pl.col(start)
    month = moment.str.slice(0, 7)
    if start == API:
        local = moment.str.to_datetime(time_zone="UTC").dt.convert_time_zone("Europe/Paris")
        month = local.dt.strftime("%Y-%m")

    def _timed() -> None:
        table = pl.scan_csv(export, separator=";", infer_schema=False).with_columns(slot=month)
        by_slot = pl.PartitionBy(folder / "parts", key="slot", include_key=False)
        table.sink_parquet(by_slot, compression="zstd", mkdir=True)

    return _timed


@dataclass(frozen=True)
class Way:
    """One way to split an export by month."""

    prepared: Callable[[Path, Path, str], Callable[[], None]]
    """Imports what it needs; returns the callable to time."""
    leaves_out: str
    """Work of the shipped split that this way does not do."""


_UNCHECKED = (
    "the month as written (converted in the API layout), no check, line, reject or revision"
)
WAYS = {
    "shipped": Way(shipped, "nothing"),
    "pandas": Way(
        pandas, "bad starts dropped silently, months in UTC, no line, reject or revision"
    ),
    "duckdb": Way(duckdb, _UNCHECKED),
    "polars": Way(polars, _UNCHECKED),
    "function": Way(function, "nothing; over the object store's stand-in"),
}
"""All ways by name."""


@dataclass(frozen=True)
class _Stop:
    close: Callable[[], None]


def main(name: str, export: Path, folder: Path) -> None:
    """Run one way and print its seconds, its own processor seconds and its own peak memory."""
    with export.open(encoding="utf-8") as file:
        start = LABEL if LABEL in file.readline() else API
    timed = WAYS[name].prepared(export, folder, start)
    wall, cpu = time.perf_counter(), time.process_time()
    timed()
    figures = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "own_peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
