"""The warehouse on ZetaSQL's reference engine does what it emulates as BigQuery does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery
from google.protobuf.message import Message
from wasmtime import WasmtimeError
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service_pb2

from local_cloud.googlesql.client import Client
from local_cloud.googlesql.engine import Service, SqlError
from local_cloud.googlesql.scripts import Analyser

FIELDS = {
    "id": "STRING", "n": "INTEGER", "share": "FLOAT", "exact": "NUMERIC", "ok": "BOOLEAN",
    "day": "DATE", "seen": "TIMESTAMP",
}  # fmt: skip


@pytest.fixture(scope="module")
def started() -> Client:
    """A warehouse, once: an instance takes 0.3 s."""
    return Client()


@pytest.fixture
def client(started: Client) -> Iterator[Client]:
    """The warehouse with one table of two rows."""
    schema = [
        bigquery.SchemaField(name, kind, "REQUIRED" if name == "id" else "NULLABLE")
        for name, kind in FIELDS.items()
    ]
    started.create_table(bigquery.Table("demo.ops.t", schema))
    assert started.insert_rows_json("ops.t", [{"id": "a", "n": 1}, {"id": "b", "n": "2"}]) == []
    yield started
    started.delete_table("ops.t")


def rows(client: Client, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a script's last SELECT."""
    config = bigquery.QueryJobConfig(query_parameters=parameters)
    return [row.values() for row in client.query(sql, config).result()]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("STRING", "é"), ("INT64", -3), ("FLOAT64", 0.5), ("BOOL", False), ("DATE", date(1969, 7, 20)),
        ("TIMESTAMP", datetime(1969, 7, 20, 20, 17, 40, 5, tzinfo=UTC)),
        ("NUMERIC", Decimal("-1.5")), ("NUMERIC", Decimal(99999999999)), ("STRING", None),
    ],
)  # fmt: skip
def test_values_come_back_as_they_were(client: Client, kind: str, value: Any) -> None:
    parameter = bigquery.ScalarQueryParameter("value", kind, value)
    assert rows(client, "SELECT @value, [@value IS NULL]", parameter) == [(value, [value is None])]


def test_an_array_is_a_parameter(client: Client) -> None:
    parameter = bigquery.ArrayQueryParameter("wanted", "STRING", ["b", "c"])
    sql = "SELECT id, STRUCT(n AS m) FROM ops.t WHERE id IN UNNEST(@wanted)"
    assert rows(client, sql, parameter) == [("b", {"m": 2})]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT JSON_QUERY('{\"a\": \"\\u2028\"}', '$')", [('{"a":"\\u2028"}',)]),
        ("SELECT MAX_BY(id, n), MIN_BY(CONCAT(id, ')'), -n) FROM ops.t", [("b", "b)")]),
        ("SELECT APPROX_QUANTILES(x, 4)[OFFSET(3)] FROM UNNEST([1, 2, 3, 4, 5]) AS x", [(4,)]),
        ("SELECT t.id FROM ops.t WHERE t.n = 2", [("b",)]),
        ("DELETE FROM ops.t WHERE n = 1; SELECT @@row_count, COUNT(*) FROM ops.t", [(1, 1)]),
        ("UPDATE ops.t AS t SET n = n + 1 WHERE TRUE; SELECT n FROM ops.t ORDER BY n", [(2,), (3,)]),
        ("INSERT INTO ops.t (id) VALUES ('c'); SELECT id, n FROM ops.t WHERE n IS NULL", [("c", None)]),
        ("DECLARE x INT64 DEFAULT 1; SET x = x + 1; IF x = 2 THEN SELECT 'y'; ELSE SELECT 'n'; END IF", [("y",)]),
        ("SELECT 1; RETURN; SELECT 2", [(1,)]),
        ("CREATE TEMP TABLE u AS SELECT 7 AS n; UPDATE u SET n = 8 WHERE TRUE; SELECT n FROM u", [(8,)]),
    ],
)  # fmt: skip
def test_a_script_gives_its_last_rows(
    client: Client, sql: str, found: list[tuple[Any, ...]]
) -> None:
    assert rows(client, sql) == found


