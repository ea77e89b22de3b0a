"""Text in the types of a contract: the rules that `split` has checked every value by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812

SPARK_TYPES = {
    "STRING": "string",
    "INT64": "bigint",
    "FLOAT64": "double",
    "NUMERIC": "decimal(38,9)",
    "BOOL": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}
"""BigQuery's type of a lake column → Spark's."""

_BLANKS = r"(?U)[\s\x1c-\x1f]"
_INTEGER = r"^[+-]?[0-9]{1,19}(\.0*)?$"
_FLOAT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_EPOCH = r"^[0-9]{9,11}(\.[0-9]*)?$"
_EPOCH_MILLIS = r"^[0-9]{12,14}$"
_CLOCK = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_OFFSET = r"(?U)\s?(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_FULL_INSTANT = _DATE + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-](0[0-9]|1[0-7]):[0-5][0-9])$"
_TRUE = ("oui", "true", "1")
_FALSE = ("non", "false", "0")
_FAULTS = {
    "integer": "not an integer",
    "float": "not a number",
    "boolean": "not a boolean",
    "date": "not a date",
    "timestamp": "not a timestamp",
}


def parse_columns(frame: DataFrame, contract: dict[str, Any]) -> DataFrame:
    """Parse text columns into the contract's types, and add `_reason`, null for a good row.

    `split` has checked every value by the same rules: a row that fails here is a fault of either.
    """
    columns = contract["columns"]
    kinds = {column["name"]: column["type"] for column in columns}
    others = [name for name in frame.columns if name not in kinds]
    # Step by step, so that Spark calculates each once: in one nested expression it would calculate
    # them several times. A step copies every column that it reads, so each reads only those that it
    # and the next need.
    cleaned = frame.select(*others, *(_clean(F.col(n), k).alias(n) for n, k in kinds.items()))
    texts = [F.col(n).alias(f"_text_{n}") for n, k in kinds.items() if k in _FAULTS]
    values = [_parse(F.col(n), k, contract["zone"]).alias(n) for n, k in kinds.items()]
    parsed = cleaned.select(*others, *texts, *values)
    reason = F.coalesce(*_column_faults(columns), F.lit(None)).alias("_reason")
    return parsed.select(*kinds, *others, reason)


def _clean(text: Column, kind: str) -> Column:
    """Replace a text that is no value by null, and cut blanks off values that are parsed."""
    trimmed = F.regexp_replace(text, f"^{_BLANKS}+|{_BLANKS}+$", "")
    first, last = F.substring(text, 1, 1), F.substring(text, -1, 1)
    # Nearly every text is plain, which its ends show; the pattern would look at every letter.
    if kind not in _FAULTS:
        return F.when(first.between("!", "~"), text).otherwise(F.when(trimmed != "", text))
    plain = first.between("!", "~") & last.between("!", "~") & (text != "-")
    empty = ("", "-") if kind in ("timestamp", "date") else ("",)
    return F.when(plain, text).otherwise(F.when(~trimmed.isin(*empty), trimmed))


def _column_faults(columns: list[dict[str, Any]]) -> Iterator[Column]:
    """Say what is wrong with each column's value, as `<column>: <reason>`; null if nothing."""
    for name, kind, required in ((c["name"], c["type"], c.get("required")) for c in columns):
        # The value of a text column is its text.
        text = F.col(f"_text_{name}" if kind in _FAULTS else name)
        if kind in _FAULTS:
            unread = text.isNotNull() & F.col(name).isNull()
            yield F.when(unread, F.lit(f"{name}: {_FAULTS[kind]}"))
        if required:
            yield F.when(text.isNull(), F.lit(f"{name}: empty"))


def _parse(text: Column, kind: str, zone: str) -> Column:
    """Parse a value's text as a type of the contract; null where it is none."""
    if kind == "integer":
        whole = F.when(text.contains("."), F.regexp_replace(text, r"\.0*$", "")).otherwise(text)
        return F.when(text.rlike(_INTEGER), whole.cast("bigint"))
    if kind == "float":
        number = text.cast("double")
        return F.when(text.rlike(_FLOAT) & (F.abs(number) < float("inf")), number)
    if kind == "boolean":
        return F.when(F.lower(text).isin(*_TRUE), True).when(F.lower(text).isin(*_FALSE), False)
    if kind == "timestamp":
        return _parse_instant(text, zone)
    if kind == "date":
        return F.when(text.rlike(f"{_DATE}$"), F.to_date(text))
    if kind == "code":
        clean = F.regexp_replace(text, r"^([0-9]+)\.0+$", "$1")
        return F.when(text.contains("."), clean).otherwise(text)
    return text


def _parse_instant(text: Column, zone: str) -> Column:
    """Parse ISO 8601 with any offset, local time of `zone`, a day, or epoch seconds.

    A local time that the zone skips is null; a local time that it has twice is the first of both.
    """
    local = text.cast("timestamp")
    instant = F.to_utc_timestamp(local, zone)
    exists = F.from_utc_timestamp(instant, zone) == local
    compact = F.upper(F.regexp_replace(text, _OFFSET, "$1"))
    with_seconds = F.regexp_replace(compact, r"^(.{16})(?=[Z+-])", "$1:00")
    return (
        # What publishers write most comes first: Spark compiles a pattern for each offset it reads.
        F.when(text.rlike(_FULL_INSTANT), _to_utc(text))
        .when(text.rlike(_EPOCH), F.timestamp_seconds(text.cast("double")))
        .when(text.rlike(_EPOCH_MILLIS), F.timestamp_millis(text.cast("long")))
        .when(text.rlike(_DATE + _CLOCK + _OFFSET), with_seconds.cast("timestamp"))
        .when(text.rlike(f"{_DATE}({_CLOCK})?$") & exists, instant)
    )


def _to_utc(text: Column) -> Column:
    """Parse a text that `_FULL_INSTANT` matches; null where there is no such day or time."""
    clock = F.unix_seconds(F.substring(text, 1, 19).cast("timestamp"))
    hours, minutes = (F.substring(text, at, 2).cast("int") for at in (21, 24))
    sign = F.when(F.substring(text, 20, 1) == "-", -1).otherwise(1)
    offset = F.when(text.endswith("Z"), 0).otherwise(sign * (hours * 60 + minutes))
    return F.timestamp_seconds(clock - offset * 60)
