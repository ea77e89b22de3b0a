"""Build the events of a split."""

from __future__ import annotations

import json
from collections.abc import Iterator

from catalog import object_names
from catalog.contract import Contract
from catalog.object_names import SplitKey
from catalog.records import Event, Outcome, SplitRecord
from functions.core.message import Message
from functions.core.telemetry import event

_HEADER_NAMES = 200


def run_event(
    message: Message, outcome: str, contract: Contract, key: SplitKey, /, **facts: str
) -> Event:
    """Build an event of a run, by its contract and key."""
    return event(
        "split", message, outcome, subject=str(key), dataset=contract.dataset,
        system=contract.system, run=key.run.name, object=message.object, **facts,
    )  # fmt: skip


def split_events(
    message: Message, contract: Contract, key: SplitKey, record: SplitRecord, again: bool,
    seconds: float,
) -> Iterator[Event]:  # fmt: skip
    """Yield a split's events: one for the run, for each held slot, and for unknown columns."""
    base = {"dataset": contract.dataset, "system": contract.system, "run": record.run}
    held = [part for part in record.parts if part.held]
    refused = record.outcome is Outcome.REFUSED
    yield event(
        "split", message, "done already" if again else str(record.outcome), subject=str(key),
        severity="ERROR" if refused and not again else "INFO",
        message=record.reason or "", rows=sum(part.rows for part in record.parts),
        bytes=sum(part.bytes for part in record.parts), seconds=round(seconds, 3),
        object=object_names.split_record(contract.dataset, key), detail=_detail(record), **base,
    )  # fmt: skip
    if again:
        return
    for part in held:
        yield event(
            "split", message, "held", subject=f"{key} {part.slot}", severity="ERROR",
            slot=part.slot, object=record.quarantine, rows=part.rows,
            message=f"{contract.dataset} {record.run} {part.slot}: "
            f"{sum(part.rejected.values())} rows rejected and {part.rows} accepted: the slot is held; "
            "correct the contract and replay the run", **base,
        )  # fmt: skip
    for report in record.files:
        if report.unknown_columns:
            yield event(
                "split", message, "drift", subject=f"{key} {report.object}", severity="WARNING",
                object=report.object, detail=json.dumps(report.unknown_columns, ensure_ascii=False),
                message=f"{contract.dataset} {record.run}: columns that the contract does not know "
                f"are kept out: {', '.join(report.unknown_columns)}; add them to the contract as "
                "columns, aliases or ignored", **base,
            )  # fmt: skip


def _detail(record: SplitRecord) -> str:
    """Describe slots, rejects, repairs and headers of a split as JSON text."""
    slots = {
        part.slot: {"rows": part.rows, "rejected": part.rejected, "held": part.held}
        for part in record.parts
    }
    files = [
        {
            "file": report.object.rpartition("/")[2], "shape": report.shape,
            "encoding": report.encoding, "header": report.header[:_HEADER_NAMES], "aliases": report.aliases,
            "unknown": report.unknown_columns, "missing": report.missing_columns,
        }
        for report in record.files
    ]  # fmt: skip
    detail = {
        "rows_in": record.rows_in, "slots": slots, "none": record.no_slot,
        "repaired": record.repaired, "rejected": record.rejected, "samples": record.samples,
        "quarantine": record.quarantine, "files": files,
    }  # fmt: skip
    return json.dumps(detail, ensure_ascii=False)
