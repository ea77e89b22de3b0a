"""The tables of `ops`: the ledger, the locks, the telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from catalog.records import Event


@dataclass(frozen=True)
class OpsTable:
    """A table of `ops`; a column is its name, type (`!` after it: required) and description."""

    name: str
    description: str
    columns: tuple[tuple[str, str, str], ...]
    cluster: tuple[str, ...] = ()
    partition_field: str = ""
    partition: str = "DAY"

    def fields(self) -> list[dict[str, Any]]:
        """Return the schema for BigQuery's API."""
        return [
            {
                "name": name,
                "type": kind.rstrip("!"),
                "mode": "REQUIRED" if kind.endswith("!") else "NULLABLE",
                "description": text,
            }
            for name, kind, text in self.columns
        ]


_EVENT_TYPES = {"at": "TIMESTAMP", "rows": "INT64", "bytes": "INT64", "seconds": "FLOAT64"}
_EVENT_REQUIRED = ("event_id", "at", "step", "outcome")


def _event_columns() -> tuple[tuple[str, str, str], ...]:
    """Return a column for every field of an event except its format."""
    names = [field.name for field in msgspec.structs.fields(Event) if field.name != "format"]
    return tuple(
        (
            name,
            _EVENT_TYPES.get(name, "STRING") + ("!" if name in _EVENT_REQUIRED else ""),
            f"The event's {name.replace('_', ' ')}",
        )
        for name in names
    )


LOADS = OpsTable(
    "loads",
    "The ledger: what is loaded, one row per data set and slot. Written by the swap alone.",
    (
        ("dataset", "STRING!", "Data set"),
        ("slot", "STRING!", "Slot, such as 2024-05"),
        ("slot_start", "STRING", "Start of the slot as its lake tables have it"),
        ("system", "STRING!", "System of the data set"),
        ("version", "STRING!", "Newest run, number of parts, replay; compares as text"),
        ("revision", "STRING!", "Hash of the parts that count"),
        ("manifest", "STRING", "Manifest that was loaded last"),
        ("run", "STRING", "Newest run among the parts"),
        ("runs", "INT64", "Runs whose parts count in the slot itself: fetches of a snapshot"),
        ("rows_in", "INT64", "Rows of the runs that counted at the last load, good and bad"),
        ("rows_out", "INT64", "Rows of the base table"),
        ("rejected", "INT64", "Rows rejected by split or job"),
        ("rejects", "STRING", "Rejected rows by reason, JSON"),
        ("duplicates", "INT64", "Rows that were there already"),
        ("revised", "INT64", "Duplicates that differed from the row kept"),
        ("newest", "TIMESTAMP", "Newest event time among the rows"),
        ("origin", "STRING", "publisher, sample or synthetic"),
        ("loaded_at", "TIMESTAMP", "Publish time of the message that loaded it"),
    ),
    cluster=("system", "dataset"),
)

LOCK = OpsTable(
    "lock",
    "One row per system: whoever swaps updates it first, so that two swaps conflict.",
    (
        ("system", "STRING!", "System"),
        ("holder", "STRING", "What took it last"),
        ("taken", "TIMESTAMP", "When"),
    ),
)

LATEST_RUNS = OpsTable(
    "shown",
    "One row per data set whose newest run is shown at once. Written with its table, by show alone.",
    (
        ("dataset", "STRING!", "Data set"),
        ("run", "STRING", "Run that is shown; .r and a number where it was replayed"),
        ("shown_rows", "INT64", "Rows of the table"),
        ("data_as_of", "TIMESTAMP", "Newest report of the run"),
        ("origin", "STRING", "publisher, sample or synthetic"),
        ("shown_at", "TIMESTAMP", "Publish time of the message that showed it"),
    ),
)

EVENTS = OpsTable(
    "events",
    "Telemetry, at least once: deduplicate by event_id. Never the truth.",
    _event_columns(),
    cluster=("step", "dataset"),
    partition_field="at",
)

DEAD_LETTERS = OpsTable(
    "dead_letters",
    "Messages that no function took in all their tries.",
    (
        ("data", "STRING", "The message's data"),
        ("subscription_name", "STRING", "Subscription that wrote this row"),
        ("message_id", "STRING", "Id of the message"),
        ("publish_time", "TIMESTAMP", "When it was published to the dead-letter topic"),
        ("attributes", "STRING", "Its attributes, JSON; they name the source subscription"),
    ),
    partition_field="publish_time",
)

REPORT_RUNS = OpsTable(
    "report_runs",
    "One row per run of a system's scheduled query that had something to do.",
    (
        ("system", "STRING!", "System"),
        ("run_time", "TIMESTAMP!", "The time the run was meant for"),
        ("script", "STRING", "Hash of the script"),
        ("versions", "STRING", "Hash of the ledger rows it read"),
        ("outcome", "STRING", "published or failed"),
        ("data_as_of", "TIMESTAMP", "Newest event time or load among the rows"),
        ("checks", "INT64", "Checks that passed"),
        ("error", "STRING", "What failed"),
    ),
    partition_field="run_time",
)

OPS_TABLES = (LOADS, LOCK, LATEST_RUNS, EVENTS, DEAD_LETTERS, REPORT_RUNS)
