"""The chain of the earlier dashboard, rebuilt: pandas split by month, Spark job, CSV.

Its download, its upload to the bucket and its views over external tables are left out.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.spent import Spent, measured
from local_cloud.dataproc.session import SparkServer
from local_cloud.dataproc.worker import BatchRequest

_HERE = Path(__file__).parent
_NOWHERE = "http://127.0.0.1:9"
"""The session's `gs://`, which the job does not use."""


class ChainFailedError(RuntimeError):
    """A chain did not finish: the text names the step and the cause."""


@dataclass(frozen=True)
class Costs:
    """Cost of one run of the original's chain, and the bytes it wrote for its report."""

    split: Spent
    spark: Spent
    written_bytes: int


def session(folder: Path, cache: Path) -> tuple[SparkServer, Spent]:
    """Start a warm session of the local cloud; return it with the cost of its start."""
    server = SparkServer(_NOWHERE, folder / "spark", cache, long_batches=True)
    with measured() as spent:
        server.start()
        server.wait_ready()
        idle = folder / "idle.py"
        idle.write_text('"""Nothing: it waits for the warm-up."""\n', encoding="utf-8")
        server.run(BatchRequest("idle", idle.as_uri()))
    return server, spent


def run(export: Path, folder: Path, server: SparkServer) -> Costs:
    """Run the whole chain on an export from the beginning, or raise ChainFailedError."""
    monthly, output = folder / "monthly", folder / "output"
    monthly.mkdir(parents=True, exist_ok=True)
    with measured() as split:
        subprocess.run(
            [sys.executable, "-m", "bench.ways", "pandas", str(export), str(monthly)],
            check=True, cwd=_HERE.parent, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    job = (_HERE / "original_job.py").as_uri()
    with measured() as spark:
        ended = server.run(BatchRequest("original", job, (), (monthly.as_uri(), output.as_uri())))
    if ended.state != "SUCCEEDED":
        raise ChainFailedError(f"the original's Spark job: {ended.message}")
    written = sum(path.stat().st_size for path in output.rglob("part-*.csv"))
    return Costs(split, spark, written)


def rows_by_month(folder: Path) -> Counter[str]:
    """Count the sessions of the table `cleaned` by month (UTC)."""
    months: Counter[str] = Counter()
    for path in (folder / "output" / "cleaned").glob("part-*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            months.update(
                row["day"][:7] for row in csv.DictReader(file, delimiter=";", escapechar="\\")
            )
    return months
