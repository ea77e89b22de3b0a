"""Check a receipt against its manifest and its files, before anything is loaded."""

from __future__ import annotations

from catalog.records import Counts, Manifest, Receipt, SlotParts
from functions.core.errors import PermanentError


def reconcile(manifest: Manifest, receipt: Receipt) -> None:
    """Refuse a receipt whose counts do not add up: rows in = base rows out + rejected + duplicates."""
    counted = {(each.dataset, each.slot): each for each in receipt.counts}
    base = {table.dataset: table.name for table in manifest.tables if table.base}
    rows = {(each.table, each.slot): each.rows for each in receipt.written}
    for slot in manifest.slots:
        counts = counted.get((slot.dataset, slot.slot))
        fault = (
            _fault(slot, counts, rows.get((base[slot.dataset], slot.slot)))
            if counts
            else "the receipt does not count it"
        )
        if fault:
            raise PermanentError(
                f"load: {slot.dataset} {slot.slot} of batch {receipt.batch}: {fault}; nothing was "
                "swapped: fix the job and replay the slot"
            )
    _refuse_unlisted_files(manifest, receipt)


def _fault(slot: SlotParts, counts: Counts, base_rows: int | None) -> str | None:
    """Describe what does not add up in one slot; None if all does."""
    out = counts.rows_out + sum(counts.rejected.values()) + counts.duplicates
    if counts.rows_in != slot.rows_in:
        return f"the batch read {counts.rows_in} rows where the parts hold {slot.rows_in}"
    if counts.rows_in != out:
        return (
            f"{counts.rows_in} rows in are not {counts.rows_out} out + "
            f"{sum(counts.rejected.values())} rejected + {counts.duplicates} duplicates"
        )
    if base_rows != counts.rows_out:
        return f"its base table has {base_rows} rows where {counts.rows_out} were counted"
    return None


def _refuse_unlisted_files(manifest: Manifest, receipt: Receipt) -> None:
    """Refuse a receipt with a table or slot that its manifest does not have."""
    slots = {(slot.dataset, slot.slot) for slot in manifest.slots}
    tables = {(table.dataset, table.name) for table in manifest.tables}
    for each in receipt.written:
        if (each.dataset, each.slot) not in slots or (each.dataset, each.table) not in tables:
            raise PermanentError(
                f"load: batch {receipt.batch} wrote {each.table} {each.slot}, which its manifest "
                "does not name: fix the job and replay"
            )
