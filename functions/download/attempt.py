"""One attempt to fetch a run: probe its sources, select one, then claim it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from catalog import object_names
from catalog.contract import Contract, FetchSpec, Kind
from catalog.records import Claim, Outcome
from catalog.runs import Run
from functions.core import gcs, run_history
from functions.core.clients import Buckets
from functions.core.contracts import own_slot
from functions.core.errors import RetryLaterError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.download.body import NotTheDataError
from functions.download.http import FetchFailedError, FetchRefusedError
from functions.download.source_fetcher import SourceFetcher
from functions.download.source_selection import (
    FetchedSource,
    Nothing,
    Selection,
    SourceResult,
    SourceState,
    assess,
    select,
)


@dataclass(frozen=True)
class PreviousRun:
    """The accepted run that a run is compared with."""

    accepted: Claim | None
    """The last accepted claim of the same slot."""
    stored: Claim | None
    """The same, once its split put its rows into the lake."""


@dataclass(frozen=True)
class DownloadAttempt:
    """One attempt to fetch a run. The claim names the `next_slice`."""

    contract: Contract
    run: Run
    message: Message
    buckets: Buckets
    settings: Settings
    next_slice: str | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def claim(self) -> tuple[Claim, bool]:
        """Return the claim that is now in raw, and whether it is this attempt's.

        Raises RetryLaterError if a source failed in a way that may pass, and none could be read.
        """
        deadline = time.monotonic() + self.settings.download_seconds
        headers = self.settings.key_headers(self.contract.source.key)
        previous = _previous_run(self.buckets, self.contract, self.run)
        fetcher = self._fetcher(headers, previous, deadline)
        with ExitStack() as undo:
            results = list(self._probe(fetcher, previous, undo))
            claim = self._claim(_abandon_others(select(results), results), previous)
            # From here on an error may hide a claim that is there and names what was written.
            written = undo.pop_all()
        name = object_names.claim(self.contract.dataset, self.run)
        body = claim.encode()
        existing = gcs.create(self.buckets.raw, name, body, metadata=claim.metadata)
        won = existing == body
        if not won or claim.outcome is not Outcome.ACCEPTED:
            written.close()
        return Claim.decode(existing), won

    def _fetcher(
        self, headers: dict[str, str], previous: PreviousRun, deadline: float
    ) -> SourceFetcher:
        return SourceFetcher(
            contract=self.contract,
            run=self.run,
            raw=self.buckets.raw,
            headers=headers,
            origin=self.settings.origin(self.contract.dataset),
            stored=previous.stored,
            rows_before=_rows_before(self.buckets, self.contract, self.run),
            deadline=deadline,
        )

    def _probe(
        self, fetcher: SourceFetcher, previous: PreviousRun, undo: ExitStack
    ) -> Iterator[SourceResult]:
        """Fetch the sources in order until one is fresh; each has its share of the time left."""
        sources = self.contract.source.fetch
        has_stale = False
        for number, source in enumerate(sources, 1):
            left = len(sources) - number + 1
            fetched = FetchedSource(source.name, self.id if number == 1 else f"{self.id}.{number}")
            undo.callback(fetched.abandon)
            now = time.monotonic()
            deadline = now + (fetcher.deadline - now) / left
            # The last source is stored whatever it is: split refuses it, and raw has the bytes.
            checked = left > 1 or has_stale
            result = self._probe_source(fetcher, source, fetched, previous, deadline, checked)
            yield result
            if result.state is SourceState.FRESH:
                return
            has_stale = has_stale or result.state in (SourceState.STALE, SourceState.OLDER)

    def _probe_source(
        self,
        fetcher: SourceFetcher,
        source: FetchSpec,
        fetched: FetchedSource,
        previous: PreviousRun,
        deadline: float,
        checked: bool,
    ) -> SourceResult:
        """Fetch one source and assess it; of one that cannot be read nothing is left in raw."""
        try:
            fetcher.fetch(source, fetched, deadline, checked=checked)
        except (FetchRefusedError, NotTheDataError) as refused:
            result = SourceResult(fetched, SourceState.REFUSED, str(refused))
        except FetchFailedError as failed:
            result = SourceResult(fetched, SourceState.FAILED, _failure(failed))
        else:
            return assess(fetched, self.contract, self.run, previous.accepted)
        fetched.abandon()
        return result

    def _claim(self, selection: Selection, previous: PreviousRun) -> Claim:
        """Build the claim; raises RetryLaterError if nothing was selected and it may be later."""
        where = f"{self.contract.dataset} {self.run.name}"
        if isinstance(selection, Nothing):
            reason = f"{where}: {selection.reason}"
            if selection.retry:
                raise RetryLaterError(reason)
            return self._record(Outcome.REFUSED, None, selection.passed_over, reason=reason)
        source, passed_over = selection.source, selection.passed_over
        stored = previous.stored
        if stored and (source.unchanged or _hashes(stored) == [f.sha256 for f in source.files]):
            return self._record(Outcome.UNCHANGED, source, passed_over, same_as=stored.run)
        if fault := _too_short(source, self.contract):
            return self._record(Outcome.REFUSED, source, passed_over, reason=f"{where} {fault}")
        return self._record(Outcome.ACCEPTED, source, passed_over)

    def _record(
        self,
        outcome: Outcome,
        source: FetchedSource | None,
        passed_over: dict[str, str],
        *,
        reason: str | None = None,
        same_as: str | None = None,
    ) -> Claim:
        accepted = outcome is Outcome.ACCEPTED
        return Claim(
            dataset=self.contract.dataset,
            run=self.run.name,
            outcome=outcome,
            origin=self.settings.origin(self.contract.dataset),
            source=source.source if source else "",
            fetched_at=self.message.published.isoformat(),
            files=tuple(source.files) if source and accepted else (),
            attempt=self.id,
            reason=reason,
            same_as=same_as,
            next_slice=self.next_slice,
            newest=source.newest.isoformat() if source and source.newest else None,
            passed_over=passed_over,
        )


def _previous_run(buckets: Buckets, contract: Contract, run: Run) -> PreviousRun:
    """Read the last accepted run whose bytes would be the same data again.

    The same bytes on a new day are that day's: only in one slot are they nothing new.
    """
    found = run_history.last_accepted(buckets.raw, buckets.landing, contract.dataset, run)
    if found is None or contract.kind is Kind.SNAPSHOT:
        return PreviousRun(None, None)
    claim, is_split = found
    if own_slot(contract, Run(claim.run)) != own_slot(contract, run):
        return PreviousRun(None, None)
    return PreviousRun(claim, claim if is_split else None)


def _rows_before(buckets: Buckets, contract: Contract, run: Run) -> int:
    """Read the rows of the accepted run before, if a probe compares with them; else 0."""
    if contract.bounds.drop_max is None or len(contract.source.fetch) < 2:
        return 0
    before = run_history.accepted_split(buckets.landing, contract.dataset, run)
    return before.rows_in if before else 0


def _abandon_others(selection: Selection, results: list[SourceResult]) -> Selection:
    """Delete what raw has of the sources that were not selected; return the selection.

    If nothing was selected, the objects go once the claim is written.
    """
    if not isinstance(selection, Nothing):
        for result in results:
            if result.fetched is not selection.source:
                result.fetched.abandon()
    return selection


def _hashes(claim: Claim) -> list[str]:
    return [file.sha256 for file in claim.files]


def _too_short(source: FetchedSource, contract: Contract) -> str | None:
    """Return which file is shorter than the contract's bound, and what to do; else None."""
    bound = contract.bounds.bytes_min
    short = next((file for file in source.files if file.bytes < bound), None)
    if short is None:
        return None
    return (
        f"{short.object.rpartition('/')[2]}: the body has {short.bytes} bytes, the contract expects "
        f"at least {bound}; wait for the next run, or ask the publisher"
    )


def _failure(failed: FetchFailedError) -> str:
    """Return the text of a failure, with the wait that the publisher asks for."""
    wait = "" if failed.retry_after is None else f" (it asks to wait {failed.retry_after:g} s)"
    return f"{failed}{wait}"
