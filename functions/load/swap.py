"""The swap: one script that puts a manifest's slots into the lake and the ledger, or nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from google.cloud.bigquery import ScalarQueryParameter

from catalog import object_names
from catalog.records import Counts, LakeTable, Manifest, SlotParts
from functions.core import bigquery, ledger
from functions.core.bigquery import QueryScript, identifier, parameter
from functions.core.clients import Clients

SWAP_BYTES = 200_000_000_000
"""Most bytes that each statement of a swap may be billed for."""


def swap(
    clients: Clients,
    manifest: Manifest,
    counts: Sequence[Counts],
    staged: frozenset[str],
    now: datetime,
    seconds: float,
) -> set[tuple[str, str]]:
    """Swap in the slots that the ledger lacks or has older; return their (data set, slot) pairs.

    `staged` names the tables that have rows in staging; of the others the slots become empty.
    A transaction that loses a race raises BadRequest: nothing happened, and it may be run again.
    """
    script = swap_script(manifest, counts, staged, now)
    rows = bigquery.query(clients, script.sql, script.parameters, cap=SWAP_BYTES, seconds=seconds)
    return {(row.dataset, row.slot) for row in rows}


def swap_script(
    manifest: Manifest, counts: Sequence[Counts], staged: frozenset[str], now: datetime
) -> QueryScript:
    """Build the script of a manifest's swap: lock, fresh slots, each table, ledger."""
    by_slot = {(each.dataset, each.slot): each for each in counts}
    rows = [_ledger_row(each, by_slot[each.dataset, each.slot]) for each in manifest.slots]
    parameters = [
        parameter("system", "STRING", manifest.system),
        parameter("holder", "STRING", manifest.id),
        parameter("now", "TIMESTAMP", now),
        parameter("slots", "STRING", json.dumps(rows)),
    ]
    pieces = [ledger.LOCK, _FRESH]
    for number, table in enumerate(manifest.tables):
        pieces.append(_table_sql(table, number, manifest.id, table.name in staged))
        parameters += _bounds(table, number, manifest.slots)
    return QueryScript("".join([*pieces, _LEDGER]), parameters)


def _ledger_row(slot: SlotParts, counts: Counts) -> dict[str, object]:
    """Build the ledger's row of a slot, as JSON."""
    return {
        "dataset": slot.dataset,
        "slot": slot.slot,
        "slot_start": slot.slot_start,
        "version": slot.version,
        "revision": slot.revision,
        "run": slot.run,
        "runs": len(slot.parts),
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "rejected": sum(counts.rejected.values()),
        "rejects": msgspec.json.encode(counts.rejected).decode(),
        "duplicates": counts.duplicates,
        "revised": counts.revised,
        "newest": slot.newest,
        "origin": slot.origin,
    }


def _bounds(
    table: LakeTable, number: int, slots: Sequence[SlotParts]
) -> list[ScalarQueryParameter]:
    """Build a table's parameters: its data set, and the first and last `slot_start` to touch."""
    starts = sorted(slot.slot_start for slot in slots if slot.dataset == table.dataset)
    kind = _start_type(table)
    read = date.fromisoformat if kind == "DATE" else datetime.fromisoformat
    return [
        parameter(f"dataset_{number}", "STRING", table.dataset),
        parameter(f"first_{number}", kind, read(starts[0])),
        parameter(f"last_{number}", kind, read(starts[-1])),
    ]


def _start_type(table: LakeTable) -> str:
    """BigQuery's type of a table's `slot_start`."""
    return next(column.type for column in table.columns if column.name == "slot_start")


def _table_sql(table: LakeTable, number: int, manifest_id: str, staged: bool) -> str:
    """Build the statements that swap the fresh slots of one table."""
    words = {
        "table": identifier(table.name),
        "staging": identifier(object_names.staging_table(table.name, manifest_id)),
        "columns": ",\n  ".join(identifier(column.name) for column in table.columns),
        "type": identifier(_start_type(table).lower()).upper(),
        "number": str(number),
    }
    sql = _DELETE + _INSERT if staged else _DELETE
    return sql.format_map(words)


_FRESH = """\
CREATE TEMP TABLE fresh AS
SELECT
  n.*
FROM (
  SELECT
    JSON_VALUE(s, '$.dataset') AS dataset,
    JSON_VALUE(s, '$.slot') AS slot,
    JSON_VALUE(s, '$.slot_start') AS slot_start,
    JSON_VALUE(s, '$.version') AS version,
    JSON_VALUE(s, '$.revision') AS revision,
    JSON_VALUE(s, '$.run') AS run,
    CAST(JSON_VALUE(s, '$.runs') AS INT64) AS runs,
    CAST(JSON_VALUE(s, '$.rows_in') AS INT64) AS rows_in,
    CAST(JSON_VALUE(s, '$.rows_out') AS INT64) AS rows_out,
    CAST(JSON_VALUE(s, '$.rejected') AS INT64) AS rejected,
    JSON_VALUE(s, '$.rejects') AS rejects,
    CAST(JSON_VALUE(s, '$.duplicates') AS INT64) AS duplicates,
    CAST(JSON_VALUE(s, '$.revised') AS INT64) AS revised,
    CAST(JSON_VALUE(s, '$.newest') AS TIMESTAMP) AS newest,
    JSON_VALUE(s, '$.origin') AS origin
  FROM UNNEST(JSON_QUERY_ARRAY(@slots)) AS s
) AS n
LEFT JOIN ops.loads AS o
  ON o.system = @system AND o.dataset = n.dataset AND o.slot = n.slot
WHERE o.slot IS NULL OR n.version > o.version;
"""

_DELETE = """\
DELETE FROM lake.{table}
WHERE slot_start BETWEEN @first_{number} AND @last_{number}
  AND slot_start IN (
    SELECT CAST(slot_start AS {type}) FROM fresh WHERE dataset = @dataset_{number}
  );
"""

_INSERT = """\
INSERT INTO lake.{table} (
  {columns}
)
SELECT
  {columns}
FROM staging.{staging}
WHERE slot_start BETWEEN @first_{number} AND @last_{number}
  AND slot_start IN (
    SELECT CAST(slot_start AS {type}) FROM fresh WHERE dataset = @dataset_{number}
  );
"""

_LEDGER = """\
DELETE FROM ops.loads
WHERE system = @system
  AND CONCAT(dataset, ' ', slot) IN (SELECT CONCAT(dataset, ' ', slot) FROM fresh);
INSERT INTO ops.loads (
  dataset,
  slot,
  slot_start,
  system,
  version,
  revision,
  manifest,
  run,
  runs,
  rows_in,
  rows_out,
  rejected,
  rejects,
  duplicates,
  revised,
  newest,
  origin,
  loaded_at
)
SELECT
  dataset,
  slot,
  slot_start,
  @system,
  version,
  revision,
  @holder,
  run,
  runs,
  rows_in,
  rows_out,
  rejected,
  rejects,
  duplicates,
  revised,
  newest,
  origin,
  @now
FROM fresh;
COMMIT TRANSACTION;
SELECT
  dataset,
  slot
FROM fresh
ORDER BY dataset, slot;
"""
