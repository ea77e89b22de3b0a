"""A snapshot's run as its table of newest rows shows it: one row for each key, values as text."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import NotFound
from google.cloud.storage import Bucket

from catalog import latest_table
from catalog.contract import Contract, LatestTable
from catalog.object_names import SplitKey
from catalog.records import Part, SplitRecord, TableColumn
from catalog.runs import Run
from functions.core.errors import PermanentError
from functions.validation.typed import castable

Values = tuple[str | None, ...]


@dataclass(frozen=True)
class LatestSnapshot:
    """What a table of newest rows is to show."""

    dataset: str
    table: str
    columns: tuple[TableColumn, ...]
    key: SplitKey
    origin: str
    reaches: datetime
    """The newest report of the fetch, else its tick."""
    rows: tuple[Values, ...]
    """Values in the order of `columns`, as a CAST of BigQuery reads them."""


def build_latest_snapshot(
    landing: Bucket, contract: Contract, facet: LatestTable, record: SplitRecord
) -> LatestSnapshot:
    """Build the snapshot to publish of an accepted run; parts that are held do not count.

    Raises PermanentError where a part is gone, or holds what is no value of the contract's types.
    """
    key = SplitKey(Run(record.run), record.replay)
    parts = [part for part in record.parts if not part.held]
    report_times = [datetime.fromisoformat(part.newest) for part in parts if part.newest]
    # A report of a wrong clock lies ahead of its fetch: no data reach further than that.
    reaches = min(max(report_times, default=key.run.time), key.run.time)
    rows = [row for part in parts for row in _read(landing, contract, part)]
    said = (str(key), reaches.isoformat(), str(record.origin))
    return LatestSnapshot(
        dataset=contract.dataset,
        table=facet.table,
        columns=latest_table.columns(contract, facet),
        key=key,
        origin=str(record.origin),
        reaches=reaches,
        rows=tuple(_newest_by_key(contract, facet, key.run.time, rows, said)),
    )


@dataclass(frozen=True)
class _Row:
    """A row of a part: the values of the contract's columns, and when it was reported."""

    values: Values
    reported: datetime | None
    line: int


def _read(landing: Bucket, contract: Contract, part: Part) -> Iterator[_Row]:
    """Read the rows of a part; a column that the contract got later is empty."""
    table = _table(landing, part)
    columns = [
        table.column(c.name).to_pylist() if c.name in table.column_names else [None] * len(table)
        for c in contract.columns
    ]
    zone = contract.calendar.zone
    timed = [column.name for column in contract.columns].index(contract.time_column or "")
    kinds = [column.type for column in contract.columns]
    lines = [int(line or 0) for line in table.column("line").to_pylist()]
    for line, texts in zip(lines, zip(*columns, strict=True), strict=True):
        try:
            values = tuple(castable(k, t, zone) for k, t in zip(kinds, texts, strict=True))
        except ValueError as error:
            raise PermanentError(
                f"{contract.dataset}: {part.object} line {line}: {error}: the contract has changed "
                "since; the next fetch is shown"
            ) from error
        moment = values[timed]
        yield _Row(values, datetime.fromisoformat(moment) if moment else None, line)


def _table(landing: Bucket, part: Part) -> pa.Table:
    """Read a part as it was written."""
    try:
        body = landing.blob(part.object, generation=part.generation).download_as_bytes()
    except NotFound as error:
        raise PermanentError(
            f"gs://{landing.name}/{part.object} of generation {part.generation} is gone: the next "
            "fetch is shown"
        ) from error
    return pq.read_table(io.BytesIO(body))


def _newest_by_key(
    contract: Contract,
    facet: LatestTable,
    tick: datetime,
    rows: Sequence[_Row],
    said: Sequence[str],
) -> Iterator[Values]:
    """Yield the row of each key that was reported last, with its added columns.

    Of rows with the same time, the first in the file counts.
    """
    names = [column.name for column in contract.columns]
    groups: dict[Values, list[_Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.values[names.index(n)] for n in facet.key), []).append(row)
    for same in groups.values():
        row = max(same, key=lambda each: _rank(each, tick))
        age = repr((tick - row.reported).total_seconds() / 60) if row.reported else None
        run, *rest = said
        yield (*row.values, tick.isoformat(), age, str(len(same)), run, str(row.line), *rest)


def _rank(row: _Row, tick: datetime) -> tuple[bool, datetime, int]:
    """Return what orders the rows of a key: a report of a wrong clock is not the newest."""
    reported = row.reported or _NEVER
    return reported <= tick + _AHEAD, reported, -row.line


_AHEAD = timedelta(minutes=10)
"""How far ahead of its tick a report may be: a fetch may come ten minutes late (ADR 29)."""

_NEVER = datetime.min.replace(tzinfo=UTC)
