"""Starts local-bigquery with three look-ups made cheaper: `python bigquery_main.py OPTIONS… serve`.

To learn of one table, local-bigquery 0.3.2 asks DuckDB for all tables or all columns there are,
several times a statement, and after each write that costs up to 0.2 s of CPU. DuckLake's own
catalogue knows the one table in 2 ms. Nothing else of the server is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import duckdb
from local_bigquery.cli import main
from local_bigquery.engine import database

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

_all_objects: Callable[..., Found] = database.objects
_fetch: Callable[..., Rows] = database.fetch


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


def _catalogue(project: str) -> str:
    return f'"__ducklake_metadata_{project}"'


if __name__ == "__main__":
    database.objects = objects
    database.fetch = fetch
    sys.exit(main())
