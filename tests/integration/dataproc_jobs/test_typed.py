"""What `split` accepts, the job reads, and as the same value: two sets of rules, one table."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import batch_dedupe
import batch_typing
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from catalog.contract import load_all
from catalog.runs import Run
from functions.validation import values
from functions.validation.typed import castable

PARIS = ZoneInfo("Europe/Paris")
CONTRACT = load_all()["paris_wifi_usage"]
RUN = Run("20300101T000000Z")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


CASES: list[tuple[str, str | None, object, str | None]] = [
    # type, text, value, fault
    ("text", "Français", "Français", None),
    ("text", " a ", " a ", None),
    ("text", "-", "-", None),
    ("text", "", None, None),
    ("text", " \u00a0", None, None),
    ("text", None, None, None),
    ("code", "75001.0", "75001", None),
    ("code", "75001", "75001", None),
    ("code", "PW01.0", "PW01.0", None),
    ("code", "01.00", "01", None),
    ("integer", "2.0", 2, None),
    ("integer", "-3", -3, None),
    ("integer", "+3.", 3, None),
    ("integer", " 7 ", 7, None),
    ("integer", "2.5", None, "not an integer"),
    ("integer", "1e3", None, "not an integer"),
    ("integer", "9223372036854775807", 9223372036854775807, None),
    ("integer", "-", None, "not an integer"),
    ("float", "120.683333", 120.683333, None),
    ("float", ".5", 0.5, None),
    ("float", "1e3", 1000.0, None),
    ("float", "NaN", None, "not a number"),
    ("float", "Infinity", None, "not a number"),
    ("float", "1e999", None, "not a number"),
    ("float", "1,5", None, "not a number"),
    ("float", "1d", None, "not a number"),
    ("boolean", "OUI", True, None),
    ("boolean", "non", False, None),
    ("boolean", "1", True, None),
    ("boolean", "yes", None, "not a boolean"),
    ("date", "2025-06-05", date(2025, 6, 5), None),
    ("date", "2025-02-30", None, "not a date"),
    ("date", "2025-06-05T10:00", None, "not a date"),
    ("date", "-", None, None),
    ("timestamp", "2019-09-05T15:59:00+02:00", at("2019-09-05T13:59:00Z"), None),
    ("timestamp", "2019-09-05T15:59:00+0200", at("2019-09-05T13:59:00Z"), None),
    ("timestamp", "2019-09-05T15:59:00+02", at("2019-09-05T13:59:00Z"), None),
    ("timestamp", "2019-09-05 15:59:00 +02:00", at("2019-09-05T13:59:00Z"), None),
    ("timestamp", "2019-09-05T15:59:00-03:30", at("2019-09-05T19:29:00Z"), None),
    ("timestamp", "2019-09-05T15:59:00+17:59", at("2019-09-04T22:00:00Z"), None),
    ("timestamp", "2019-09-05T15:59:00+18:00", at("2019-09-04T21:59:00Z"), None),
    ("timestamp", "1969-12-31T23:59:59Z", at("1969-12-31T23:59:59Z"), None),
    ("timestamp", "2019-02-30T10:00:00+02:00", None, "not a timestamp"),
    ("timestamp", "2019-09-05T15:59Z", at("2019-09-05T15:59:00Z"), None),
    ("timestamp", "2019-09-05t15:59Z", None, "not a timestamp"),
    ("timestamp", "2019-09-05T15:59:00.1234567z", at("2019-09-05T15:59:00.123456Z"), None),
    ("timestamp", "2019-09-05T15:59:00", at("2019-09-05T13:59:00Z"), None),
    ("timestamp", "2019-09-05 15:59", at("2019-09-05T13:59:00Z"), None),
    ("timestamp", "2019-09-05", at("2019-09-04T22:00:00Z"), None),
    ("timestamp", "2025-10-26T02:30:00", at("2025-10-26T00:30:00Z"), None),
    ("timestamp", "2025-03-30T02:30:00", None, "not a timestamp"),
    ("timestamp", "1559740000", at("2019-06-05T13:06:40Z"), None),
    ("timestamp", "1559740000123", at("2019-06-05T13:06:40.123Z"), None),
    ("timestamp", "155974000012345", None, "not a timestamp"),
    ("timestamp", "2019", None, "not a timestamp"),
    ("timestamp", "10:00", None, "not a timestamp"),
    ("timestamp", "2019-13-05T10:00:00Z", None, "not a timestamp"),
    ("timestamp", "2019-09-05T25:00:00Z", None, "not a timestamp"),
    ("timestamp", "05/09/2019 10:00", None, "not a timestamp"),
    ("timestamp", "-", None, None),
    ("timestamp", "", None, None),
]


def _frame(spark: SparkSession, kind: str, texts: list[str | None], *, required: bool = False):  # type: ignore[no-untyped-def]
    given = spark.createDataFrame(list(enumerate(texts)), "at INT, v STRING")
    column = {"name": "v", "type": kind, "required": required}
    return batch_typing.parse_columns(given, {"zone": "Europe/Paris", "columns": [column]}).orderBy(
        "at"
    )


@pytest.fixture(scope="module")
def read(spark: SparkSession) -> dict[tuple[str, str | None], tuple[object, str | None]]:
    """Every case as the job reads it."""
    found: dict[tuple[str, str | None], tuple[object, str | None]] = {}
    for kind in dict.fromkeys(case[0] for case in CASES):
        texts = [case[1] for case in CASES if case[0] == kind]
        for text, row in zip(texts, _frame(spark, kind, texts).collect(), strict=True):
            value = row["v"]
            if isinstance(value, datetime):  # naive, in this process's zone
                value = value.astimezone(UTC)
            found[kind, text] = (value, row["_reason"])
    return found


@pytest.mark.parametrize(("kind", "text", "value", "fault"), CASES)
def test_value(read, kind, text, value, fault) -> None:  # type: ignore[no-untyped-def]
    assert read[kind, text] == (value, f"v: {fault}" if fault else None)


@pytest.mark.parametrize(("kind", "text", "value", "fault"), CASES)
def test_split_judges_the_same(kind, text, value, fault) -> None:  # type: ignore[no-untyped-def]
    column = type(CONTRACT.columns[0])(name="v", type=kind, description="")
    check = values.ColumnCheck(column, CONTRACT, RUN)
    cleaned = check.clean([text or ""])
    assert check.faults(cleaned) == ({0: f"v: {fault}"} if fault else {})
    if fault is None:
        assert (cleaned[0] is None) == (value is None)
    if kind == "timestamp" and value is not None:
        told = values.instant(cleaned[0] or "", PARIS)
        assert told is not None
        assert told.astimezone(UTC) == value


@pytest.mark.parametrize(("kind", "text", "value", "fault"), CASES)
def test_show_reads_the_same(kind, text, value, fault) -> None:  # type: ignore[no-untyped-def]
    """Of what split accepts: the text that BigQuery casts is that of the job's value."""
    if fault is not None:
        return
    column = type(CONTRACT.columns[0])(name="v", type=kind, description="")
    (cleaned,) = values.ColumnCheck(column, CONTRACT, RUN).clean([text or ""])
    cast = {"integer": int, "float": float, "boolean": "true".__eq__, "date": date.fromisoformat,
            "timestamp": datetime.fromisoformat}.get(kind, str)  # fmt: skip
    told = castable(kind, cleaned, PARIS)
    assert (None if told is None else cast(told)) == value


