"""The files of lake tables that one attempt at a manifest writes, and the rows in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batch_files import Files, slot_of, source_file, without_scheme
from batch_manifest import BatchError, Manifest
from batch_typing import SPARK_TYPES
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812


def write_tables(manifest: Manifest, attempt: int, frames: Mapping[str, DataFrame]) -> None:
    """Write every table that has a frame; raise BatchError where they are not the contracts'."""
    _require_tables(manifest, set(frames))
    for table in manifest.tables:
        if table["name"] in frames:
            folder = manifest.table_uri(table["name"], attempt)
            _write(table, frames[table["name"]], folder)


def list_written(spark: SparkSession, manifest: Manifest, attempt: int) -> list[dict[str, Any]]:
    """List rows and files of every slot × table, read back from the files; zeros included."""
    rows = _rows_by_file(spark, manifest, attempt)
    written = []
    for table in manifest.tables:
        folder = manifest.table_uri(table["name"], attempt)
        path = without_scheme(folder)
        in_table = [file for file in sorted(rows) if file.startswith(f"{path}/")]
        for slot in manifest.slots_of(table["dataset"]):
            files = [file for file in in_table if slot_of(file) == slot["slot"]]
            written.append(
                {
                    "table": table["name"],
                    "dataset": table["dataset"],
                    "slot": slot["slot"],
                    "rows": sum(rows[file] for file in files),
                    "files": [folder + file.removeprefix(path) for file in files],
                }
            )
    return written


def _require_tables(manifest: Manifest, names: set[str]) -> None:
    """Raise BatchError where the transform returns a table too many, or lacks one."""
    declared = {table["name"] for table in manifest.tables}
    expected = {name for name in declared if not name.endswith("_rejects")}
    if names - declared or expected - names:
        raise BatchError(
            f"{manifest.system}: the transform gives {', '.join(sorted(names))}; "
            f"the contracts' tables are {', '.join(sorted(expected))}"
        )


def _write(table: dict[str, Any], frame: DataFrame, folder: str) -> None:
    """Write a table's rows below a folder, by slot, in the declared types."""
    missing = [c["name"] for c in table["columns"] if c["name"] not in frame.columns]
    if missing or "slot" not in frame.columns:
        raise BatchError(
            f"{table['name']}: the transform gives no column {', '.join(missing) or 'slot'}; "
            f"it gives {', '.join(frame.columns)}"
        )
    own = frame.where(~F.col("context")) if "context" in frame.columns else frame
    columns = [
        F.col(c["name"]).cast(SPARK_TYPES[c["type"]]).alias(c["name"]) for c in table["columns"]
    ]
    (
        own.select(*columns, "slot")
        .write.partitionBy("slot")
        .option("compression", "zstd")
        .option("mapreduce.fileoutputcommitter.algorithm.version", "2")
        .option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
        .parquet(folder)
    )


def _rows_by_file(spark: SparkSession, manifest: Manifest, attempt: int) -> dict[str, int]:
    """Count the rows of each file that this attempt wrote, from the files' own footers."""
    folders = [manifest.table_uri(table["name"], attempt) for table in manifest.tables]
    existing = [folder for folder in folders if Files(spark).exists(folder)]
    if not existing:
        return {}
    reader = spark.read.schema("slot_start STRING").option("recursiveFileLookup", "true")
    counts = reader.parquet(*existing).groupBy(source_file().alias("file")).count()
    return {row["file"]: row["count"] for row in counts.collect()}
