"""Starts local-bigquery with its look-ups made cheaper: `python bigquery_main.py OPTIONS… serve`.

To learn of one table, local-bigquery 0.3.2 asks DuckDB for all tables or all columns there are,
several times a statement, and after each write that costs up to 0.2 s of CPU. DuckLake's own
catalogue knows the one table in 2 ms. The temporary tables that it looks for before each job can
only be those of a session, and no client of ours opens one. DuckDB works in the thread that asks:
statements are small, and waking a second thread costs more than it does. A thousand quantiles, of
which a report shows one, are looked up in values sorted once, instead of sought one by one. Nothing
else of the server is touched.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import duckdb
from local_bigquery.cli import main
from local_bigquery.engine import database
from local_bigquery.jobs import query

type Found = list[tuple[str, str, int]]
type Rows = list[tuple[Any, ...]]

_RESULTS = "emulator"
"""Where the server keeps results of queries: plain tables, whose columns may all be null."""
_NAMED = """
SELECT t.table_name, 'TABLE', coalesce(c.record_count, 0)
FROM {catalogue}.ducklake_table AS t
JOIN {catalogue}.ducklake_schema AS s ON s.schema_id = t.schema_id
LEFT JOIN {catalogue}.ducklake_table_stats AS c ON c.table_id = t.table_id
WHERE t.end_snapshot IS NULL AND s.end_snapshot IS NULL
  AND s.schema_name = $1 AND t.table_name = $2
UNION ALL
SELECT v.view_name, 'VIEW', 0
FROM {catalogue}.ducklake_view AS v
JOIN {catalogue}.ducklake_schema AS s ON s.schema_id = v.schema_id
WHERE v.end_snapshot IS NULL AND s.end_snapshot IS NULL
  AND s.schema_name = $1 AND v.view_name = $2
"""
_COLUMNS = """(
SELECT '{project}' AS database_name, s.schema_name, t.table_name, c.column_name,
  c.nulls_allowed AS is_nullable
FROM {catalogue}.ducklake_column AS c
JOIN {catalogue}.ducklake_table AS t ON t.table_id = c.table_id
JOIN {catalogue}.ducklake_schema AS s ON s.schema_id = t.schema_id
WHERE c.end_snapshot IS NULL AND t.end_snapshot IS NULL AND s.end_snapshot IS NULL
  AND c.parent_column IS NULL
)"""

_TEMPORARY = "SELECT table_name FROM duckdb_tables() WHERE temporary"
_NO_SESSION = "SELECT NULL AS table_name LIMIT 0"

_QUANTILES = """
CREATE OR REPLACE MACRO bq.main.approx_quantiles(x, n) AS
CASE WHEN count(x) = 0 THEN NULL ELSE list_select(
  list_sort(list(x), 'ASC', 'NULLS LAST'),
  list_transform(
    range(n + 1), i -> greatest(1, count(x) - floor(count(x) - count(x) * (i / n))::BIGINT)
  )
) END
"""
"""The same values as the server's own, `quantile_disc` of a list."""

_all_objects: Callable[..., Found] = database.objects
_fetch: Callable[..., Rows] = database.fetch
_connect: Callable[[], duckdb.DuckDBPyConnection] = database._connect


def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> Found:
    """Name, kind and rows of a data set's tables and views, or of the one named."""
    if table_id is None:
        return _all_objects(project_id, dataset_id, table_id)
    try:
        if project_id == _RESULTS:
            table = database.quote(project_id, dataset_id, table_id)
            counted = _fetch(f"SELECT count(*) FROM {table}")  # noqa: S608 - quoted
            return [(table_id, "TABLE", int(counted[0][0]))]
        named = _NAMED.format(catalogue=_catalogue(project_id))
        return [(name, kind, rows) for name, kind, rows in _fetch(named, [dataset_id, table_id])]
    except duckdb.CatalogException:  # no such result, or a project that is not attached
        return _all_objects(project_id, dataset_id, table_id) if project_id != _RESULTS else []


def fetch(sql: str, params: list[Any] | None = None) -> Rows:
    """The rows of a question, which is asked of one project's columns instead of all there are."""
    if params and "FROM duckdb_columns() WHERE database_name = ?" in sql:
        project = str(params[0])
        if project == _RESULTS:
            return []
        columns = _COLUMNS.format(project=project, catalogue=_catalogue(project))
        sql = sql.replace("duckdb_columns()", columns)
    return _fetch(sql, params)


@functools.cache
def connect_with_one_thread() -> duckdb.DuckDBPyConnection:
    """The server's connection, made when it is first asked for, working in the thread that asks."""
    connection = _connect()
    connection.execute("SET threads = 1")
    connection.execute(_QUANTILES)
    return connection


def look_for_no_session() -> None:
    """Have a job begin without a search for temporary tables.

    Raises RuntimeError where the server no longer searches as 0.3.2 does.
    """
    code = query.execute.__code__
    if _TEMPORARY not in code.co_consts:
        raise RuntimeError(
            "local-bigquery looks for temporary tables in another way than 0.3.2: see what "
            "local_bigquery.jobs.query.execute does, and correct local_cloud/bigquery_main.py"
        )
    changed = tuple(_NO_SESSION if const == _TEMPORARY else const for const in code.co_consts)
    query.execute.__code__ = code.replace(co_consts=changed)


def _catalogue(project: str) -> str:
    return f'"__ducklake_metadata_{project}"'


if __name__ == "__main__":
    database.objects = objects
    database.fetch = fetch
    look_for_no_session()
    database._connect = connect_with_one_thread
    sys.exit(main())
