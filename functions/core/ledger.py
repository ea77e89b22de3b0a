"""Read the ledger `ops.loads` of loaded slots, and raise versions in it without a swap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from catalog.records import SlotParts
from catalog.versions import Version
from functions.core.bigquery import parameter, query
from functions.core.clients import Clients


@dataclass(frozen=True)
class Loaded:
    """The ledger's row of one slot."""

    version: Version
    revision: str
    origin: str
    manifest: str


Ledger = dict[tuple[str, str], Loaded]
"""(data set, slot) → what is loaded."""


def read(clients: Clients, system: str) -> Ledger:
    """Read which versions of a system's slots are loaded now."""
    return _ledger(query(clients, _READ, [parameter("system", "STRING", system)]))


def raise_versions(
    clients: Clients, system: str, slots: Sequence[SlotParts], holder: str, now: datetime
) -> Ledger:
    """Raise the versions of slots whose revision is still loaded; return the ledger after it.

    Runs one UPDATE under the system's lock. If a slot's version in the result is lower than
    requested, a swap came between and the slot was not raised. A lost race raises BadRequest: try
    again.
    """
    wanted = [_wanted(slot) for slot in slots]
    parameters = [
        parameter("system", "STRING", system),
        parameter("holder", "STRING", holder),
        parameter("now", "TIMESTAMP", now),
        parameter("slots", "STRING", json.dumps(wanted)),
    ]
    return _ledger(query(clients, LOCK + _RAISE + _READ, parameters))


def current(loaded: Loaded | None, version: str) -> bool:
    """Return whether the ledger holds this version of a slot, or a newer one."""
    return loaded is not None and loaded.version >= Version.parse(version)


LOCK = """\
MERGE ops.lock AS l
USING (SELECT @system AS system) AS s
ON l.system = s.system
WHEN NOT MATCHED THEN INSERT (system, holder, taken) VALUES (s.system, NULL, NULL);
BEGIN TRANSACTION;
UPDATE ops.lock SET holder = @holder, taken = @now WHERE system = @system;
IF @@row_count = 0 THEN
  RAISE USING MESSAGE = 'ops.lock has no row for the system';
END IF;
"""
"""Begin a transaction that only one of a system's writers can commit; needs no row beforehand."""

_RAISE = """\
UPDATE ops.loads AS l
SET version = n.version, run = n.run, runs = n.runs
FROM (
  SELECT
    JSON_VALUE(s, '$.dataset') AS dataset,
    JSON_VALUE(s, '$.slot') AS slot,
    JSON_VALUE(s, '$.version') AS version,
    JSON_VALUE(s, '$.revision') AS revision,
    JSON_VALUE(s, '$.run') AS run,
    CAST(JSON_VALUE(s, '$.runs') AS INT64) AS runs
  FROM UNNEST(JSON_QUERY_ARRAY(@slots)) AS s
) AS n
WHERE l.system = @system
  AND l.dataset = n.dataset
  AND l.slot = n.slot
  AND l.revision = n.revision
  AND l.version < n.version;
COMMIT TRANSACTION;
"""

_READ = """\
SELECT
  dataset,
  slot,
  version,
  revision,
  origin,
  manifest
FROM ops.loads
WHERE system = @system;
"""


def _wanted(slot: SlotParts) -> dict[str, str | int]:
    return {
        "dataset": slot.dataset,
        "slot": slot.slot,
        "version": slot.version,
        "revision": slot.revision,
        "run": slot.run,
        "runs": len(slot.parts),
    }


def _ledger(rows: Iterable[Any]) -> Ledger:
    """Group rows of `_READ` by data set and slot."""
    return {
        (row.dataset, row.slot): Loaded(
            Version.parse(row.version), row.revision, row.origin, row.manifest
        )
        for row in rows
    }
