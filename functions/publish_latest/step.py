"""The step `show`: a snapshot's newest run in a table of `reports`, before its slot has a batch.

One script replaces the table, or leaves it where it shows this run or a newer one (ADR 36).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime

from catalog import object_names
from catalog.object_names import SplitKey
from catalog.records import Event, Outcome
from functions.core import bigquery, records
from functions.core.bigquery import QueryScript, identifier, parameter
from functions.core.clients import Clients
from functions.core.contracts import contract_of
from functions.core.errors import PermanentError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.telemetry import event
from functions.publish_latest.rows import LatestSnapshot, build_latest_snapshot

MOST_BYTES = 8_000_000
"""Most bytes that the rows may take of a request, which BigQuery is known to bound to 10 MB."""

SHOW_BYTES = 1_000_000_000
"""Most bytes that each statement of the script may be billed for."""


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Publish the run whose split record the message names, unless a newer one is published.

    A data set without `newest` in its contract, a run that was refused and one without a row that
    counts leave the table as it is. Raises PermanentError for what is no split record and for rows that
    cannot be shown; a race that is lost raises what BigQuery raises, to be tried again.
    """
    begin = time.monotonic()
    dataset, key = _split_key(message)
    contract = contract_of(dataset)
    landing = clients.storage.bucket(settings.landing)
    record = records.read_split(landing, dataset, key)
    if record is None:
        raise PermanentError(
            f"show: gs://{settings.landing}/{message.object} is not there: the next fetch is shown"
        )
    outcome, rows = "not shown", 0
    if contract.latest_table and not contract.retired and record.outcome is Outcome.ACCEPTED:
        found = build_latest_snapshot(landing, contract, contract.latest_table, record)
        rows = len(found.rows)
        outcome = _put(clients, found, message.published) if rows else "no rows"
    yield event(
        "show", message, outcome, subject=f"{dataset} {key}", system=contract.system,
        dataset=dataset, run=key.run.name, rows=rows, object=message.object,
        seconds=round(time.monotonic() - begin, 3),
    )  # fmt: skip


def show_script(found: LatestSnapshot, now: datetime) -> QueryScript:
    """Build the script that replaces older rows; raise PermanentError for too many rows.

    The text holds no rows: they are a parameter, a list of lists as JSON.
    """
    body = json.dumps(found.rows, ensure_ascii=False, separators=(",", ":"))
    size = len(json.dumps(body).encode())
    if size > MOST_BYTES:
        raise PermanentError(
            f"show: {found.dataset} {found.key}: {size} bytes of rows are too many for one request, "
            f"{MOST_BYTES} at most: lower bounds.rows_max, or take [latest_table] from the contract"
        )
    types = [c.type for c in found.columns]
    casts = (f"CAST(JSON_VALUE(r, '$[{at}]') AS {kind})" for at, kind in enumerate(types))
    sql = _SHOW.format(
        table=identifier(found.table),
        columns=",\n    ".join(identifier(column.name) for column in found.columns),
        values=",\n    ".join(casts),
    )
    parameters = [
        parameter("dataset", "STRING", found.dataset),
        parameter("run", "STRING", str(found.key)),
        parameter("count", "INT64", len(found.rows)),
        parameter("reaches", "TIMESTAMP", found.reaches),
        parameter("origin", "STRING", found.origin),
        parameter("now", "TIMESTAMP", now),
        parameter("shown", "STRING", body),
    ]
    return QueryScript(sql, parameters)


def _put(clients: Clients, found: LatestSnapshot, now: datetime) -> str:
    """Run the script; whether the table now shows this run."""
    script = show_script(found, now)
    rows = bigquery.query(clients, script.sql, script.parameters, cap=SHOW_BYTES)
    # Two first scripts at once may each make the row: they are one, whoever raises both.
    return "shown" if {row.run for row in rows} == {str(found.key)} else "older"


def _split_key(message: Message) -> tuple[str, SplitKey]:
    """Return the data set and the split that an object event names."""
    name = message.object or ""
    try:
        folder, _ = name.split("/", 1)
        dataset, key = object_names.split_of(name)
    except ValueError as error:
        raise PermanentError(f"show: {name!r} is no split record: {error}") from error
    if folder != "splits":
        raise PermanentError(f"show: {name!r} is no split record: show reads splits/ alone")
    return dataset, key


_SHOW = """\
MERGE ops.shown AS s
USING (SELECT @dataset AS dataset) AS d
ON s.dataset = d.dataset
WHEN NOT MATCHED THEN INSERT (dataset, run) VALUES (d.dataset, NULL);
BEGIN TRANSACTION;
UPDATE ops.shown
SET
  run = @run,
  shown_rows = @count,
  data_as_of = @reaches,
  origin = @origin,
  shown_at = @now
WHERE dataset = @dataset AND (run IS NULL OR run < @run);
IF @@row_count > 0 THEN
  DELETE FROM reports.{table} WHERE TRUE;
  INSERT INTO reports.{table} (
    {columns}
  )
  SELECT
    {values}
  FROM UNNEST(JSON_QUERY_ARRAY(@shown)) AS r;
END IF;
COMMIT TRANSACTION;
SELECT
  run
FROM ops.shown
WHERE dataset = @dataset;
"""
"""Whoever raises `run` in the data set's row replaces the table; two that try at once conflict."""
