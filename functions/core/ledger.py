"""The ledger `ops.loads`: what is loaded of every slot, and the one UPDATE that is not a swap."""

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
    """What the ledger says of one slot."""

    version: Version
    revision: str
    origin: str
    manifest: str


Ledger = dict[tuple[str, str], Loaded]
"""(data set, slot) → what is loaded."""


def read(clients: Clients, system: str) -> Ledger:
    """What is loaded of a system's data sets, as it stands now."""
    return _ledger(query(clients, _READ, [parameter("system", "STRING", system)]))


def raise_versions(
    clients: Clients, system: str, slots: Sequence[SlotParts], holder: str, now: datetime
) -> Ledger:
    """Raise the versions of slots whose revision is still the loaded one; the ledger after it.

    One UPDATE under the system's lock. A slot whose version stands lower in the ledger than asked
    was not raised: a swap came between. A race that is lost raises BadRequest, to be tried again.
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
    """Whether the ledger holds this version of a slot, or a newer one."""
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
"""Begins a transaction that only one of a system's writers can commit; needs no row beforehand."""

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
    """What the UPDATE needs of a slot."""
    return {
        "dataset": slot.dataset,
        "slot": slot.slot,
        "version": slot.version,
        "revision": slot.revision,
        "run": slot.run,
        "runs": len(slot.parts),
    }


def _ledger(rows: Iterable[Any]) -> Ledger:
    """Rows of `_READ` by data set and slot."""
    return {
        (row.dataset, row.slot): Loaded(
            Version.parse(row.version), row.revision, row.origin, row.manifest
        )
        for row in rows
    }
