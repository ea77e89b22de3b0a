"""Starts local-bigquery with one look-up made cheaper: `python bigquery_main.py OPTIONS… serve`.

For each table that a statement names, local-bigquery 0.3.2 asks DuckDB for the size of every table
there is, which costs 0.2 s of CPU after each write. DuckLake's own catalogue knows the one table in
2 ms. Nothing else of the server is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import duckdb
from local_bigquery.cli import main
from local_bigquery.engine import database

type Found = list[tuple[str, str, int]]

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

_all_objects: Callable[..., Found] = database.objects


def objects(project_id: str, dataset_id: str, table_id: str | None = None) -> Found:
    """Name, kind and rows of a data set's tables and views, or of the one named."""
    if table_id is None or project_id == "emulator":
        return _all_objects(project_id, dataset_id, table_id)
    catalogue = f'"__ducklake_metadata_{project_id}"'
    try:
        found: Found = database.fetch(_NAMED.format(catalogue=catalogue), [dataset_id, table_id])
    except duckdb.CatalogException:  # a project that is not attached has no catalogue
        return _all_objects(project_id, dataset_id, table_id)
    return found


if __name__ == "__main__":
    database.objects = objects
    sys.exit(main())
