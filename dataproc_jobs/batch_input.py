"""The rows of a manifest's parts, in the types of their contract."""

from __future__ import annotations

import json

from batch_files import slot_of, source_file, without_scheme
from batch_manifest import BatchError, Manifest
from batch_typing import SPARK_TYPES, parse_columns
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

_PART_FIELDS = "file STRING, slot STRING, slot_start STRING, row_slot STRING, context BOOLEAN"


def read_rows(spark: SparkSession, manifest: Manifest, dataset: str) -> DataFrame:
    """Read the rows of a data set, typed, with `_reason` for those that are rejected."""
    return parse_columns(_read_text(spark, manifest, dataset), manifest.contract(dataset))


def read_rejects(spark: SparkSession, manifest: Manifest, dataset: str) -> DataFrame:
    """Read the rejected rows of a data set, each as JSON of its texts.

    This reads the parts a second time, so that accepted rows need not carry their text: `split`
    leaves next to no rows to reject.
    """
    contract = manifest.contract(dataset)
    text = F.struct(*(column["name"] for column in contract["columns"]))
    frame = parse_columns(_read_text(spark, manifest, dataset).withColumn("_row", text), contract)
    return frame.where(F.col("_reason").isNotNull() & ~F.col("context")).select(
        "slot",
        "slot_start",
        "run",
        "line",
        F.col("_reason").alias("reason"),
        F.to_json("_row").alias("row"),
    )


def _read_text(spark: SparkSession, manifest: Manifest, dataset: str) -> DataFrame:
    """Read the parts of a data set as text, each row once for each slot that needs its part."""
    slots = manifest.slots_of(dataset)
    uris = {uri for slot in slots for uri in (*slot["parts"], *slot.get("context", ()))}
    if not uris:
        raise BatchError(f"{dataset}: the manifest's slots have no parts")
    columns = manifest.contract(dataset)["columns"]
    schema = ", ".join(f"`{column['name']}` STRING" for column in columns)
    rows = (
        spark.read.schema(f"{schema}, run STRING, line BIGINT")
        .option("recursiveFileLookup", "true")
        .parquet(*sorted(uris))
        .withColumn("file", source_file())
    )
    slots_by_file = F.broadcast(_slots_by_file(spark, manifest, dataset))
    return rows.join(slots_by_file, "file", "inner").drop("file")


def _slots_by_file(spark: SparkSession, manifest: Manifest, dataset: str) -> DataFrame:
    """List for each part the slots that read it, as a part of their own or as context."""
    columns = manifest.base_table(dataset)["columns"]
    kind = next(column["type"] for column in columns if column["name"] == "slot_start")
    parts = [
        {
            "file": without_scheme(uri), "slot": slot["slot"], "slot_start": slot["slot_start"],
            "row_slot": slot_of(uri), "context": context,
        }
        for slot in manifest.slots_of(dataset)
        for context, uris in ((False, slot["parts"]), (True, slot.get("context", ())))
        for uri in uris
    ]  # fmt: skip
    # As JSON, because a frame from a Python list starts Python workers on every executor.
    rows = F.from_json(F.lit(json.dumps(parts)), f"ARRAY<STRUCT<{_PART_FIELDS}>>")
    slot_start = F.col("slot_start").cast(SPARK_TYPES[kind])
    return spark.range(1).select(F.inline(rows)).withColumn("slot_start", slot_start)
