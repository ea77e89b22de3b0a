"""What one of several sources gave, looked through before it is claimed.

Only where a contract names fallbacks, and only bodies that may be held in memory: a body is read as
`split` will read it, so that one which would be refused there sends the fetch to the next source,
and so does one whose newest report is too old.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.contract import Contract
from catalog.records import RawFile
from catalog.runs import Run
from functions.block_cut import BlockCutter
from functions.columns import RunRefused
from functions.cut import Cut
from functions.readers import File
from functions.uploads import Upload

MOST_BYTES = 20_000_000
"""Largest body that is looked through; a larger one is judged by its size and head alone."""
_PIECE_BYTES = 1 << 18


@dataclass
class Fetched:
    """What one source gave."""

    source: str
    attempt: str
    """The folder of its objects: the try's own, and of a further source another."""
    files: list[RawFile] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    unchanged: bool = False
    newest: datetime | None = None
    """Its newest report, where it was looked through and the contract names a time column."""

    def abandon(self) -> None:
        """Leave nothing of it in raw."""
        for upload in self.uploads:
            upload.abandon()
        self.uploads.clear()


class Copy:
    """The bytes of a body, kept while they are few enough to be looked through."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self._kept: bytearray | None = bytearray()

    def add(self, chunk: bytes) -> None:
        """Keep a chunk, or give up."""
        if self._kept is None:
            return
        self._kept += chunk
        if len(self._kept) > MOST_BYTES:
            self._kept = None

    def pieces(self) -> Iterator[bytes] | None:
        """The bytes again; None where there were too many."""
        kept = self._kept
        if kept is None:
            return None
        return (bytes(kept[at : at + _PIECE_BYTES]) for at in range(0, len(kept), _PIECE_BYTES))


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


def stale(contract: Contract, run: Run, newest: datetime | None) -> str | None:
    """Why a source counts as stale; None where it does not, or nobody knows its newest report.

    A slot that was asked for can have no report after its end.
    """
    if newest is None:
        return None
    own = contract.source.stale_after_hours
    hours = contract.freshness_hours if own is None else own
    until = min(run.time, contract.calendar.end(run.asked)) if run.asked else run.time
    if newest >= until - timedelta(hours=hours):
        return None
    return (
        f"its newest report is of {newest:%Y-%m-%d %H:%M} UTC, more than {hours:g} hours before "
        f"{until:%Y-%m-%d %H:%M}"
    )


def freshest(found: Sequence[Fetched]) -> Fetched:
    """Of sources whose newest reports are known the one with the newest, the first among equals."""
    return max(found, key=lambda each: each.newest or datetime.min.replace(tzinfo=UTC))
