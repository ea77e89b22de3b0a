"""Columns of the lake across deployments: they may be added, never lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from catalog.records import LakeTable, TableColumn
from infra_pulumi.config import ConfigError

type Schemas = Mapping[str, Mapping[str, str]]
"""Table → column → its type and mode, such as `DATE REQUIRED`."""


def schemas(tables: Iterable[LakeTable]) -> dict[str, dict[str, str]]:
    """Return the columns of the lake's tables by the present contracts."""
    return {
        table.name: {column.name: f"{column.type} {column.mode}" for column in table.columns}
        for table in tables
    }


def fields(columns: Iterable[TableColumn]) -> list[dict[str, Any]]:
    """Return columns as a schema for BigQuery's API."""
    return [
        {
            "name": c.name,
            "type": c.type,
            "mode": c.mode,
            "description": f"{c.description} [{c.unit}]" if c.unit else c.description,
        }
        for c in columns
    ]


def refuse_loss(before: Schemas, now: Schemas, rebuilt: Iterable[str] = ()) -> None:
    """Raise ConfigError if a table or column of the last deployment is gone or has another type.

    `rebuilt` are tables (`lake.<table>`) that may lose data. A column may become nullable; a new
    column must be nullable.
    """
    free = {name.removeprefix("lake.") for name in rebuilt}
    lost = [
        fault
        for table, columns in before.items()
        if table not in free
        for fault in _lost(table, columns, now.get(table))
    ]
    if lost:
        raise ConfigError(
            f"{'; '.join(lost)}. The loaded data would be lost. Keep the column as it was and declare "
            "a new one next to it, which a replay fills; to end a data set, set retired = true in its "
            "contract, which keeps its tables. A disposable stack may name the table in "
            "citypulse:rebuilt."
        )


def _lost(table: str, before: Mapping[str, str], now: Mapping[str, str] | None) -> Iterable[str]:
    """Yield what one table would lose, each loss as a sentence."""
    if now is None:
        yield f"lake.{table} is in no contract any more"
        return
    for column, kind in before.items():
        if column not in now:
            yield f"lake.{table}: column {column} ({kind}) is gone"
        elif now[column] not in (kind, kind.replace(" REQUIRED", " NULLABLE")):
            yield f"lake.{table}: column {column} was {kind} and is now {now[column]}"
    for column in now.keys() - before.keys():
        if now[column].endswith(" REQUIRED"):
            yield f"lake.{table}: new column {column} must be NULLABLE: earlier rows have no value"
