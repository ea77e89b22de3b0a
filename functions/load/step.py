"""Load: what a batch wrote into staging, then the one swap into the lake and the ledger."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

import msgspec
from google.api_core.exceptions import Conflict, NotFound
from google.cloud.bigquery import LoadJob, LoadJobConfig, SchemaField, SourceFormat

from catalog import object_names
from catalog.records import Counts, Event, LakeTable, Manifest, Receipt, SlotParts
from functions.core import gcs, ledger
from functions.core.clients import Clients
from functions.core.errors import Later, Permanent
from functions.core.handler import event
from functions.core.message import Message
from functions.core.records import read_manifest
from functions.core.settings import Settings
from functions.load.swap import swap

MOST_FILES = 10_000
"""Most URIs that BigQuery takes in one load job."""
SECONDS = 400.0
"""How long one call waits in all."""
_TRIES = 50


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Load a receipt's files and swap in the slots that are newer than what is loaded.

    Raises Permanent, with nothing swapped, when the receipt does not reconcile with its manifest;
    Later when BigQuery takes too long; and what BigQuery raises, a lost race among it.
    """
    deadline = time.monotonic() + SECONDS
    receipt = _receipt(message, clients, settings)
    landing = clients.storage.bucket(settings.landing)
    manifest = read_manifest(landing, receipt.system, receipt.id)
    _reconcile(manifest, receipt)
    loaded = ledger.read(clients, manifest.system)
    if all(ledger.current(loaded.get((s.dataset, s.slot)), s.version) for s in manifest.slots):
        for slot in manifest.slots:
            own = loaded[slot.dataset, slot.slot].manifest == manifest.id
            yield _told(slot, receipt, own, message)
        return
    tables = _tables(manifest, receipt)
    try:
        _stage(clients, settings, receipt, tables, deadline)
        staged = frozenset(table.lake.name for table in tables if table.files)
        left = max(deadline - time.monotonic(), 1.0)
        fresh = swap(clients, manifest, receipt.counts, staged, message.published, left)
    except FutureTimeout as error:
        raise Later(f"load: {receipt.id} took over {SECONDS:g} s: it is tried again") from error
    for slot in manifest.slots:
        yield _told(slot, receipt, (slot.dataset, slot.slot) in fresh, message)


@dataclass(frozen=True)
class _Table:
    """A table with what the batch wrote of it."""

    lake: LakeTable
    files: tuple[str, ...]
    rows: int


def _receipt(message: Message, clients: Clients, settings: Settings) -> Receipt:
    """The receipt that an object event names; raises Permanent when there is none."""
    name = message.object or ""
    body = gcs.read(clients.storage.bucket(settings.lake), name) if name else None
    if not name.startswith("receipts/") or body is None:
        raise Permanent(
            f"load: gs://{settings.lake}/{name} is not a receipt that is there: replay its slots"
        )
    receipt = Receipt.decode(body)
    if object_names.receipt(receipt.system, receipt.id) != name:
        raise Permanent(f"load: gs://{settings.lake}/{name} is the receipt of {receipt.id}")
    return receipt


def _reconcile(manifest: Manifest, receipt: Receipt) -> None:
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
            raise Permanent(
                f"load: {slot.dataset} {slot.slot} of batch {receipt.batch}: {fault}; nothing was "
                "swapped: mend the job and replay the slot"
            )
    _refuse_strangers(manifest, receipt)


def _fault(slot: SlotParts, counts: Counts, base_rows: int | None) -> str | None:
    """What does not add up in one slot, or None."""
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


def _refuse_strangers(manifest: Manifest, receipt: Receipt) -> None:
    """Refuse a receipt that tells of a table or slot which its manifest did not ask for."""
    slots = {(slot.dataset, slot.slot) for slot in manifest.slots}
    tables = {(table.dataset, table.name) for table in manifest.tables}
    for each in receipt.written:
        if (each.dataset, each.slot) not in slots or (each.dataset, each.table) not in tables:
            raise Permanent(
                f"load: batch {receipt.batch} wrote {each.table} {each.slot}, which its manifest "
                "does not name: mend the job and replay"
            )


def _tables(manifest: Manifest, receipt: Receipt) -> list[_Table]:
    """Every table of the manifest with the receipt's files; raises Permanent when they are too many."""
    made = []
    for table in manifest.tables:
        written = [each for each in receipt.written if each.table == table.name]
        files = tuple(file for each in written for file in each.files)
        if len(files) > MOST_FILES:
            raise Permanent(
                f"load: batch {receipt.batch} wrote {len(files)} files of {table.name}, over the "
                f"{MOST_FILES} of a load job: write fewer files a slot, or lower MANIFEST_BYTES"
            )
        made.append(_Table(table, files, sum(each.rows for each in written)))
    return made


def _stage(
    clients: Clients,
    settings: Settings,
    receipt: Receipt,
    tables: list[_Table],
    deadline: float,
) -> None:
    """Load each table's files into its staging table, all at once, and wait for them."""
    jobs = [
        (table, _load_job(clients, settings, receipt, table)) for table in tables if table.files
    ]
    for table, job in jobs:
        job.result(timeout=max(deadline - time.monotonic(), 1.0))
        if job.output_rows != table.rows:
            raise Permanent(
                f"load: {table.lake.name}: the files of batch {receipt.batch} hold "
                f"{job.output_rows} rows where its receipt says {table.rows}: replay the slots"
            )


def _load_job(clients: Clients, settings: Settings, receipt: Receipt, table: _Table) -> LoadJob:
    """The load job of one table: the one that is there, or the next where it failed."""
    name = object_names.staging_table(table.lake.name, receipt.id)
    destination = f"{settings.project}.staging.{name}"
    config = LoadJobConfig(
        schema=[SchemaField(column.name, column.type) for column in table.lake.columns],
        source_format=SourceFormat.PARQUET,
        write_disposition="WRITE_TRUNCATE",
    )
    for number in itertools.count(1):
        job_id = f"load-{table.lake.name}-{receipt.id}-a{receipt.attempt}-{number}"
        try:
            return clients.bigquery.load_table_from_uri(
                list(table.files),
                destination,
                job_id=job_id,
                job_config=config,
                retry=ledger.RETRY,
                timeout=60.0,
            )
        except Conflict:
            job = clients.bigquery.get_job(job_id)
        if isinstance(job, LoadJob) and _usable(clients, job, destination):
            return job
        if number == _TRIES:
            raise Permanent(
                f"load: {table.lake.name}: {number} load jobs failed, last {job_id}: "
                f"{job.error_result}"
            )
    raise AssertionError("unreachable")


def _usable(clients: Clients, job: LoadJob, destination: str) -> bool:
    """Whether a job that was made before still runs, or ended well and its table still stands."""
    if job.state != "DONE":
        return True
    if job.error_result:
        return False
    try:
        clients.bigquery.get_table(destination)
    except NotFound:  # staging tables expire
        return False
    return True


def _told(slot: SlotParts, receipt: Receipt, stands: bool, message: Message) -> Event:
    """The event of one slot; `stands` says whether what is loaded is this receipt's."""
    counts = next(c for c in receipt.counts if (c.dataset, c.slot) == (slot.dataset, slot.slot))
    return event(
        "load",
        message,
        "loaded" if stands else "stale",
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
