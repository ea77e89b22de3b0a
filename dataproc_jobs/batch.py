"""The frame of every Spark job: a manifest in, typed rows to a transform, tables and a receipt out.

A system's job is one file that calls `run(transform)`. It learns all it needs from its manifest;
manifest and receipt go through Hadoop's FileSystem, so that nothing is installed beside Spark 3.5.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812

FORMAT = 1
"""Newest format of a manifest that this job reads, and that of the receipts it writes."""

ROWS_PER_FILE = 4_000_000
"""Rows of a slot above which its rows are spread over several files."""


SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""What the results depend on, whatever the cluster's defaults."""

PACE = {
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    "spark.sql.files.maxPartitionBytes": "32m",
}
"""Settings of every batch: Java never compiles a method of more bytes, and typing a wide row makes
one; what is kept for a minute costs more to compress than to spill; parts are small for the work
that their rows are, and the usual 128 MB would leave most cores without a task."""

SMALL_BYTES = 16_000_000
"""Size of a manifest's parts below which planning and compiling cost more than the work."""

SMALL = {
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.shuffle.partitions": "2",
}
"""Settings of a small batch: half the Spark jobs, a third less CPU."""


class BatchError(RuntimeError):
    """A batch that must not be loaded: names the table or data set, the fault and the way out."""


@dataclass(frozen=True)
class Arguments:
    """What a batch is started with."""

    manifest: str
    attempt: int
    batch: str


@dataclass(frozen=True)
class Context:
    """What a transform may ask beside its frames."""

    spark: SparkSession
    manifest: dict[str, Any]

    def zone(self, dataset: str) -> str:
        """The zone of a data set's contract, such as `Europe/Paris`."""
        return str(self.manifest["contracts"][dataset]["zone"])


Transform = Callable[[dict[str, DataFrame], Context], dict[str, DataFrame]]
"""Typed rows by data set → rows by lake table.

A frame has the contract's columns in their types and `slot`, `slot_start`, `run`, `line`,
`row_slot` (the slot that the row itself belongs to) and `context` (true for rows of the slots
before, by lookback). What a transform returns needs `slot` and `slot_start`; rows that still bear
a true `context` are not written.
"""


def run(transform: Transform, arguments: list[str] | None = None) -> None:
    """Work on the manifest that the command line names; write tables, then the receipt.

    Does nothing where the receipt is there. Raises BatchError where rows do not add up or a table
    is not what the manifest promises.
    """
    begin = time.monotonic()
    asked = _arguments(sys.argv[1:] if arguments is None else arguments)
    spark = SparkSession.builder.getOrCreate()
    manifest = _manifest(Files(spark).read(asked.manifest))
    work = Work(spark, manifest, asked)
    receipt = f"{work.lake}/receipts/{manifest['system']}/{manifest['id']}.json"
    if Files(spark).exists(receipt):
        return
    with _settings(spark, SETTINGS | PACE | (SMALL if manifest["bytes"] < SMALL_BYTES else {})):
        written, counts = work.done(transform)
    told = {
        "format": FORMAT,
        "id": manifest["id"],
        "system": manifest["system"],
        "batch": asked.batch,
        "job": _job_name(),
        "attempt": asked.attempt,
        "seconds": round(time.monotonic() - begin, 3),
        "written": written,
        "counts": counts,
    }
    Files(spark).create(receipt, json.dumps(told, ensure_ascii=False))


