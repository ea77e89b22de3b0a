"""Load the files of a batch into staging tables."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from google.api_core.exceptions import Conflict, NotFound
from google.cloud.bigquery import LoadJob, LoadJobConfig, SchemaField, SourceFormat

from catalog import object_names
from catalog.records import LakeTable, Manifest, Receipt
from functions.core import bigquery
from functions.core.clients import Clients
from functions.core.errors import PermanentError
from functions.core.settings import Settings

MOST_FILES = 10_000
"""Most URIs that BigQuery takes in one load job."""

_TRIES = 50


@dataclass(frozen=True)
class StagedTable:
    """A table with the files and rows that the batch wrote for it."""

    lake: LakeTable
    files: tuple[str, ...]
    rows: int


def staged_tables(manifest: Manifest, receipt: Receipt) -> list[StagedTable]:
    """List the manifest's tables with the receipt's files; raise PermanentError for too many files."""
    staged = []
    for table in manifest.tables:
        written = [each for each in receipt.written if each.table == table.name]
        files = tuple(file for each in written for file in each.files)
        if len(files) > MOST_FILES:
            raise PermanentError(
                f"load: batch {receipt.batch} wrote {len(files)} files of {table.name}, over the "
                f"{MOST_FILES} of a load job: write fewer files a slot, or lower MANIFEST_BYTES"
            )
        staged.append(StagedTable(table, files, sum(each.rows for each in written)))
    return staged


def load_into_staging(
    clients: Clients,
    settings: Settings,
    receipt: Receipt,
    tables: list[StagedTable],
    deadline: float,
) -> None:
    """Load each table's files into its staging table, all at once, and wait for them."""
    jobs = [
        (table, _load_job(clients, settings, receipt, table)) for table in tables if table.files
    ]
    for table, job in jobs:
        job.result(timeout=max(deadline - time.monotonic(), 1.0))
        if job.output_rows != table.rows:
            raise PermanentError(
                f"load: {table.lake.name}: the files of batch {receipt.batch} hold "
                f"{job.output_rows} rows where its receipt says {table.rows}: replay the slots"
            )


def _load_job(
    clients: Clients, settings: Settings, receipt: Receipt, table: StagedTable
) -> LoadJob:
    """Return the load job of a table: the existing one, or the next if that failed."""
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
                retry=bigquery.RETRY,
                timeout=60.0,
            )
        except Conflict:
            job = clients.bigquery.get_job(job_id)
        if isinstance(job, LoadJob) and _usable(clients, job, destination):
            return job
        if number == _TRIES:
            raise PermanentError(
                f"load: {table.lake.name}: {number} load jobs failed, last {job_id}: "
                f"{job.error_result}"
            )
    raise AssertionError("unreachable")


def _usable(clients: Clients, job: LoadJob, destination: str) -> bool:
    """Return whether an earlier job still runs, or succeeded and its table still exists."""
    if job.state != "DONE":
        return True
    if job.error_result:
        return False
    try:
        clients.bigquery.get_table(destination)
    except NotFound:  # staging tables expire
        return False
    return True
