"""A look through what one of several sources gave, before it is claimed.

Only where a contract names fallbacks, and only at bodies that may be held in memory: a body is read
as `split` will read it, so that one which would be refused there sends the fetch to the next
source, and so does one whose newest report is too old.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from catalog.contract import Contract
from catalog.runs import Run
from functions.block_cut import BlockCutter
from functions.candidates import Copy
from functions.columns import RunRefused
from functions.cut import Cut
from functions.readers import File


class Look:
    """A look through all files of one source."""

    def __init__(self, contract: Contract, run: Run, until: float) -> None:
        """`until` is the instant of `time.monotonic` at which the look ends, finished or not."""
        self.newest: datetime | None = None
        self._contract = contract
        self._run = run
        self._until = until
        self._cutter = BlockCutter(contract, run)
        self._rows = self._rejected = 0
        self._whole = True

    def at(self, name: str, copy: Copy) -> None:
        """Read one file; raises RunRefused where `split` would refuse its form or header."""
        pieces = copy.pieces()
        if pieces is None:
            self._whole = False
            return
        where = f"{self._contract.dataset} {self._run.name} {name}"
        with ThreadPoolExecutor(1) as pool:
            for records in File(name, where, self._contract, pool).batches(pieces):
                self._rows += records.count
                self._count(self._cutter.cut(records))
                if time.monotonic() > self._until:
                    self._whole = False
                    return

    def end(self) -> datetime | None:
        """The newest report of all files, None where not every one could be read.

        Raises RunRefused where they break the contract's bounds on rows and rejects.
        """
        if not self._whole:
            return None
        bounds, where = self._contract.bounds, f"{self._contract.dataset} {self._run.name}"
        if not bounds.rows_min <= self._rows <= bounds.rows_max:
            raise RunRefused(
                f"{where}: {self._rows} rows, the contract expects {bounds.rows_min} to "
                f"{bounds.rows_max}"
            )
        if not bounds.bears(self._rejected, self._rows):
            raise RunRefused(
                f"{where}: {self._rejected} of {self._rows} rows would be rejected, more than the "
                f"contract bears (a share of {bounds.rejected_share:g})"
            )
        return self.newest

    def _count(self, cut: Cut) -> None:
        """Count the rows to be rejected, and see the newest report of the others."""
        self._rejected += len(cut.rejects)
        for seconds in cut.newest.values():
            moment = datetime.fromtimestamp(seconds, UTC)
            if self.newest is None or moment > self.newest:
                self.newest = moment
