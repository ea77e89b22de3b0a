"""Replace functions of local-bigquery 0.3.2 with cheaper ones, wherever it imported them.

| what local-bigquery does | what happens here | module |
| --- | --- | --- |
| parses and translates every statement each time | caches translations by text and schema | `translations` |
| lists all tables and columns there are | reads DuckLake's own catalogue once per version | `catalogue` |
| writes jobs and resources to a database on disk | holds them in memory | `notes` |
| searches for a session's temporary tables | only where there is a session | `statements` |
| creates a table and fills it in two transactions | does both in one | `statements` |

DuckDB works in the thread that calls: statements are small, and waking another thread costs more
than it does.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Callable
from typing import Any

import duckdb
from local_bigquery.catalog import datasets, metadata, row_access, tables
from local_bigquery.engine import database
from local_bigquery.jobs import merge, query, store
from local_bigquery.sql import script
from local_bigquery.sql import translate as translation
from local_bigquery.sql.rules import ddl, partitions

from local_cloud.bigquery import catalogue, notes, statements, translations

RELEASE = "0.3.2"
_PACKAGE = "local_bigquery"
_QUANTILES = """
CREATE OR REPLACE MACRO bq.main.approx_quantiles(x, n) AS
CASE WHEN count(x) = 0 THEN NULL ELSE list_select(
  list_sort(list(x), 'ASC', 'NULLS LAST'),
  list_transform(
    range(n + 1), i -> greatest(1, count(x) - floor(count(x) - count(x) * (i / n))::BIGINT)
  )
) END
"""
"""The same values as the server's own, `quantile_disc` of a list, from values sorted once."""

_connect: Callable[[], duckdb.DuckDBPyConnection] = database._connect


def install() -> None:
    """Replace the functions; raises RuntimeError for another release of local-bigquery."""
    found = importlib.metadata.version("local-bigquery")
    if found != RELEASE:
        raise RuntimeError(
            f"local-bigquery {found} is installed; local_cloud/bigquery/ replaces functions "
            f"of {RELEASE}: compare the functions named in overrides.py, then change RELEASE"
        )
    for original, replacement in _replacements():
        replace(original, replacement)
    database._connect = connect
    merge.translate = statements.Interpreter.translations.translate_generated


def replace(original: object, replacement: object) -> None:
    """Put `replacement` wherever a loaded module of local-bigquery holds `original`."""
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] == _PACKAGE]
    places = [(m, key) for m in modules for key, value in vars(m).items() if value is original]
    if not places:
        raise RuntimeError(f"{original!r} is in no module of {_PACKAGE}: correct overrides.py")
    for module, key in places:
        setattr(module, key, replacement)


@functools.cache
def connect() -> duckdb.DuckDBPyConnection:
    """Open the server's database: one thread, its notes and results in memory."""
    connection = _connect()
    connection.execute("SET threads = 1")
    connection.execute("DETACH emulator; ATTACH ':memory:' AS emulator")
    connection.execute(database.EMULATOR_SCHEMA)
    connection.execute(_QUANTILES)
    return connection


def _replacements() -> list[tuple[Any, Any]]:
    resources, jobs = notes.Resources(), notes.Jobs()
    cache = translations.Translations(resources)
    statements.Interpreter.translations = cache
    return [
        (metadata.list_, resources.list),
        (metadata.load, resources.load),
        (metadata.save, resources.save),
        (metadata.delete, resources.delete),
        (row_access.secured, resources.secured),
        (store.save, jobs.save),
        (store.load, jobs.load),
        (store.list_, jobs.list),
        (store.delete, jobs.delete),
        (database.objects, catalogue.objects),
        (datasets.exists, catalogue.has_dataset),
        (tables.columns, catalogue.columns),
        (partitions._hidden, catalogue.has_ingestion_time),
        (translation.translate, cache.translate),
        (ddl.split, cache.split),
        (script.parse_script, cache.parse_script),
        (script.Interpreter, statements.Interpreter),
        (query.execute, statements.execute),
        (query._run, statements.run),
        (query._evaluator, statements.evaluator),
    ]
