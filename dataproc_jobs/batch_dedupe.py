"""The outcome of every row: accepted, duplicate, revised or rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batch_manifest import Manifest
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F  # noqa: N812

ROWS_PER_FILE = 4_000_000
"""Rows of a slot above which its rows are spread over several files."""

_NOT_VALUES = ("slot", "slot_start", "row_slot", "context", "run", "line", "_reason")


def classify_rows(frame: DataFrame, manifest: Manifest, dataset: str) -> DataFrame:
    """Add `_outcome` to the typed rows of a data set, and cache them in memory or on disk."""
    contract = manifest.contract(dataset)
    most = max(int(slot.get("rows_in", 0)) for slot in manifest.slots_of(dataset))
    spread, revised_by = 1 + most // ROWS_PER_FILE, contract.get("revised_by", [])
    classified = mark_duplicates(frame, contract["key"], spread, revised_by)
    return classified.persist(StorageLevel.MEMORY_AND_DISK)


def accepted_rows(classified: DataFrame) -> DataFrame:
    """Return the rows that a transform reads."""
    return classified.where(F.col("_outcome") == "accepted").drop("_outcome", "_reason")


def mark_duplicates(
    frame: DataFrame, key: list[str], spread: int = 1, revised_by: Sequence[str] = ()
) -> DataFrame:
    """Add `_outcome` to typed rows: `accepted`, `duplicate`, `revised` or `rejected`.

    Of the rows of a slot with the same key, the newest run's is accepted, and of one run the first
    line's. The others are duplicates, or revised where a value differs from the accepted row's: any
    value, or one of the columns `revised_by`. The rows of a slot go over `spread` tasks.
    """
    partition = ["slot", "row_slot", "_spread"]
    same_key: list[Any] = [*partition, F.col("_reason").isNotNull().alias("_bad"), *key]
    newest = Window.partitionBy(*same_key).orderBy(
        F.col("run").desc(), F.col("line"), F.col("_content")
    )
    outcome = (
        F.when(F.col("_reason").isNotNull(), "rejected")
        .when(F.row_number().over(newest) == 1, "accepted")
        .when(F.first("_compared").over(newest) == F.col("_compared"), "duplicate")
        .otherwise("revised")
    )
    content = F.xxhash64(*(name for name in frame.columns if name not in _NOT_VALUES))
    helpers = {
        "_content": content,
        "_compared": _hash_with_nulls(revised_by) if revised_by else content,
        "_spread": _spread(key, spread),
    }
    return (
        frame.withColumns(helpers)
        .repartition(*partition)
        .withColumn("_outcome", outcome)
        .drop(*helpers)
    )


def _hash_with_nulls(names: Sequence[str]) -> Column:
    """Hash columns and which of them are null: the hash itself passes over nulls."""
    return F.xxhash64(*map(F.col, names), *(F.isnull(name) for name in names))


def _spread(key: list[str], spread: int) -> Column:
    """Calculate which task a row goes to, from its key, or from its line if it is rejected."""
    key_hash = F.when(F.col("_reason").isNull(), F.hash(*key))
    return F.pmod(F.coalesce(key_hash, F.col("line").cast("int")), F.lit(spread))
