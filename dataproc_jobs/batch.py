"""What the author of a Spark job writes against: a manifest in, lake tables and a receipt out.

A system's job is one file that defines a transform and ends with `batch.run(transform)`. The
manifest holds all that the job needs. Manifest and receipt go through Hadoop's FileSystem, so that
a batch needs nothing but Spark 3.5.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from batch_dedupe import accepted_rows, classify_rows
from batch_files import Files
from batch_input import read_rejects, read_rows
from batch_manifest import BatchError, Manifest
from batch_output import list_written, write_tables
from batch_report import (
    RowOutcome,
    build_receipt,
    count_outcomes,
    count_slots,
    datasets_with_rejects,
)
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

__all__ = ["BatchError", "Context", "Transform", "count_where", "run", "sum_or_zero"]

RESULT_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""Settings that the results depend on, whatever the cluster's defaults."""

BASE_CONF = {
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.sql.files.maxPartitionBytes": "32m",
}
"""Settings for the speed of every batch.

Java never compiles a method of more than 8,000 bytes, and typing a wide row makes such methods. Rows
are cached for a minute: compressing them costs more than spilling them. Parts are small for the work
that their rows are: the default of 128 MB would leave most cores without a task.
"""

SMALL_BYTES = 16_000_000
"""Size of a manifest's parts below which planning and compiling cost more than the work."""

SMALL_BATCH_CONF = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
}
"""Settings of a small batch: half the Spark jobs, a third less CPU."""


@dataclass(frozen=True)
class Context:
    """What a transform may use besides its frames.

    Attributes:
        spark: The session of the batch.
        manifest: The manifest's JSON document: `system`, `slots`, `tables` and `contracts`.
    """

    spark: SparkSession
    manifest: dict[str, Any]

    def zone(self, dataset: str) -> str:
        """Return the time zone in a data set's contract.

        Args:
            dataset: A data set of the manifest, such as `lyon_trees`.

        Returns:
            An IANA name, such as `Europe/Paris`.

        Raises:
            KeyError: The manifest has no such data set.
        """
        return str(self.manifest["contracts"][dataset]["zone"])


Transform = Callable[[dict[str, DataFrame], Context], dict[str, DataFrame]]
"""A function from typed rows by data set to rows by lake table.

The first argument has a frame for each data set of the manifest, which need not be all of the
system. A frame has one row per accepted row, with the contract's columns in their types and:

- `slot` (string): the slot that the row is read for, such as `2019-09`.
- `slot_start` (date or timestamp, as in the base table): the start of that slot.
- `run` (string): the run that fetched the row, such as `20250605T021000Z`.
- `line` (bigint): its line in the publisher's file.
- `row_slot` (string): the slot that the row itself belongs to.
- `context` (boolean): whether the row is of a slot before, which the contract's lookback adds.

The result has a frame for each lake table of the frames' data sets, apart from the tables of rejects. A
frame needs `slot`, `slot_start` and every declared column; columns are cast to the declared types.
A base table has exactly the rows of its data set. Rows whose `context` is true are not written.
"""


@dataclass(frozen=True)
class Arguments:
    """What a batch is started with."""

    manifest: str
    attempt: int
    batch: str


def run(transform: Transform, arguments: list[str] | None = None) -> None:
    """Run a transform on the manifest of the command line; write tables, then the receipt.

    Does nothing if the manifest has a receipt already.

    Args:
        transform: The system's transform, called once.
        arguments: The command line without the program's name; that of the process by default:
            `--manifest URI --attempt NUMBER --batch ID`.

    Raises:
        BatchError: The manifest is of a newer format, the tables or columns are not those that the
            contracts declare, or the rows of a slot do not add up: rows in = rows of the base table
            + rejected + duplicates. No receipt is written, so that nothing is loaded.
    """
    begin = time.monotonic()
    options = _parse_arguments(sys.argv[1:] if arguments is None else arguments)
    spark = SparkSession.builder.getOrCreate()
    files = Files(spark)
    manifest = Manifest.parse(files.read(options.manifest))
    if files.exists(manifest.receipt_uri):
        return
    with _session_conf(spark, _conf(manifest)):
        outcomes = _write_tables(spark, manifest, options.attempt, transform)
        written = list_written(spark, manifest, options.attempt)
        counts = count_slots(manifest, written, outcomes)
    receipt = build_receipt(
        manifest,
        batch=options.batch,
        attempt=options.attempt,
        seconds=time.monotonic() - begin,
        written=written,
        counts=counts,
    )
    files.create(manifest.receipt_uri, json.dumps(receipt, ensure_ascii=False))


def count_where(condition: Column) -> Column:
    """Count the rows for which a condition holds.

    Args:
        condition: A boolean column; null counts as false.

    Returns:
        An aggregate of type bigint, 0 over no rows.
    """
    return F.count(F.when(condition, 1))


def sum_or_zero(values: Column) -> Column:
    """Sum a column, so that parts add up: 0 where SUM would be null.

    Args:
        values: A numeric column; nulls are left out.

    Returns:
        An aggregate in the unit of the values, 0 over no rows or nulls alone.
    """
    return F.coalesce(F.sum(values), F.lit(0))


def _parse_arguments(arguments: list[str]) -> Arguments:
    parser = argparse.ArgumentParser(description="Work on one manifest.")
    parser.add_argument("--manifest", required=True, help="gs:// URI of the manifest")
    parser.add_argument("--attempt", required=True, type=int, help="which attempt, from 1")
    parser.add_argument("--batch", required=True, help="id of the Dataproc batch")
    return Arguments(**vars(parser.parse_args(arguments)))


def _conf(manifest: Manifest) -> dict[str, str]:
    small = SMALL_BATCH_CONF if manifest.bytes < SMALL_BYTES else {}
    return RESULT_CONF | BASE_CONF | small


@contextmanager
def _session_conf(spark: SparkSession, conf: dict[str, str]) -> Iterator[None]:
    """Set the session's settings; at the end restore those it had, and empty its cache."""
    before = {name: spark.conf.get(name) for name in conf}
    for name, value in conf.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        spark.catalog.clearCache()
        for name, previous in before.items():
            if previous is not None:
                spark.conf.set(name, previous)


def _write_tables(
    spark: SparkSession, manifest: Manifest, attempt: int, transform: Transform
) -> list[RowOutcome]:
    """Write every table, and return how many rows had which outcome.

    Few Spark jobs: one reads and classifies the rows, and one writes each table.
    """
    classified = {
        dataset: classify_rows(read_rows(spark, manifest, dataset), manifest, dataset)
        for dataset in manifest.datasets
    }
    outcomes = count_outcomes(classified)
    frames = {dataset: accepted_rows(frame) for dataset, frame in classified.items()}
    tables = dict(transform(frames, Context(spark, manifest.document)))
    for dataset in sorted(datasets_with_rejects(outcomes)):
        tables[f"{dataset}_rejects"] = read_rejects(spark, manifest, dataset)
    write_tables(manifest, attempt, tables)
    return outcomes