@dataclass(frozen=True)
class Files:
    """Small files through Hadoop's FileSystem."""

    spark: SparkSession

    def read(self, uri: str) -> str:
        """The text of the file at `uri`."""
        system, path = self._at(uri)
        stream = system.open(path)
        try:
            return str(self._java.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def exists(self, uri: str) -> bool:
        """Whether there is a file at `uri`."""
        system, path = self._at(uri)
        return bool(system.exists(path))

    def create(self, uri: str, text: str) -> bool:
        """Write `text` at `uri` only if nothing is there; whether this call wrote it."""
        system, path = self._at(uri)
        try:
            stream = system.create(path, False)
            stream.write(bytearray(text.encode()))
            stream.close()
        except Py4JJavaError:
            if not system.exists(path):
                raise
            return False
        return True

    @property
    def _java(self) -> Any:
        """The classes of Spark's JVM."""
        return self.spark._jvm

    def _at(self, uri: str) -> tuple[Any, Any]:
        """The file system and the path of a URI."""
        path = self._java.org.apache.hadoop.fs.Path(uri)
        configuration = self.spark._jsc.hadoopConfiguration()
        return path.getFileSystem(configuration), path


@dataclass(frozen=True)
class Work:
    """One attempt at one manifest."""

    spark: SparkSession
    manifest: dict[str, Any]
    asked: Arguments

    def done(self, transform: Transform) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Write every table; give what was written and where the rows went.

        Few Spark jobs: one reads and sorts the rows out, one per table writes, one counts.
        """
        judged = {dataset: self._judged(dataset) for dataset in self.datasets}
        fates = _fates(judged)
        frames = {dataset: _kept(frame) for dataset, frame in judged.items()}
        tables = dict(transform(frames, Context(self.spark, self.manifest)))
        for dataset in self.datasets:
            if any(_is_reject(fate) for fate in _of_dataset(fates, dataset)):
                tables[f"{dataset}_rejects"] = self._rejects(dataset)
        self._refuse_strangers(tables)
        for table in self.tables:
            if table["name"] in tables:
                self._write(table, tables[table["name"]])
        written = self._written()
        counts = [_counted(slot, self.tables, written, fates) for slot in self.manifest["slots"]]
        return written, counts

    @property
    def lake(self) -> str:
        """gs:// URI of the lake bucket, without a slash at its end."""
        return str(self.manifest["lake"]).rstrip("/")

    @cached_property
    def datasets(self) -> list[str]:
        """The data sets that the manifest works on."""
        return sorted({slot["dataset"] for slot in self.manifest["slots"]})

    @cached_property
    def tables(self) -> list[dict[str, Any]]:
        """The tables of those data sets, as the manifest tells them."""
        return [table for table in self.manifest["tables"] if table["dataset"] in self.datasets]

    def _slots(self, dataset: str) -> list[dict[str, Any]]:
        """The slots of a data set."""
        return [slot for slot in self.manifest["slots"] if slot["dataset"] == dataset]

    def _judged(self, dataset: str) -> DataFrame:
        """The rows of a data set, typed, each with its fate, kept in memory or on disk."""
        contract = self.manifest["contracts"][dataset]
        frame = typed(self._read(dataset), contract)
        most = max(int(slot.get("rows_in", 0)) for slot in self._slots(dataset))
        revised_by = contract.get("revised_by", [])
        judged = deduplicated(frame, contract["key"], 1 + most // ROWS_PER_FILE, revised_by)
        return judged.persist(StorageLevel.MEMORY_AND_DISK)

    def _rejects(self, dataset: str) -> DataFrame:
        """The rejected rows of a data set as a table of the lake, each as JSON of its texts.

        Read once more, as good rows are spared their text: `split` leaves next to none.
        """
        contract = self.manifest["contracts"][dataset]
        text = F.struct(*(column["name"] for column in contract["columns"]))
        frame = typed(self._read(dataset).withColumn("_row", text), contract)
        return frame.where(F.col("_reason").isNotNull() & ~F.col("context")).select(
            "slot",
            "slot_start",
            "run",
            "line",
            F.col("_reason").alias("reason"),
            F.to_json("_row").alias("row"),
        )

    def _read(self, dataset: str) -> DataFrame:
        """The parts of a data set's slots as text, each row with the slot it is read for."""
        contract = self.manifest["contracts"][dataset]
        slots = self._slots(dataset)
        uris = {uri for slot in slots for uri in (*slot["parts"], *slot.get("context", ()))}
        if not uris:
            raise BatchError(f"{dataset}: the manifest's slots have no parts")
        schema = ", ".join(f"`{column['name']}` STRING" for column in contract["columns"])
        rows = (
            self.spark.read.schema(f"{schema}, run STRING, line BIGINT")
            .option("recursiveFileLookup", "true")
            .parquet(*sorted(uris))
            .withColumn("file", _file())
        )
        return rows.join(F.broadcast(self._read_for(dataset)), "file", "inner").drop("file")

    def _read_for(self, dataset: str) -> DataFrame:
        """For each part the slots that it is read for, as its own or as context."""
        base = next(t for t in self.tables if t["dataset"] == dataset and t["base"])
        kind = next(c["type"] for c in base["columns"] if c["name"] == "slot_start")
        parts = [
            {
                "file": _bare(uri), "slot": slot["slot"], "slot_start": slot["slot_start"],
                "row_slot": _slot_of(uri), "context": context,
            }
            for slot in self._slots(dataset)
            for context, uris in ((False, slot["parts"]), (True, slot.get("context", ())))
            for uri in uris
        ]  # fmt: skip
        fields = "file STRING, slot STRING, slot_start STRING, row_slot STRING, context BOOLEAN"
        # As JSON, because a frame from a Python list starts Python workers on every executor.
        told = F.from_json(F.lit(json.dumps(parts)), f"ARRAY<STRUCT<{fields}>>")
        starts = F.col("slot_start").cast(_SPARK_TYPES[kind])
        return self.spark.range(1).select(F.inline(told)).withColumn("slot_start", starts)

    def _write(self, table: dict[str, Any], frame: DataFrame) -> None:
        """Write a table's rows below this attempt's prefix, by slot, in the declared types."""
        missing = [c["name"] for c in table["columns"] if c["name"] not in frame.columns]
        if missing or "slot" not in frame.columns:
            raise BatchError(
                f"{table['name']}: the transform gives no column {', '.join(missing) or 'slot'}; "
                f"it gives {', '.join(frame.columns)}"
            )
        own = frame.where(~F.col("context")) if "context" in frame.columns else frame
        columns = [
            F.col(c["name"]).cast(_SPARK_TYPES[c["type"]]).alias(c["name"])
            for c in table["columns"]
        ]
        (
            own.select(*columns, "slot")
            .write.partitionBy("slot")
            .option("compression", "zstd")
            .option("mapreduce.fileoutputcommitter.algorithm.version", "2")
            .option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
            .parquet(self._prefix(table["name"]))
        )

    def _prefix(self, table: str) -> str:
        """The folder of this attempt's files of a table."""
        return f"{self.lake}/{table}/{self.manifest['id']}-a{self.asked.attempt}"

    def _written(self) -> list[dict[str, Any]]:
        """Rows and files of every slot × table, read back from the files; zeros included."""
        rows = self._rows()
        written = []
        for table in self.tables:
            prefix = self._prefix(table["name"])
            files = [file for file in sorted(rows) if file.startswith(f"{_bare(prefix)}/")]
            for slot in self._slots(table["dataset"]):
                mine = [file for file in files if _slot_of(file) == slot["slot"]]
                written.append(
                    {
                        "table": table["name"],
                        "dataset": table["dataset"],
                        "slot": slot["slot"],
                        "rows": sum(rows[file] for file in mine),
                        "files": [prefix + file.removeprefix(_bare(prefix)) for file in mine],
                    }
                )
        return written

    def _rows(self) -> dict[str, int]:
        """Rows of each file that this attempt wrote, from the files' own footers."""
        folders = [self._prefix(table["name"]) for table in self.tables]
        there = [folder for folder in folders if Files(self.spark).exists(folder)]
        if not there:
            return {}
        frame = self.spark.read.schema("slot_start STRING").option("recursiveFileLookup", "true")
        counted = frame.parquet(*there).groupBy(_file().alias("file")).count()
        return {row["file"]: row["count"] for row in counted.collect()}

    def _refuse_strangers(self, tables: dict[str, DataFrame]) -> None:
        """Raise where the transform gives a table too many, or lacks one."""
        declared = {table["name"] for table in self.tables}
        expected = {name for name in declared if not name.endswith("_rejects")}
        if set(tables) - declared or expected - set(tables):
            raise BatchError(
                f"{self.manifest['system']}: the transform gives {', '.join(sorted(tables))}; "
                f"the contracts' tables are {', '.join(sorted(expected))}"
            )


def typed(frame: DataFrame, contract: dict[str, Any]) -> DataFrame:
    """Text columns in the contract's types, and `_reason`: why a row is rejected, null if good.

    The rules are those of `split`, which has checked every value: what fails here is a fault of
    either.
    """
    columns = contract["columns"]
    kinds = {column["name"]: column["type"] for column in columns}
    beside = [name for name in frame.columns if name not in kinds]
    # Step by step: each is reckoned once, where one nested expression would be reckoned anew. A
    # step copies every column that it is given, so each is given no more than it and the next need.
    given = frame.select(*beside, *(_given(F.col(n), k).alias(n) for n, k in kinds.items()))
    texts = [F.col(n).alias(f"_given_{n}") for n, k in kinds.items() if k in _FAULTS]
    values = [_value(F.col(n), k, contract["zone"]).alias(n) for n, k in kinds.items()]
    valued = given.select(*beside, *texts, *values)
    reason = F.coalesce(*_column_faults(columns), F.lit(None)).alias("_reason")
    return valued.select(*kinds, *beside, reason)


def deduplicated(
    frame: DataFrame, key: list[str], spread: int = 1, revised_by: Sequence[str] = ()
) -> DataFrame:
    """The typed rows with `_fate`: kept, duplicate, revised, or `rejected`.

    Of the rows with the same key in a slot the newest run's counts, of one run the first line's;
    the others are duplicates, revised where a value differs from the row that counts (of
    `revised_by`, where that names columns). `spread` is over how many tasks the rows of one slot go.
    """
    beside = ("slot", "slot_start", "row_slot", "context", "run", "line", "_reason")
    values = [name for name in frame.columns if name not in beside]
    known = F.when(F.col("_reason").isNull(), F.hash(*key))
    spread_by = F.pmod(F.coalesce(known, F.col("line").cast("int")), F.lit(spread))
    near = ["slot", "row_slot", "_spread"]
    same: list[Any] = [*near, F.col("_reason").isNotNull().alias("_bad"), *key]
    newest = Window.partitionBy(*same).orderBy(
        F.col("run").desc(), F.col("line"), F.col("_content")
    )
    fate = (
        F.when(F.col("_reason").isNotNull(), "rejected")
        .when(F.row_number().over(newest) == 1, "kept")
        .when(F.first("_told").over(newest) == F.col("_told"), "duplicate")
        .otherwise("revised")
    )
    content = F.xxhash64(*values)
    # The hash passes over nulls: of few columns of one type it must be told where they stand.
    told = [*map(F.col, revised_by), *(F.isnull(name) for name in revised_by)]
    return (
        frame.withColumns(
            {
                "_content": content,
                "_told": F.xxhash64(*told) if told else content,
                "_spread": spread_by,
            }
        )
        .repartition("slot", "row_slot", "_spread")
        .withColumn("_fate", fate)
        .drop("_content", "_told", "_spread")
    )


_SPARK_TYPES = {
    "STRING": "string",
    "INT64": "bigint",
    "FLOAT64": "double",
    "NUMERIC": "decimal(38,9)",
    "BOOL": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}

_BLANKS = r"(?U)[\s\x1c-\x1f]"
_INTEGER = r"^[+-]?[0-9]{1,19}(\.0*)?$"
_FLOAT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_EPOCH = r"^[0-9]{9,11}(\.[0-9]*)?$"
_EPOCH_MILLIS = r"^[0-9]{12,14}$"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_OFFSET = r"(?U)\s?(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_WHOLE = _DATE + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-](0[0-9]|1[0-7]):[0-5][0-9])$"
_TRUE = ("oui", "true", "1")
_FALSE = ("non", "false", "0")
_FAULTS = {
    "integer": "not an integer",
    "float": "not a number",
    "boolean": "not a boolean",
    "date": "not a date",
    "timestamp": "not a timestamp",
}


def count_where(condition: Column) -> Column:
    """In how many rows a condition holds; null is no."""
    return F.count(F.when(condition, 1))


def sum_or_zero(values: Column) -> Column:
    """The sum, 0 over nothing: parts must add up."""
    return F.coalesce(F.sum(values), F.lit(0))


def _given(text: Column, kind: str) -> Column:
    """The value's text, null where it stands for nothing; without blanks around it if typed."""
    trimmed = F.regexp_replace(text, f"^{_BLANKS}+|{_BLANKS}+$", "")
    first, last = F.substring(text, 1, 1), F.substring(text, -1, 1)
    # Nearly always plain: told by its ends, where the search would look at every letter.
    if kind not in _FAULTS:
        return F.when(first.between("!", "~"), text).otherwise(F.when(trimmed != "", text))
    plain = first.between("!", "~") & last.between("!", "~") & (text != "-")
    empty = ("", "-") if kind in ("timestamp", "date") else ("",)
    return F.when(plain, text).otherwise(F.when(~trimmed.isin(*empty), trimmed))


def _column_faults(columns: list[dict[str, Any]]) -> Iterator[Column]:
    """For each column what is wrong with its value, as `<column>: <reason>`; null if nothing."""
    for name, kind, required in ((c["name"], c["type"], c.get("required")) for c in columns):
        # A text that is there is a value.
        given = F.col(f"_given_{name}" if kind in _FAULTS else name)
        if kind in _FAULTS:
            unread = given.isNotNull() & F.col(name).isNull()
            yield F.when(unread, F.lit(f"{name}: {_FAULTS[kind]}"))
        if required:
            yield F.when(given.isNull(), F.lit(f"{name}: empty"))


def _value(given: Column, kind: str, zone: str) -> Column:
    """A value's text in a type of the contract; null where it does not read as one."""
    if kind == "integer":
        whole = F.when(given.contains("."), F.regexp_replace(given, r"\.0*$", "")).otherwise(given)
        return F.when(given.rlike(_INTEGER), whole.cast("bigint"))
    if kind == "float":
        number = given.cast("double")
        return F.when(given.rlike(_FLOAT) & (F.abs(number) < float("inf")), number)
    if kind == "boolean":
        return F.when(F.lower(given).isin(*_TRUE), True).when(F.lower(given).isin(*_FALSE), False)
    if kind == "timestamp":
        return _instant(given, zone)
    if kind == "date":
        return F.when(given.rlike(f"{_DATE}$"), F.to_date(given))
    if kind == "code":
        clean = F.regexp_replace(given, r"^([0-9]+)\.0+$", "$1")
        return F.when(given.contains("."), clean).otherwise(given)
    return given


def _instant(given: Column, zone: str) -> Column:
    """An instant: ISO 8601 with any offset, local time of `zone`, a day, or epoch seconds.

    A local time that the zone skips reads as nothing; of one that it has twice the first is meant.
    """
    local = given.cast("timestamp")
    instant = F.to_utc_timestamp(local, zone)
    there = F.from_utc_timestamp(instant, zone) == local
    compact = F.upper(F.regexp_replace(given, _OFFSET, "$1"))
    whole = F.regexp_replace(compact, r"^(.{16})(?=[Z+-])", "$1:00")
    return (
        # What publishers write most comes first: Spark compiles a pattern for each offset it reads.
        F.when(given.rlike(_WHOLE), _less_offset(given))
        .when(given.rlike(_EPOCH), F.timestamp_seconds(given.cast("double")))
        .when(given.rlike(_EPOCH_MILLIS), F.timestamp_millis(given.cast("long")))
        .when(given.rlike(_DATE + _CLOCK + _OFFSET), whole.cast("timestamp"))
        .when(given.rlike(f"{_DATE}({_CLOCK})?$") & there, instant)
    )


def _less_offset(given: Column) -> Column:
    """The instant of a text that `_WHOLE` matches; null where there is no such day or time."""
    clock = F.unix_seconds(F.substring(given, 1, 19).cast("timestamp"))
    hours, minutes = (F.substring(given, at, 2).cast("int") for at in (21, 24))
    sign = F.when(F.substring(given, 20, 1) == "-", -1).otherwise(1)
    offset = F.when(given.endswith("Z"), 0).otherwise(sign * (hours * 60 + minutes))
    return F.timestamp_seconds(clock - offset * 60)


def _arguments(given: list[str]) -> Arguments:
    """The command line: `--manifest URI --attempt N --batch ID`."""
    parser = argparse.ArgumentParser(description="Work on one manifest.")
    parser.add_argument("--manifest", required=True, help="gs:// URI of the manifest")
    parser.add_argument("--attempt", required=True, type=int, help="which attempt, from 1")
    parser.add_argument("--batch", required=True, help="id of the Dataproc batch")
    return Arguments(**vars(parser.parse_args(given)))


@contextmanager
def _settings(spark: SparkSession, wanted: dict[str, str]) -> Iterator[None]:
    """The session with the settings wanted; after it those it had, and nothing cached."""
    before = {name: spark.conf.get(name) for name in wanted}
    for name, value in wanted.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        spark.catalog.clearCache()
        for name, known in before.items():
            if known is not None:
                spark.conf.set(name, known)


def _manifest(text: str) -> dict[str, Any]:
    """The manifest in `text`; raises BatchError when a newer release wrote it."""
    manifest: dict[str, Any] = json.loads(text)
    if manifest["format"] > FORMAT:
        raise BatchError(
            f"manifest {manifest['id']}: format {manifest['format']} is newer than {FORMAT}, "
            "which this job reads: deploy the release that wrote it"
        )
    return manifest


def _job_name() -> str:
    """The job's file and a hash of it and of this one, so that a receipt tells what wrote it."""
    main = Path(sys.argv[0])
    digest = hashlib.sha256()
    for path in (main, Path(__file__)):
        if path.is_file():
            digest.update(path.read_bytes())
    return f"{main.stem}-{digest.hexdigest()[:16]}"


def _slot_of(uri: str) -> str:
    """The slot that an object's name tells by its folder `slot=<slot>`."""
    for piece in uri.split("/"):
        if piece.startswith("slot="):
            return piece.removeprefix("slot=")
    raise BatchError(f"{uri}: no folder slot=<slot> in the name")


def _bare(uri: str) -> str:
    """A URI without its scheme: Hadoop and Spark write the slashes after it differently."""
    return uri.partition(":")[2].lstrip("/")


def _file() -> Column:
    """The file that a row was read from, as `_bare` writes it."""
    return F.regexp_replace("_metadata.file_path", "^[a-z]+:/+", "")


def _kept(judged: DataFrame) -> DataFrame:
    """The rows that go on to the transform."""
    return judged.where(F.col("_fate") == "kept").drop("_fate", "_reason")


@dataclass(frozen=True)
class _Fate:
    """How many rows of a slot met a fate."""

    dataset: str
    slot: str
    name: str
    reason: str | None
    rows: int


def _fates(judged: dict[str, DataFrame]) -> list[_Fate]:
    """Where the rows of every slot went, in one Spark job for all data sets."""
    counted = [
        frame.where(~F.col("context"))
        .groupBy(F.lit(dataset).alias("dataset"), "slot", "_fate", "_reason")
        .count()
        for dataset, frame in judged.items()
    ]
    rows = reduce(DataFrame.unionAll, counted).collect()
    return [_Fate(*row) for row in rows]


def _of_dataset(fates: list[_Fate], dataset: str) -> Iterator[_Fate]:
    """The fates of a data set's rows."""
    return (fate for fate in fates if fate.dataset == dataset)


def _is_reject(fate: _Fate) -> bool:
    """Whether rows were rejected."""
    return fate.name == "rejected"


def _counted(
    slot: dict[str, Any],
    tables: list[dict[str, Any]],
    written: list[dict[str, Any]],
    fates: list[_Fate],
) -> dict[str, Any]:
    """Where the rows of one slot went; raises BatchError where they do not add up."""
    dataset, name = slot["dataset"], slot["slot"]
    base = next(t["name"] for t in tables if t["dataset"] == dataset and t["base"])
    out = next(w["rows"] for w in written if w["table"] == base and w["slot"] == name)
    mine = [fate for fate in _of_dataset(fates, dataset) if fate.slot == name]
    rejected = Counter(slot.get("rejected", {}))
    for fate in filter(_is_reject, mine):
        rejected[str(fate.reason)] += fate.rows
    revised = sum(fate.rows for fate in mine if fate.name == "revised")
    duplicates = sum(fate.rows for fate in mine if fate.name == "duplicate") + revised
    if slot["rows_in"] != out + rejected.total() + duplicates:
        raise BatchError(
            f"{dataset} {name}: {slot['rows_in']} rows in, but {out} in {base}, "
            f"{rejected.total()} rejected and {duplicates} duplicates: the transform of the "
            "base table must neither drop nor add rows, and the parts must be whole"
        )
    return {
        "dataset": dataset,
        "slot": name,
        "rows_in": slot["rows_in"],
        "rows_out": out,
        "rejected": rejected,
        "duplicates": duplicates,
        "revised": revised,
    }
