"""The tables of a script: what it reads, what it changes, and what only looks like a table."""

from __future__ import annotations

import pytest

from catalog.reports import script
from functions.core import ledger
from functions.load import swap
from local_cloud.bigquery.statement_tables import touched
from local_cloud.cloud import REPOSITORY

GET, PUT, MAKE, UPDATE = (
    f"bigquery.tables.{each}" for each in ("getData", "updateData", "create", "update")
)


@pytest.mark.parametrize(
    ("sql", "wanted"),
    [
        ("SELECT 1 FROM ops.loads", [(GET, "ops", "loads")]),
        ("select 1 from `demo.ops.loads` as l", [(GET, "ops", "loads")]),
        ("SELECT 1 FROM `demo`.`ops`.`loads`", [(GET, "ops", "loads")]),
        ("SELECT 1 FROM my-project.ops.loads", [(GET, "ops", "loads")]),
        ("SELECT 1 FROM a JOIN lake.b USING (c)", [(GET, "lake", "b")]),
        ("INSERT INTO lake.t (a) SELECT a FROM staging.s", [(GET, "staging", "s"), (PUT, "lake", "t")]),
        ("UPDATE ops.locks SET a = 1 WHERE TRUE", [(GET, "ops", "locks"), (PUT, "ops", "locks")]),
        ("DELETE FROM lake.t WHERE a IN (SELECT a FROM fresh)", [(GET, "lake", "t"), (PUT, "lake", "t")]),
        ("MERGE ops.runs AS r USING ops.new AS n ON TRUE", [(GET, "ops", "new"), (GET, "ops", "runs"), (PUT, "ops", "runs")]),
        ("CREATE OR REPLACE TABLE reports.r AS SELECT 1", [(MAKE, "reports", "r"), (UPDATE, "reports", "r"), (PUT, "reports", "r")]),
        ("CREATE TABLE IF NOT EXISTS reports.r (a INT64)", [(MAKE, "reports", "r")]),
        ("CREATE TEMP TABLE fresh AS SELECT 1", []),
        ("SELECT EXTRACT(HOUR FROM s.start), EXTRACT(WEEK(MONDAY) FROM s.day) FROM s", []),
        ("SELECT a.b IS NOT DISTINCT FROM c.d", []),
        ("SELECT 'FROM ops.loads', \"FROM ops.x\" -- FROM ops.y\n /* FROM ops.z */", []),
    ],
)  # fmt: skip
def test_a_script_s_tables(sql: str, wanted: list[tuple[str, str, str]]) -> None:
    assert list(touched(sql)) == sorted(wanted)


def test_the_ledger_s_and_the_swap_s_own_words() -> None:
    assert touched(ledger.LOCK + ledger._RAISE + ledger._READ) == (
        (GET, "ops", "loads"), (GET, "ops", "lock"), (PUT, "ops", "loads"), (PUT, "ops", "lock"),
    )  # fmt: skip
    assert (GET, "ops", "loads") in touched(swap._FRESH)


def test_a_scheduled_query_reads_the_lake_and_writes_ops_and_reports() -> None:
    sql = script("paris_wifi", REPOSITORY / "bq_sql" / "paris_wifi")
    changed = {(dataset, what) for what, dataset, _ in touched(sql.text)}
    assert {dataset for dataset, _ in changed} == {"lake", "ops", "reports"}
    assert {what for dataset, what in changed if dataset == "lake"} == {GET}
