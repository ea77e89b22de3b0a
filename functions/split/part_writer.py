"""Write the parts of a run: collect rows by slot, write them as they grow, and hash them.

Memory holds the waiting rows with the blocks that they are from, up to `_WAITING_BYTES`. It also
holds rows of small slots, which wait longer, and a chunk of upload for each slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar

import numpy as np
import pyarrow as pa
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Bounds, Column
from catalog.object_names import SplitKey
from catalog.records import Part
from functions.core.gcs import Upload
from functions.parsing import arrays
from functions.parsing.header import RunRefusedError
from functions.split.content_hash import RowsHash
from functions.split.row_groups import RowGroups
from functions.validation.slotting import SlottedBatch

MOST_SLOTS = 1_000
"""Slots of one run: each holds up to a chunk of upload, 256 KiB, until the run ends."""

_WAITING_BYTES = 40 << 20

_WAITING_SHARE = 4
"""When slots are written, the smallest go on waiting, up to a quarter of the bytes, to save row
groups."""

_GROUP_BYTES = 2 << 20
"""Size of a row group, which is in memory three times while it is written."""

_DETACHED_BATCHES = 8
"""So many batches of a slot are joined into one, because each batch costs memory."""

_VARIED = ("integer", "float", "timestamp")
"""Types whose values seldom repeat: a dictionary costs time and saves no bytes."""

T = TypeVar("T")

_Codec = Literal["gzip", "brotli", "lz4", "zstd", "snappy", "none"]


class Parts:
    """The parts of one attempt to split a run, in the bucket `landing`."""

    def __init__(
        self, bucket: Bucket, dataset: str, key: SplitKey, attempt: str, columns: Sequence[Column],
        pool: Executor,
    ) -> None:  # fmt: skip
        """`columns` are the contract's; `run` and `line` are added. `pool` writes."""
        self.slots: dict[str, SlotPart] = {}
        self._bucket = bucket
        self._dataset = dataset
        self._key = key
        self._attempt = attempt
        self._pool = pool
        self._waiting_bytes = 0
        self._repeating = [c.name for c in columns if c.type not in _VARIED] + ["run"]
        self._schema = pa.schema(
            [(column.name, pa.string()) for column in columns]
            + [("run", pa.string()), ("line", pa.int64())]
        )
        # After a dictionary zstd saves little, and its start-up time is long for so few bytes.
        self._compression: dict[str, _Codec] = {
            name: "snappy" if name in self._repeating else "zstd" for name in self._schema.names
        }

    def add(self, cut: SlottedBatch) -> None:
        """Add the rows of a batch by slot, and count its rejects by slot.

        Raises RunRefusedError for a run of more than `MOST_SLOTS` slots.
        """
        count = sum(rows.num_rows for rows in cut.tables.values())
        for slot, rows in cut.tables.items():
            share = cut.bytes * rows.num_rows // count
            self._slot(slot).add(rows, share, cut.newest.get(slot))
        for reject in cut.rejects:
            if reject.slot is not None:
                self._slot(reject.slot).reject(reject.reason, reject.text)
        # The whole batch counts: a few waiting rows keep all its memory.
        self._waiting_bytes += cut.bytes
        if self._waiting_bytes >= _WAITING_BYTES:
            self._flush_largest()

    def ensure_slot(self, slot: str) -> None:
        """Create a part of the slot even if it gets no row."""
        self._slot(slot)

    def finish(self, bounds: Bounds) -> tuple[Part, ...]:
        """Write the waiting rows; return the parts in order of slot.

        A part is held if too many of its rows were rejected.
        """
        slots = sorted(self.slots)
        return tuple(
            _results([self._pool.submit(self.slots[slot].finish, bounds) for slot in slots])
        )

    def abandon(self) -> None:
        """Delete what was written."""
        for part in self.slots.values():
            part.upload.abandon()

    def _flush_largest(self) -> None:
        """Write the slots with the most waiting bytes; detach the rows of the others."""
        parts = sorted(self.slots.values(), key=lambda part: -part.waiting_bytes)
        waiting = sum(part.waiting_bytes for part in parts)
        full = 0
        while waiting > _WAITING_BYTES // _WAITING_SHARE:
            waiting -= parts[full].waiting_bytes
            full += 1
        writing = [self._pool.submit(part.write) for part in parts[:full]]
        _results(writing + [self._pool.submit(part.detach_buffers) for part in parts[full:]])
        pa.default_memory_pool().release_unused()
        self._waiting_bytes = waiting

    def _slot(self, slot: str) -> SlotPart:
        found = self.slots.get(slot)
        if found is None:
            if len(self.slots) >= MOST_SLOTS:
                raise RunRefusedError(
                    f"{self._dataset} {self._key.run.name}: more than {MOST_SLOTS:,} slots, {slot} "
                    "among them; choose a longer slot_unit, or slices ([source.slices])"
                )
            name = object_names.part(self._dataset, slot, self._key, self._attempt)
            upload = Upload(self._bucket, name, "application/vnd.apache.parquet")
            found = SlotPart(
                slot, self._key.run.name, upload, self._schema, self._repeating, self._compression
            )
            self.slots[slot] = found
        return found


