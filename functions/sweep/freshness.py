"""Freshness: data sets whose last good fetch is older than their contract's objective."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from google.cloud.storage import Blob, Bucket

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.records import OUTCOME, Claim, Event, Outcome
from catalog.runs import Run
from functions.core import gcs
from functions.core.message import Message
from functions.core.strays import parse_names
from functions.core.telemetry import event


def overdue(contracts: Iterable[Contract], raw: Bucket, message: Message) -> Iterator[Event]:
    """Report each data set without a good fetch, or file of a stream, within its objective.

    Cloud Monitoring looks back 25 hours at most; an objective may be a month, so it is judged here,
    by the claims, each time the sweep comes by. What was never fetched is overdue too.
    """
    for contract in contracts:
        since = message.published - timedelta(hours=contract.freshness_hours)
        if not _arrived(contract, raw, since):
            yield event(
                "sweep",
                message,
                "overdue",
                subject=contract.dataset,
                severity="ERROR",
                message=f"{contract.dataset}: no good fetch since {since:%Y-%m-%d %H:%M} UTC, "
                f"{contract.freshness_hours:g} hours: look at the errors of download, then at its "
                "publisher",
                dataset=contract.dataset,
                system=contract.system,
            )


def _arrived(contract: Contract, raw: Bucket, since: datetime) -> bool:
    """Return whether a run since then was accepted, or brought nothing new; newest first."""
    if contract.kind is Kind.STREAM:
        begin = object_names.stream_file(contract.dataset, Run.at(since))
        folder = object_names.stream_folder(contract.dataset)
        files = raw.list_blobs(
            prefix=folder, start_offset=begin, fields="items(name),nextPageToken"
        )
        listed = (blob.name for blob in files)
        return any(True for _ in parse_names(raw, listed, object_names.stream_file_of))
    folder = f"runs/{contract.dataset}/"
    claims = raw.list_blobs(
        prefix=folder,
        start_offset=folder + Run.at(since).name,
        fields="items(name,metadata),nextPageToken",
    )
    by_name = {claim.name: claim for claim in claims}
    named = parse_names(raw, reversed(by_name), object_names.claim_of)
    return any(_good(raw, by_name[name]) for name, _ in named)


def _good(raw: Bucket, claim: Blob) -> bool:
    """Return whether a claim took its run or saw nothing new; read it only if the list does not say."""
    outcome = (claim.metadata or {}).get(OUTCOME)
    if outcome is not None:
        return Outcome(outcome) is not Outcome.REFUSED
    body = gcs.read(raw, claim.name)
    return body is not None and Claim.decode(body).outcome is not Outcome.REFUSED
