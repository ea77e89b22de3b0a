"""Download: fetches a run of a data set from its publisher; the claim is written last.

Once a run is claimed it is never fetched again. An attempt that loses the claim deletes its own
bytes. Of a sliced data set each claim is of one slice; after the claim the next slice is requested.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from catalog import object_names
from catalog.contract import Contract
from catalog.records import Claim, Event, Outcome
from catalog.runs import Run
from functions.core import gcs, slices
from functions.core.clients import Buckets, Clients
from functions.core.contracts import contract_of
from functions.core.errors import RetryLaterError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.telemetry import event
from functions.download.attempt import DownloadAttempt
from functions.download.request import Ingest, continues_run, resolve_run


def run(message: Message, clients: Clients, settings: Settings) -> Iterable[Event]:
    """Fetch the run that the message asks for, unless it is claimed; then request its next slice.

    Raises PermanentError for a run that may not be requested, and RetryLaterError if no source
    could be read this time. A run that is refused is no error: its claim says why, and an event.
    """
    begin = time.monotonic()
    request = message.body(Ingest)
    contract = contract_of(request.dataset)
    target = resolve_run(request, contract, message)
    if contract.retired:
        yield _event(message, "retired", contract, target)
        return
    following = slices.following(contract, target) if continues_run(request) else None
    buckets = Buckets.of(clients, settings)
    attempt = DownloadAttempt(contract, target, message, buckets, settings, following)
    try:
        claim, won = _existing_or_new(attempt)
    except RetryLaterError as failure:
        if continues_run(request):
            slices.failed(clients, buckets.raw, contract, target, message, str(failure))
        raise
    # The attempt that wrote a claim requests the slice it names: a second request would never end.
    if following and (won or claim.next_slice != following):
        slices.ask(clients, contract, target, following)
    if won:
        yield _claim_event(message, contract, target, claim, time.monotonic() - begin)
    else:
        yield _event(message, "claimed", contract, target)


def _existing_or_new(attempt: DownloadAttempt) -> tuple[Claim, bool]:
    """Return the run's claim, from this attempt only if there is none, and whether it is its own."""
    name = object_names.claim(attempt.contract.dataset, attempt.run)
    body = gcs.read(attempt.buckets.raw, name)
    return attempt.claim() if body is None else (Claim.decode(body), False)


def _claim_event(
    message: Message, contract: Contract, run: Run, claim: Claim, seconds: float
) -> Event:
    return _event(
        message,
        str(claim.outcome),
        contract,
        run,
        severity=_severity(claim),
        message=claim.reason or _passed_over(claim),
        bytes=sum(file.bytes for file in claim.files),
        seconds=round(seconds, 3),
        detail=claim.source,
    )


def _severity(claim: Claim) -> str:
    """Return the severity of a claim's event: a warning if a source was passed over."""
    if claim.outcome is Outcome.REFUSED:
        return "ERROR"
    return "WARNING" if claim.passed_over else "INFO"


def _passed_over(claim: Claim) -> str:
    """Return which sources were passed over for the claimed one, and why."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in claim.passed_over.items())
    return f"{claim.dataset} {claim.run}: {claim.source} instead of {reasons}" if reasons else ""


def _event(
    message: Message,
    outcome: str,
    contract: Contract,
    run: Run,
    /,
    **facts: str | int | float | None,
) -> Event:
    return event(
        "download", message, outcome, subject=run.name, dataset=contract.dataset,
        system=contract.system, run=run.name, object=object_names.claim(contract.dataset, run), **facts,
    )  # fmt: skip
