"""Look through the files of one of several sources, before it is claimed.

A contract that names fallbacks has its bodies read as `split` will read them, if they fit in
memory. If `split` would refuse a body, or its newest report is too old, the next source is fetched.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from catalog.contract import Contract
from catalog.records import Origin
from catalog.runs import Run
from functions.download.body import BoundedBuffer
from functions.parsing.batch import TextBatch
from functions.parsing.csv.blocks import Block
from functions.parsing.file_reader import FileReader
from functions.parsing.header import RunRefusedError
from functions.parsing.lookup_join import LookupTable
from functions.validation.block_cut import BlockCutter
from functions.validation.slotting import SlottedBatch


class SourceProbe:
    """A look through all files of one source."""

    def __init__(
        self, contract: Contract, run: Run, until: float, rows_before: int = 0,
        origin: Origin = Origin.PUBLISHER,
    ) -> None:  # fmt: skip
        """Begin without rows; end at the instant `until` of `time.monotonic`, finished or not.

        `rows_before` is the number of rows of the accepted run before, 0 if unknown; `origin` says
        where the files are from.
        """
        self._min_rows = contract.bounds.min_rows_for(origin)
        self._rows_before = rows_before
        self.newest: datetime | None = None
        self._contract = contract
        self._run = run
        self._until = until
        self._cutter = BlockCutter(contract, run)
        self._rows = self._rejected = 0
        self._complete = True
        self._buffers: list[tuple[str, BoundedBuffer]] = []

    def inspect_file(self, name: str, buffer: BoundedBuffer) -> None:
        """Read one file, or hold it until all files that it is joined with have arrived.

        Raises RunRefusedError if `split` would refuse its format or header.
        """
        if self._contract.source.lookup_keys:
            self._buffers.append((name, buffer))
        else:
            self._read(name, buffer, None)

    def _read(self, name: str, buffer: BoundedBuffer, found: LookupTable | None) -> None:
        pieces = buffer.pieces()
        if pieces is None:
            self._complete = False
            return
        with ThreadPoolExecutor(1) as pool:
            self._through(self._file(name, pool, found).batches(pieces))

    def _file(self, name: str, pool: ThreadPoolExecutor, found: LookupTable | None) -> FileReader:
        where = f"{self._contract.dataset} {self._run.name} {name}"
        return FileReader(name, where, self._contract, pool, lookup=found)

    def _through(self, batches: Iterator[TextBatch | Block]) -> None:
        """Count rows and rejects and find the newest report, as long as there is time."""
        for records in batches:
            self._rows += records.count
            self._count(self._cutter.cut(records))
            if time.monotonic() > self._until:
                self._complete = False
                return

    def _read_joined(self) -> None:
        """Read the files that are joined, the lookup table first."""
        found, others = self._joined()
        for name, buffer in others:
            self._read(name, buffer, found)
        if found is not None:
            self._through(iter([found.unmatched()]))

    def _joined(self) -> tuple[LookupTable | None, list[tuple[str, BoundedBuffer]]]:
        """Return the lookup table and the files that it completes."""
        if len(self._buffers) < 2:
            return None, self._buffers
        with ThreadPoolExecutor(1) as pool:
            for at, (name, buffer) in enumerate(self._buffers):
                pieces = buffer.pieces()
                found = pieces and self._file(name, pool, None).as_lookup(pieces)
                if found:
                    return found, self._buffers[:at] + self._buffers[at + 1 :]
        return None, self._buffers

    def finish(self) -> datetime | None:
        """Return the newest report of all files; None if not every file could be read.

        Raises RunRefusedError if they break the contract's bounds on rows and rejects.
        """
        self._read_joined()
        if not self._complete:
            return None
        bounds, where = self._contract.bounds, f"{self._contract.dataset} {self._run.name}"
        if not self._min_rows <= self._rows <= bounds.rows_max:
            raise RunRefusedError(
                f"{where}: {self._rows} rows, the contract expects {self._min_rows} to "
                f"{bounds.rows_max}"
            )
        if bounds.dropped_too_far(self._rows, self._rows_before):
            raise RunRefusedError(
                f"{where}: {self._rows} rows after {self._rows_before} in the run before, a fall of more "
                f"than {bounds.drop_max:.0%}"
            )
        if not bounds.accepts_rejects(self._rejected, self._rows):
            raise RunRefusedError(
                f"{where}: {self._rejected} of {self._rows} rows would be rejected, more than the "
                f"contract allows (a share of {bounds.rejected_share:g})"
            )
        return self.newest

    def _count(self, cut: SlottedBatch) -> None:
        """Count the rows to be rejected, and update the newest report of the others."""
        self._rejected += len(cut.rejects)
        for seconds in cut.newest.values():
            moment = datetime.fromtimestamp(seconds, UTC)
            if self.newest is None or moment > self.newest:
                self.newest = moment
