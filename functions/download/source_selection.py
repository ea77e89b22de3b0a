"""Select the source to claim among those that were fetched; nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from catalog.contract import Contract
from catalog.records import Claim, RawFile
from catalog.runs import Run
from functions.core.gcs import Upload

REMEDIATION = (
    "the accepted run is newer and stays; wait for the next run, or, where the publisher withdrew its "
    "newest reports for good, take the fallbacks out of the contract for one run"
)
"""What to do if every source that could be read is behind."""


@dataclass
class FetchedSource:
    """The files of one source."""

    source: str
    attempt: str
    """The folder of its objects: the attempt's own, and of a further source another."""
    files: list[RawFile] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    unchanged: bool = False
    newest: datetime | None = None
    """Its newest report, if it was looked through and the contract names a time column."""

    def abandon(self) -> None:
        """Delete its objects in raw."""
        for upload in self.uploads:
            upload.abandon()
        self.uploads.clear()


class SourceState(StrEnum):
    """How a source compares with what the run needs."""

    FRESH = "fresh"
    STALE = "stale"
    OLDER = "older"
    """Its newest report is before that of the last accepted run."""
    REFUSED = "refused"
    """It answered with something that is not the data."""
    FAILED = "failed"
    """It could not be read this time."""


@dataclass(frozen=True)
class SourceResult:
    """One source, its state, and the reason for any state but fresh."""

    fetched: FetchedSource
    state: SourceState
    reason: str = ""


@dataclass(frozen=True)
class Fresh:
    """The first source that is fresh."""

    source: FetchedSource
    passed_over: dict[str, str]
    """Source → why it was passed over, in the order of the contract."""


@dataclass(frozen=True)
class Stale:
    """The freshest source where none is fresh."""

    source: FetchedSource
    passed_over: dict[str, str]


@dataclass(frozen=True)
class Nothing:
    """No source can be claimed."""

    passed_over: dict[str, str]
    reason: str
    retry: bool
    """Whether a source failed in a way that may pass."""


Selection = Fresh | Stale | Nothing


def select(results: Sequence[SourceResult]) -> Selection:
    """Select the first fresh source, else the freshest one that is stale.

    A source that is older than the last accepted run is never selected: it would roll slots back.
    """
    for result in results:
        if result.state is SourceState.FRESH:
            return Fresh(result.fetched, _passed_over(results, result.fetched))
    stale = [each.fetched for each in results if each.state is SourceState.STALE]
    if stale:
        best = max(stale, key=lambda each: each.newest or datetime.min.replace(tzinfo=UTC))
        return Stale(best, _passed_over(results, best))
    return _nothing(results)


def _passed_over(
    results: Iterable[SourceResult], selected: FetchedSource | None = None
) -> dict[str, str]:
    return {each.fetched.source: each.reason for each in results if each.fetched is not selected}


def _nothing(results: Sequence[SourceResult]) -> Nothing:
    """Build the reason from all sources: failures first, then refusals, then what to do."""
    failures = [each.reason for each in results if each.state is SourceState.FAILED]
    refusals = [
        f"{each.fetched.source}: {each.reason}" if len(results) > 1 else each.reason
        for each in results
        if each.state is not SourceState.FAILED
    ]
    reasons = [*failures, *refusals]
    if not failures and any(each.state is SourceState.OLDER for each in results):
        reasons.append(REMEDIATION)
    return Nothing(_passed_over(results), "; ".join(reasons), retry=bool(failures))


def assess(
    fetched: FetchedSource, contract: Contract, run: Run, last: Claim | None
) -> SourceResult:
    """Compare the newest report of a source with the last accepted run and with the limit of age.

    The only source of a contract is always fresh: there is none to take instead.
    """
    if len(contract.source.fetch) < 2:
        return SourceResult(fetched, SourceState.FRESH)
    if last and (reason := regression(fetched.newest, last)):
        return SourceResult(fetched, SourceState.OLDER, reason)
    if reason := staleness(contract, run, fetched.newest):
        return SourceResult(fetched, SourceState.STALE, reason)
    return SourceResult(fetched, SourceState.FRESH)


def staleness(contract: Contract, run: Run, newest: datetime | None) -> str | None:
    """Return why a source counts as stale; None if it does not, or its newest report is unknown.

    A slot that was requested can have no report after its end.
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
    """Return the time of the newest report that a claim names, if it names one."""
    return datetime.fromisoformat(claim.newest) if claim and claim.newest else None


def regression(newest: datetime | None, last: Claim) -> str | None:
    """Return why a source is older than the last accepted run; None if it is not.

    None too if one of the two newest reports is unknown.
    """
    accepted = newest_report(last)
    if newest is None or accepted is None or newest >= accepted:
        return None
    return (
        f"its newest report is of {newest:%Y-%m-%d %H:%M} UTC, that of the accepted run {last.run} "
        f"of {accepted:%Y-%m-%d %H:%M}"
    )
