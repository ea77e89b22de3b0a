"""Rows of `ops` as steps, sweep and swap write them, and the health of them as serve asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from google.cloud import bigquery

from catalog.records import Event
from catalog.reports import Declaration
from tests.support.warehouse import Warehouse

REPOSITORY = Path(__file__).parents[2]

LIVE = REPOSITORY / "bq_sql" / "health" / "live"

RECORDED = REPOSITORY / "tests" / "data" / "ops"
"""What `nox -s demo` left in `ops`; its sessions are synthetic, its lists samples."""

Row = dict[str, Any]


def run_check(warehouse: Warehouse, name: str, now: datetime) -> list[Row]:
    """The rows of a live report, as a subquery with one parameter."""
    text = (LIVE / f"{name}.sql").read_text(encoding="utf-8").strip().removesuffix(";")
    parameter = bigquery.ScalarQueryParameter("now", "TIMESTAMP", now)
    job = warehouse.client.query(
        f"SELECT * FROM (\n{text}\n)", bigquery.QueryJobConfig(query_parameters=[parameter])
    )
    return [dict(row) for row in job.result()]


def keyed(rows: Iterable[Row], declared: Declaration) -> dict[tuple[Any, ...], Row]:
    """Rows by their key; fails where two have the same."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in declared.key)
        assert key not in found, f"two rows for {key}"
        found[key] = row
    return found


def recorded(warehouse: Warehouse) -> None:
    """Put into `ops` what the demo left there."""
    for path in sorted(RECORDED.glob("*.ndjson")):
        lines = path.read_text(encoding="utf-8").splitlines()
        warehouse.fill(f"ops.{path.stem}", *map(json.loads, lines))


def tell(warehouse: Warehouse, *events: Event) -> None:
    """Put events into `ops.events` as the subscription does."""
    rows = [json.loads(event.encode()) for event in events]
    warehouse.fill("ops.events", *({k: r[k] for k in r if k != "format"} for r in rows))


def event(at: datetime, step: str, outcome: str, **facts: Any) -> Event:
    """An event of a message published at a time."""
    subject = " ".join(str(facts.get(k)) for k in ("dataset", "slot", "run", "object"))
    identity = f"{at:%m%d%H%M} {step} {outcome} {subject}"
    return Event(event_id=identity, at=at.isoformat(), step=step, outcome=outcome, **facts)


def loaded(dataset: str, slot: str, at: datetime, **counts: Any) -> Row:
    """A row of the ledger: a hundred good rows by default."""
    start = slot if len(slot) == 10 else f"{slot}-01" if len(slot) == 7 else f"{slot}:00:00Z"
    row: Row = {
        "dataset": dataset, "slot": slot, "slot_start": start, "system": "town",
        "version": f"{at:%Y%m%dT%H%M%SZ} 000001 00000000000000", "revision": "r", "manifest": "m",
        "run": f"{at:%Y%m%dT%H%M%SZ}", "rows_in": 100, "rows_out": 100, "rejected": 0,
        "rejects": "{}", "duplicates": 0, "revised": 0, "newest": None, "origin": "publisher",
        "loaded_at": at.isoformat(),
    }  # fmt: skip
    return row | counts


def slot_loaded(warehouse: Warehouse, dataset: str, slot: str, at: datetime, **counts: Any) -> None:
    """A slot in the ledger, and the event of its load."""
    warehouse.fill("ops.loads", loaded(dataset, slot, at, **counts))
    tell(warehouse, event(at, "load", "loaded", dataset=dataset, slot=slot, system="town"))


def hours(first: datetime, count: int) -> list[datetime]:
    """So many hours from a first one."""
    return [first + timedelta(hours=number) for number in range(count)]