@dataclass
class SlotPart:
    """One part while rows are added."""

    slot: str
    run: str
    upload: Upload
    schema: pa.Schema
    repeating: list[str]
    """Columns with few different values."""
    compression: dict[str, _Codec]
    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    newest: float | None = None
    """Seconds since 1970 of its newest event."""
    waiting_bytes: int = 0
    _waiting: list[pa.RecordBatch] = field(default_factory=list)
    _detached: int = 0
    """How many of the waiting batches have buffers of their own."""

    def __post_init__(self) -> None:
        """Begin the file and the hash."""
        self._file = RowGroups(
            self.upload, self.schema, compression=self.compression,
            use_dictionary=self.repeating, write_statistics=False,
        )  # fmt: skip
        self._hash = RowsHash(self.schema.names[:-2])

    def add(self, rows: pa.RecordBatch, size: int, newest: float | None) -> None:
        """Add rows of `size` bytes; they wait."""
        self.rows += rows.num_rows
        self._waiting.append(rows)
        self.waiting_bytes += size
        if newest is not None and (self.newest is None or newest > self.newest):
            self.newest = newest

    def reject(self, reason: str, text: str) -> None:
        """Count a rejected row."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self._hash.reject(reason, text)

    def detach_buffers(self) -> None:
        """Copy the waiting rows whose memory is shared with other slots."""
        if len(self._waiting) == self._detached:
            return
        done = self._detached if self._detached < _DETACHED_BATCHES else 0
        self._waiting[done:] = [_copied(self._waiting[done:])]
        self._detached = done + 1

    def write(self) -> None:
        """Write the waiting rows as row groups that fit into memory."""
        waiting = self._waiting
        size = 1 + len(waiting) // (1 + self.waiting_bytes // _GROUP_BYTES)
        self._waiting, self._detached, self.waiting_bytes = [], 0, 0
        for begin in range(0, len(waiting), size):
            self._write_group(_joined(waiting[begin : begin + size]))

    def _write_group(self, rows: pa.RecordBatch) -> None:
        self._hash.add(rows)
        run = arrays.repeated(self.run, rows.num_rows)
        columns = [*rows.columns[:-1], run, rows.columns[-1]]
        self._file.write(pa.RecordBatch.from_arrays(columns, schema=self.schema))

    def finish(self, bounds: Bounds) -> Part:
        """Create the object; hold the part if it has more rejects than the bounds allow."""
        self.write()
        self._file.finish()
        generation = self.upload.finish()
        bad = sum(self.rejected.values())
        return Part(
            slot=self.slot,
            object=self.upload.name,
            generation=generation,
            rows=self.rows,
            bytes=self.upload.size,
            hash=self._hash.hexdigest(),
            rejected=dict(sorted(self.rejected.items())),
            held=not bounds.accepts_rejects(bad, self.rows + bad),
            newest=None if self.newest is None else _iso(self.newest),
        )


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Join batches into one."""
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _copied(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Copy batches into one with buffers of its own: joining one batch would share them."""
    if len(batches) > 1:
        return _joined(batches)
    return batches[0].take(np.arange(batches[0].num_rows))


def _results(begun: Sequence[Future[T]]) -> list[T]:
    """Wait for all the work, then return its results in order or raise the first error."""
    wait(begun)
    return [future.result() for future in begun]


def _iso(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()
