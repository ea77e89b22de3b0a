"""Load: what a batch wrote into staging, then the one swap into the lake and the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout

import msgspec

from catalog import object_names
from catalog.records import Event, Receipt, SlotParts
from functions.core import gcs, ledger
from functions.core.clients import Clients
from functions.core.errors import PermanentError, RetryLaterError
from functions.core.message import Message
from functions.core.records import read_manifest
from functions.core.settings import Settings
from functions.core.telemetry import event
from functions.load.reconcile import reconcile
from functions.load.staging import load_into_staging, staged_tables
from functions.load.swap import swap

SECONDS = 400.0
"""How long one call waits in all."""


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Load a receipt's files and swap in the slots that are newer than what is loaded.

    Raises PermanentError, with nothing swapped, when the receipt does not reconcile with its manifest;
    RetryLaterError when BigQuery takes too long; and what BigQuery raises, a lost race among it.
    """
    deadline = time.monotonic() + SECONDS
    receipt = _receipt(message, clients, settings)
    landing = clients.storage.bucket(settings.landing)
    manifest = read_manifest(landing, receipt.system, receipt.id)
    reconcile(manifest, receipt)
    loaded = ledger.read(clients, manifest.system)
    if all(ledger.current(loaded.get((s.dataset, s.slot)), s.version) for s in manifest.slots):
        for slot in manifest.slots:
            own = loaded[slot.dataset, slot.slot].manifest == manifest.id
            yield _event(slot, receipt, own, message)
        return
    tables = staged_tables(manifest, receipt)
    try:
        load_into_staging(clients, settings, receipt, tables, deadline)
        staged = frozenset(table.lake.name for table in tables if table.files)
        left = max(deadline - time.monotonic(), 1.0)
        fresh = swap(clients, manifest, receipt.counts, staged, message.published, left)
    except FutureTimeout as error:
        raise RetryLaterError(
            f"load: {receipt.id} took over {SECONDS:g} s: it is tried again"
        ) from error
    for slot in manifest.slots:
        yield _event(slot, receipt, (slot.dataset, slot.slot) in fresh, message)


def _receipt(message: Message, clients: Clients, settings: Settings) -> Receipt:
    """Read the receipt that an object event names; raise PermanentError if there is none."""
    name = message.object or ""
    body = gcs.read(clients.storage.bucket(settings.lake), name) if name else None
    if not name.startswith("receipts/") or body is None:
        raise PermanentError(
            f"load: gs://{settings.lake}/{name} is not a receipt that is there: replay its slots"
        )
    receipt = Receipt.decode(body)
    if object_names.receipt(receipt.system, receipt.id) != name:
        raise PermanentError(f"load: gs://{settings.lake}/{name} is the receipt of {receipt.id}")
    return receipt


def _event(slot: SlotParts, receipt: Receipt, is_current: bool, message: Message) -> Event:
    """Build the event of one slot; `is_current` says whether the loaded rows are this receipt's."""
    counts = next(c for c in receipt.counts if (c.dataset, c.slot) == (slot.dataset, slot.slot))
    return event(
        "load",
        message,
        "loaded" if is_current else "stale",
        subject=f"{slot.dataset} {slot.slot}",
        system=receipt.system,
        dataset=slot.dataset,
        slot=slot.slot,
        run=slot.run,
        version=slot.version,
        rows=counts.rows_out,
        object=message.object,
        detail=msgspec.json.encode(counts).decode(),
    )
