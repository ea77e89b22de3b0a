"""The stand-in of BigQuery answers by the tables and variables of now, not by those of a cached run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery

from tests.support.warehouse import Warehouse, server  # noqa: F401

MEAN = "SELECT AVG(v) AS mean FROM ops.cached"
"""Its translation casts the mean of a NUMERIC, and no other."""


@pytest.fixture
def warehouse(server: bigquery.Client) -> Iterator[Warehouse]:  # noqa: F811
    """A warehouse without the tables of these tests."""
    yield Warehouse(server)
    for name in ("cached", "inner_rows"):
        server.delete_table(f"ops.{name}", not_found_ok=True)


def value(warehouse: Warehouse, sql: str) -> Any:
    """The only value that a script ends with."""
    (row,) = warehouse.run(sql)
    (only,) = row.values()
    return only


def create(warehouse: Warehouse, type_: str, number: str = "1") -> None:
    """Create the table with one row."""
    warehouse.run(f"CREATE TABLE ops.cached (v {type_}); INSERT INTO ops.cached VALUES ({number})")


def test_a_table_dropped_and_created_with_another_type(warehouse: Warehouse) -> None:
    create(warehouse, "NUMERIC")
    assert [type(value(warehouse, MEAN)) for _ in range(2)] == [Decimal, Decimal]
    warehouse.run("DROP TABLE ops.cached")
    with pytest.raises(NotFound, match=r"ops\.cached"):
        warehouse.run(MEAN)
    create(warehouse, "FLOAT64")
    assert type(value(warehouse, MEAN)) is float


def test_a_table_replaced_within_a_script(warehouse: Warehouse) -> None:
    create(warehouse, "NUMERIC")
    assert type(value(warehouse, MEAN)) is Decimal
    script = f"CREATE OR REPLACE TABLE ops.cached AS SELECT 0.5 AS v; {MEAN}"
    assert value(warehouse, script) == 0.5


def test_a_table_replaced_by_a_client(warehouse: Warehouse) -> None:
    create(warehouse, "NUMERIC")
    assert type(value(warehouse, MEAN)) is Decimal
    warehouse.client.delete_table("ops.cached")
    schema = [bigquery.SchemaField("v", "FLOAT64")]
    warehouse.client.create_table(bigquery.Table("demo.ops.cached", schema=schema))
    warehouse.fill("ops.cached", {"v": 2.5})
    assert value(warehouse, MEAN) == 2.5


def test_a_column_added(warehouse: Warehouse) -> None:
    create(warehouse, "NUMERIC")
    warehouse.run("CREATE TABLE ops.inner_rows (w INT64); INSERT INTO ops.inner_rows VALUES (1)")
    mean = "SELECT (SELECT AVG(v) FROM ops.inner_rows) AS mean FROM ops.cached"
    assert type(value(warehouse, mean)) is Decimal
    warehouse.run("ALTER TABLE ops.inner_rows ADD COLUMN v FLOAT64")
    warehouse.run("UPDATE ops.inner_rows SET v = 2.5 WHERE TRUE")
    assert value(warehouse, mean) == 2.5
    assert warehouse.run("SELECT * FROM ops.inner_rows") == [{"w": 1, "v": 2.5}]


def test_a_view_reads_the_columns_of_now(warehouse: Warehouse) -> None:
    create(warehouse, "NUMERIC")
    warehouse.run("CREATE OR REPLACE VIEW ops.seen AS SELECT v FROM ops.cached")
    mean = "SELECT AVG(v) AS mean FROM ops.seen"
    assert type(value(warehouse, mean)) is Decimal
    warehouse.run("CREATE OR REPLACE TABLE ops.cached AS SELECT 0.5 AS v")
    warehouse.run("CREATE OR REPLACE VIEW ops.seen AS SELECT v FROM ops.cached")
    assert value(warehouse, mean) == 0.5
    warehouse.run("DROP VIEW ops.seen")


def test_columns_of_a_temporary_table_are_those_of_the_run(warehouse: Warehouse) -> None:
    wide = "CREATE TEMP TABLE t AS SELECT 1 AS a, 'x' AS b; SELECT * FROM t"
    narrow = "CREATE TEMP TABLE t AS SELECT 2 AS a; SELECT * FROM t"
    for _ in range(2):
        assert warehouse.run(wide) == [{"a": 1, "b": "x"}]
        assert warehouse.run(narrow) == [{"a": 2}]


def test_variables_of_one_run_are_not_those_of_another(warehouse: Warehouse) -> None:
    script = """
    DECLARE seen INT64;
    DECLARE n INT64 DEFAULT (SELECT COUNT(*) FROM ops.cached);
    IF n = 1 THEN SET seen = 7; END IF;
    INSERT INTO ops.cached VALUES (n + 1);
    SELECT CONCAT(n, ' ', COALESCE(CAST(seen AS STRING), 'null')) AS text
    """
    create(warehouse, "INT64")
    assert [value(warehouse, script) for _ in range(3)] == ["1 7", "2 null", "3 null"]


def test_variables_of_runs_at_the_same_time(warehouse: Warehouse) -> None:
    script = """
    DECLARE mine INT64 DEFAULT 0;
    DECLARE steps INT64 DEFAULT 0;
    WHILE steps < 5 DO
      SET mine = mine + CAST(EXTRACT(SECOND FROM @run_time) AS INT64);
      SET steps = steps + 1;
    END WHILE;
    SELECT mine
    """
    together = threading.Barrier(4)

    def run(second: int) -> Any:
        together.wait()
        (row,) = warehouse.run(script, datetime(2025, 1, 1, 0, 0, second, tzinfo=UTC))
        return row["mine"]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, (1, 2, 3, 4))) == [5, 10, 15, 20]


def test_a_variable_keeps_its_type_where_another_script_has_its_name(warehouse: Warehouse) -> None:
    assert value(warehouse, "DECLARE x INT64 DEFAULT 3; SELECT x / 2 AS half") == 1.5
    assert value(warehouse, "DECLARE x STRING DEFAULT 'a'; SELECT CONCAT(x, 'b') AS y") == "ab"
    assert value(warehouse, "DECLARE y STRING; DECLARE x INT64 DEFAULT 8; SELECT x / 2 AS h") == 4.0


def test_an_error_s_text_is_that_of_the_run(warehouse: Warehouse) -> None:
    script = """
    BEGIN SELECT ERROR({}); EXCEPTION WHEN ERROR THEN SELECT @@error.message AS said; END
    """
    for text in ("'one'", "'two'"):
        assert text.strip("'") in value(warehouse, script.format(text))
    with pytest.raises(BadRequest, match="three"):
        warehouse.run("RAISE USING MESSAGE = 'three'")


def test_a_table_made_of_a_query_that_fails_stays_as_it_was(warehouse: Warehouse) -> None:
    create(warehouse, "INT64", "41")
    with pytest.raises(BadRequest):
        warehouse.run("CREATE OR REPLACE TABLE ops.cached (v INT64) AS SELECT ERROR('no')")
    assert value(warehouse, "SELECT v FROM ops.cached") == 41


def test_descriptions_are_as_they_are_written(warehouse: Warehouse) -> None:
    text = r"Vélib\': \"half\" \\ and a\nline"
    warehouse.run(f"CREATE TABLE ops.cached (v INT64 OPTIONS (description = '{text}'))")
    (field,) = warehouse.client.get_table("ops.cached").schema
    assert field.description == 'Vélib\': "half" \\ and a\nline'
