"""A look through what one of several sources gave, before it is claimed.

Only where a contract names fallbacks, and only at bodies that may be held in memory: a body is read
as `split` will read it, so that one which would be refused there sends the fetch to the next
source, and so does one whose newest report is too old.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from catalog.contract import Contract
from catalog.records import Origin
from catalog.runs import Run
from functions.download.source_selection import BoundedBuffer
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
        self, contract: Contract, run: Run, until: float, before: int = 0,
        origin: Origin = Origin.PUBLISHER,
    ) -> None:  # fmt: skip
        """`until` is the instant of `time.monotonic` at which the look ends, finished or not.

        `before` is the number of rows of the accepted run before, 0 where none is known, `origin`
        where the files are from.
        """
        self._least = contract.bounds.min_rows_for(origin)
        self._before = before
        self.newest: datetime | None = None
        self._contract = contract
        self._run = run
        self._until = until
        self._cutter = BlockCutter(contract, run)
        self._rows = self._rejected = 0
        self._whole = True
        self._kept: list[tuple[str, BoundedBuffer]] = []

    def at(self, name: str, copy: BoundedBuffer) -> None:
        """Read one file, or keep it until all that it is joined with are there.

        Raises RunRefusedError where `split` would refuse its form or header.
        """
        if self._contract.source.lookup_keys:
            self._kept.append((name, copy))
        else:
            self._read(name, copy, None)

    def _read(self, name: str, copy: BoundedBuffer, found: LookupTable | None) -> None:
        pieces = copy.pieces()
        if pieces is None:
            self._whole = False
            return
        with ThreadPoolExecutor(1) as pool:
            self._through(self._file(name, pool, found).batches(pieces))

    def _file(self, name: str, pool: ThreadPoolExecutor, found: LookupTable | None) -> FileReader:
        where = f"{self._contract.dataset} {self._run.name} {name}"
        return FileReader(name, where, self._contract, pool, lookup=found)

    def _through(self, batches: Iterator[TextBatch | Block]) -> None:
        """Count rows, rejects and the newest report, as long as there is time."""
        for records in batches:
            self._rows += records.count
            self._count(self._cutter.cut(records))
            if time.monotonic() > self._until:
                self._whole = False
                return

    def _read_joined(self) -> None:
        """Read the files that were kept, the one beside the others first."""
        found, others = self._joined()
        for name, copy in others:
            self._read(name, copy, found)
        if found is not None:
            self._through(iter([found.unmatched()]))

    def _joined(self) -> tuple[LookupTable | None, list[tuple[str, BoundedBuffer]]]:
        """The file that fills in the others, and those others."""
        if len(self._kept) < 2:
            return None, self._kept
        with ThreadPoolExecutor(1) as pool:
            for at, (name, copy) in enumerate(self._kept):
                pieces = copy.pieces()
                found = pieces and self._file(name, pool, None).as_lookup(pieces)
                if found:
                    return found, self._kept[:at] + self._kept[at + 1 :]
        return None, self._kept

    def end(self) -> datetime | None:
        """The newest report of all files, None where not every one could be read.

        Raises RunRefusedError where they break the contract's bounds on rows and rejects.
        """
        self._read_joined()
        if not self._whole:
            return None
        bounds, where = self._contract.bounds, f"{self._contract.dataset} {self._run.name}"
        if not self._least <= self._rows <= bounds.rows_max:
            raise RunRefusedError(
                f"{where}: {self._rows} rows, the contract expects {self._least} to "
                f"{bounds.rows_max}"
            )
        if bounds.dropped_too_far(self._rows, self._before):
            raise RunRefusedError(
                f"{where}: {self._rows} rows after {self._before} in the run before, a fall of more "
                f"than {bounds.drop_max:.0%}"
            )
        if not bounds.accepts_rejects(self._rejected, self._rows):
            raise RunRefusedError(
                f"{where}: {self._rejected} of {self._rows} rows would be rejected, more than the "
                f"contract bears (a share of {bounds.rejected_share:g})"
            )
        return self.newest

    def _count(self, cut: SlottedBatch) -> None:
        """Count the rows to be rejected, and see the newest report of the others."""
        self._rejected += len(cut.rejects)
        for seconds in cut.newest.values():
            moment = datetime.fromtimestamp(seconds, UTC)
            if self.newest is None or moment > self.newest:
                self.newest = moment