def test_a_required_value_that_is_empty_rejects_the_row(spark: SparkSession) -> None:
    (good, bad) = _frame(spark, "text", ["x", " "], required=True).collect()
    assert (good["v"], good["_reason"]) == ("x", None)
    assert (bad["v"], bad["_reason"]) == (None, "v: empty")


REVISED = [
    # of the row that counts, of the other, what the other is
    ((9, None, 4, "a"), (9, None, 4, "b"), "duplicate"),
    ((9, None, 4, "a"), (9, 4, None, "a"), "revised"),
    ((9, 2, 4, "a"), (9, None, 4, "a"), "revised"),
]


@pytest.mark.parametrize(("counts", "other", "outcome"), REVISED)
def test_revised_by_the_columns_that_are_named(
    spark: SparkSession, counts: tuple[object, ...], other: tuple[object, ...], outcome: str
) -> None:
    beside = ("2024-05", "2024-05", "r1")
    given = spark.createDataFrame(
        [(*row, *beside, line, None) for line, row in ((1, counts), (2, other))],
        "docks INT, ebikes INT, bikes INT, name STRING, slot STRING, row_slot STRING, run STRING, "
        "line BIGINT, _reason STRING",
    )
    found = batch_dedupe.mark_duplicates(given, ["docks"], revised_by=["docks", "ebikes", "bikes"])
    assert {row["line"]: row["_outcome"] for row in found.collect()} == {1: "accepted", 2: outcome}


def test_a_rejected_row_keeps_its_text_under_any_name(spark: SparkSession) -> None:
    """`row` may be a column of a contract."""
    given = spark.createDataFrame([("soon",)], "row STRING")
    column = {"name": "row", "type": "integer", "required": True}
    text = F.struct("row")
    [found] = batch_typing.parse_columns(
        given.withColumn("_row", text), {"zone": "UTC", "columns": [column]}
    ).collect()
    assert (found["_reason"], found["_row"]["row"]) == ("row: not an integer", "soon")