MERGE = """
MERGE ops.t AS t USING (SELECT 'b' AS id UNION ALL SELECT 'c') AS s ON t.id = s.id
WHEN MATCHED THEN UPDATE SET n = 20
WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, 30);
SELECT @@row_count, STRING_AGG(CONCAT(id, n) ORDER BY id) FROM ops.t
"""


def test_merge_updates_and_inserts(client: Client) -> None:
    assert rows(client, MERGE) == [(2, "a1,b20,c30")]


TRANSACTION = """
BEGIN
  BEGIN TRANSACTION;
  DELETE FROM ops.t WHERE TRUE;
  ASSERT FALSE AS 'not so';
  COMMIT TRANSACTION;
EXCEPTION WHEN ERROR THEN
  ROLLBACK TRANSACTION;
  SELECT @@error.message, COUNT(*) FROM ops.t;
END
"""


def test_a_handler_rolls_back_and_knows_the_error(client: Client) -> None:
    assert rows(client, TRANSACTION) == [("not so", 2)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (TRANSACTION.replace("  SELECT @@", "  RAISE; SELECT @@"), "not so"),
        ("BEGIN TRANSACTION; DELETE FROM ops.t WHERE TRUE; RAISE USING MESSAGE = 'stop'", "stop"),
        ("INSERT INTO ops.t (n) VALUES (3)", "id of ops.t cannot be null"),
        ("UPDATE ops.t SET id = NULL WHERE n = 1", "id of ops.t cannot be null"),
        ("SELECT * FROM ops.u", "Table not found"),
        ("UPDATE ops.u SET n = 1 WHERE TRUE", "Not found: Table ops.u"),
        ("DROP TABLE ops.u", "Not found: Table ops.u"),
        ("SELECT 1 / (n - 1) FROM ops.t", "division by zero"),
        ("SELECT 1 AS", "Syntax error"),
        ("CREATE TABLE ops.v (n STRING NOT NULL) AS SELECT 1.5 AS n", "declared STRING"),
        ("CREATE TABLE ops.v (n INT64 NOT NULL) AS SELECT CAST(NULL AS INT64) AS n", "cannot be null"),
    ],
)  # fmt: skip
def test_an_error_ends_the_script_and_its_transaction(
    client: Client, sql: str, message: str
) -> None:
    with pytest.raises(BadRequest, match=message):
        rows(client, sql)
    assert rows(client, "SELECT COUNT(*), COUNTIF(id IS NULL) FROM ops.t") == [(2, 0)]


def test_a_table_is_created_described_and_dropped(client: Client) -> None:
    client.query(
        "CREATE OR REPLACE TABLE reports.v (n INT64 NOT NULL OPTIONS (description = 'count'), s STRING)"
        " OPTIONS (description = 'all') AS SELECT 1 AS n, 'x' AS s"
    )
    table = client.get_table("reports.v")
    count, text = table.schema
    assert (count.name, count.mode, count.description) == ("n", "REQUIRED", "count")
    assert (table.description, text.mode) == ("all", "NULLABLE")
    assert [each.table_id for each in client.list_tables("reports")] == ["v"]
    client.query("DROP TABLE reports.v")
    with pytest.raises(NotFound):
        client.get_table("reports.v")


def test_an_unknown_column_is_no_row(client: Client) -> None:
    (fault,) = client.insert_rows_json("ops.t", [{"id": "c", "other": 1}])
    assert "other" in fault
    assert rows(client, "SELECT COUNT(*) FROM ops.t") == [(2,)]


def test_after_an_abort_the_service_has_a_new_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    analyser = Analyser(service, {"ops.t": [("n", "INT64")]})
    assert analyser.script("SELECT n FROM ops.t")[0].columns == [("n", "INT64")]

    def aborts(*_: object) -> int:
        raise WasmtimeError("unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(service, "_run", aborts)
        with pytest.raises(SqlError, match="aborted in Parse: unreachable"):
            service.call("Parse", request("SELECT 1"))
    assert service.call("Parse", request("SELECT 1"))
    assert analyser.script("SELECT n FROM ops.t")[0].columns == [("n", "INT64")]


def request(sql: str) -> Message:
    """A request to parse a script."""
    return service_pb2.ParseRequest(sql_statement=sql, allow_script=True)
