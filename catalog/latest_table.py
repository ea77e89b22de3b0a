"""Columns of the table with a snapshot's newest run; they follow from the contract."""

from __future__ import annotations

from collections.abc import Iterator

from catalog.contract import NEWEST_ADDED, Column, Contract, LatestTable
from catalog.records import TableColumn

_TYPES = {
    "text": "STRING",
    "code": "STRING",
    "integer": "INT64",
    "float": "FLOAT64",
    "boolean": "BOOL",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}
"""Type of a contract's column → BigQuery's."""


def columns(contract: Contract, newest: LatestTable) -> tuple[TableColumn, ...]:
    """Return the table's columns: those of the contract, then those that describe the fetch."""
    own = (_column(column, newest) for column in contract.columns)
    return (*own, *_added(contract, newest))


def _column(column: Column, newest: LatestTable) -> TableColumn:
    required = column.name in newest.key or not column.nullable
    return TableColumn(
        name=column.name,
        type=_TYPES[column.type],
        description=column.description,
        mode="REQUIRED" if required else "NULLABLE",
        unit=column.unit,
    )


def _added(contract: Contract, newest: LatestTable) -> Iterator[TableColumn]:
    """Yield the columns that the contract does not have, in the order of `NEWEST_ADDED`."""
    added = {
        "fetched_at": ("TIMESTAMP", "Tick of the fetch", ""),
        "age_minutes": (
            "FLOAT64",
            f"Age of the row: from {contract.time_column} to fetched_at, below 0 where a clock is ahead",
            "min",
        ),
        "sample_size": ("INT64", f"Rows of the fetch with this {', '.join(newest.key)}", "rows"),
        "run": ("STRING", "Run that the row came with; .r and a number where it was replayed", ""),
        "line": ("INT64", "Line or record of the row in its file, from 1", ""),
        "data_as_of": ("TIMESTAMP", "Newest report of the fetch, of any row", ""),
        "origin": ("STRING", "publisher, sample or synthetic: where the rows come from", ""),
    }
    for name in NEWEST_ADDED:
        kind, text, unit = added[name]
        mode = "NULLABLE" if name == "age_minutes" else "REQUIRED"
        yield TableColumn(name=name, type=kind, description=text, mode=mode, unit=unit)
