"""What one of several sources gave, before it is claimed, and how old is too old.

A body that may be held in memory is looked through (`functions.download.probe`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from catalog.contract import Contract
from catalog.records import Claim, RawFile
from catalog.runs import Run
from functions.core.gcs import Upload

MOST_BYTES = 20_000_000
"""Largest body that is looked through; a larger one is judged by its size and head alone."""

_PIECE_BYTES = 1 << 18

REMEDIATION = (
    "what stands is newer and stays; wait for the next run, or, where the publisher withdrew its "
    "newest reports for good, take the fallbacks out of the contract for one run"
)
"""What to do where every source that could be read is behind."""


@dataclass
class FetchedSource:
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


class BoundedBuffer:
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


def staleness(contract: Contract, run: Run, newest: datetime | None) -> str | None:
    """Why a source counts as stale; None where it does not, or nobody knows its newest report.

    A slot that was asked for can have no report after its end.
    """
    if newest is None:
        return None
    own = contract.source.stale_after_hours
    hours = contract.freshness_hours if own is None else own
    until = (
        min(run.time, contract.calendar.end(run.requested_slot)) if run.requested_slot else run.time
    )
    if newest >= until - timedelta(hours=hours):
        return None
    return (
        f"its newest report is of {newest:%Y-%m-%d %H:%M} UTC, more than {hours:g} hours before "
        f"{until:%Y-%m-%d %H:%M}"
    )


def newest_report(claim: Claim | None) -> datetime | None:
    """The newest report of what was claimed, where it was seen."""
    return datetime.fromisoformat(claim.newest) if claim and claim.newest else None


def regression(report: datetime | None, last: Claim) -> str | None:
    """Why a source whose newest report is `report` is older than the last accepted run.

    None where it is not, or where one of the two newest reports is not known.
    """
    known = newest_report(last)
    if report is None or known is None or report >= known:
        return None
    return (
        f"its newest report is of {report:%Y-%m-%d %H:%M} UTC, that of the accepted run {last.run} "
        f"of {known:%Y-%m-%d %H:%M}"
    )


def freshest(found: Sequence[FetchedSource]) -> FetchedSource:
    """Of sources whose newest reports are known the one with the newest, the first among equals."""
    return max(found, key=lambda each: each.newest or datetime.min.replace(tzinfo=UTC))
