"""Columns of the lake from one deployment to the next: they may be added, never lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from catalog.records import LakeTable, TableColumn
from infra_pulumi.config import ConfigError

type Schemas = Mapping[str, Mapping[str, str]]
"""Table → column → its type and mode, such as `DATE REQUIRED`."""


def schemas(tables: Iterable[LakeTable]) -> dict[str, dict[str, str]]:
    """What the contracts say of the lake's tables now."""
    return {
        table.name: {column.name: f"{column.type} {column.mode}" for column in table.columns}
        for table in tables
    }


def fields(columns: Iterable[TableColumn]) -> list[dict[str, Any]]:
    """Columns as BigQuery's API takes a schema."""
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
    """Raise ConfigError where a table or column of the last deployment is gone or of another type.

    `rebuilt` are tables (`lake.<table>`) that may lose what they hold. A column may become
    nullable; a new one must be.
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
            f"{'; '.join(lost)}. What is loaded would be lost. Keep the column as it was and declare "
            "a new one beside it, which a replay fills; to end a data set, set retired = true in its "
            "contract, which keeps its tables. A disposable stack may name the table in "
            "citypulse:rebuilt."
        )


def _lost(table: str, before: Mapping[str, str], now: Mapping[str, str] | None) -> Iterable[str]:
    """What is lost of one table, each as a sentence."""
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
