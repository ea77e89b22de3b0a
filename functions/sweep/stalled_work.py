"""Find work whose message is lost: claims, stream files and manifests without a successor."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from google.cloud.storage import Blob, Bucket

from catalog import object_names
from catalog.contract import Contract
from catalog.records import OUTCOME, Claim, Manifest, Outcome
from catalog.runs import Run
from functions.core import dataproc, gcs, ledger, markers, records, slices
from functions.core.clients import Clients
from functions.core.contracts import is_slot
from functions.core.ledger import Ledger
from functions.core.settings import Settings, SparkSettings
from functions.core.slices import MissingSlice
from functions.core.strays import parse_names
from functions.sweep import resend
from functions.sweep.resend import Action, Decision, StalledWork

PATIENCE = timedelta(minutes=10)
"""How long a step's own message has before its work is looked for."""

HORIZON = timedelta(days=14)
"""How old a run may be and still be looked for."""

_THREADS = 8

_READ = 32
"""How many claims are read at once."""


def stalled_claims(
    clients: Clients, settings: Settings, contract: Contract, now: datetime
) -> Iterator[Decision]:
    """Decide about claims of the horizon: those without a split, those without a next slice."""
    raw = clients.storage.bucket(settings.raw)
    listed = {blob.name: blob for blob in _since(raw, f"runs/{contract.dataset}/", now)}
    named = parse_names(raw, listed, object_names.claim_of)
    claims = {run: listed[name] for name, (_, run) in named}
    to_split = {
        run: int(blob.generation)
        for run, blob in claims.items()
        if (blob.metadata or {}).get(OUTCOME, Outcome.ACCEPTED) == Outcome.ACCEPTED
    }
    yield from _unsplit(clients, settings, contract.dataset, to_split, now)
    if contract.source.slices is not None:
        yield from _slices(clients, settings, contract, set(claims), now)


def _since(bucket: Bucket, folder: str, now: datetime) -> Iterator[Blob]:
    """List the objects of a folder whose runs are of the horizon, with generations and metadata."""
    listed: Iterator[Blob] = bucket.list_blobs(
        prefix=folder,
        start_offset=folder + Run.at(now - HORIZON).name,
        fields="items(name,generation,metadata),nextPageToken",
    )
    return listed


def _slices(
    clients: Clients, settings: Settings, contract: Contract, claims: set[Run], now: datetime
) -> Iterator[Decision]:
    """Decide about slices that follow a claim or a note, and that nobody has claimed or noted."""
    raw = clients.storage.bucket(settings.raw)
    quarantine = clients.storage.bucket(settings.quarantine)
    listed = [blob.name for blob in _since(raw, object_names.failed_slices(contract.dataset), now)]
    notes = [note for _, note in parse_names(raw, listed, object_names.failed_slice_of)]
    failures = slices.FailedSlice.of(
        note for note in notes if is_slot(contract, note[0].requested_slot)
    )
    claims = {run for run in claims if is_slot(contract, run.requested_slot)}
    found = slices.missing_slices(contract, claims, failures, now)
    gaps = {object_names.claim(contract.dataset, gap.run): gap for gap in found}
    for each in resend.decisions(quarantine, _requests(contract, gaps), now):
        if _to_follow(raw, contract, gaps[each.work.name], now):
            yield each


def _requests(contract: Contract, gaps: Mapping[str, MissingSlice]) -> Iterator[StalledWork]:
    """Build the messages that ask for slices, by the names of the claims that are missing."""
    for name, gap in gaps.items():
        data, attributes = slices.request(contract, gap.run)
        yield StalledWork("download", "ingest", name, attributes, data)


def _to_follow(raw: Bucket, contract: Contract, gap: MissingSlice, now: datetime) -> bool:
    """Return whether a slice should have been requested by now."""
    if gap.claim is None:
        return gap.has_failed_predecessor
    body = gcs.read(raw, object_names.claim(contract.dataset, gap.claim))
    claim = Claim.decode(body) if body else None
    if claim is None or not (gap.has_failed_predecessor or claim.next_slice):
        return False
    return now - datetime.fromisoformat(claim.fetched_at) >= slices.PATIENCE


def _unsplit(
    clients: Clients, settings: Settings, dataset: str, claims: dict[Run, int], now: datetime
) -> Iterator[Decision]:
    """Decide about accepted runs, by run and generation, that no split has recorded or refused.

    A claim is read only if its message is due. One whose list does not give its outcome may turn
    out not to be accepted.
    """
    raw = clients.storage.bucket(settings.raw)
    quarantine = clients.storage.bucket(settings.quarantine)
    done = _split(clients, settings, dataset, claims)
    left = {object_names.claim(dataset, run): claims[run] for run in sorted(claims.keys() - done)}
    works = (_finalized("split", raw.name, name, left[name]) for name in left)
    for due in itertools.batched(resend.decisions(quarantine, works, now), _READ, strict=False):
        bodies = _bodies(raw, [each.work.name for each in due])
        for each, body in zip(due, bodies, strict=True):
            if body and _late(Claim.decode(body), now):
                yield each


def _late(claim: Claim, now: datetime) -> bool:
    """Return whether an accepted claim should have been split by now."""
    late = now - datetime.fromisoformat(claim.fetched_at) >= PATIENCE
    return late and claim.outcome is Outcome.ACCEPTED


def stalled_stream_files(
    clients: Clients, settings: Settings, contract: Contract, now: datetime
) -> Iterator[Decision]:
    """Decide about files of a stream, of the horizon, that no split has recorded or refused."""
    dataset = contract.dataset
    raw = clients.storage.bucket(settings.raw)
    listed = raw.list_blobs(
        prefix=object_names.stream_folder(dataset),
        start_offset=object_names.stream_file(dataset, Run.at(now - HORIZON)),
        fields="items(name,generation),nextPageToken",
    )
    generations = {blob.name: int(blob.generation) for blob in listed}
    named = parse_names(raw, generations, object_names.stream_file_of)
    files = {run: name for name, (_, run) in named}
    late = sorted(files.keys() - _split(clients, settings, dataset, files))
    works = (
        _finalized("split", raw.name, files[run], generations[files[run]])
        for run in late
        if now - run.time >= PATIENCE
    )
    yield from resend.decisions(clients.storage.bucket(settings.quarantine), works, now)


def _split(clients: Clients, settings: Settings, dataset: str, runs: Iterable[Run]) -> set[Run]:
    """List the runs that a split has recorded, from the oldest to the newest of `runs`."""
    landing = clients.storage.bucket(settings.landing)
    return {key.run for key in records.recorded_splits(landing, dataset, runs)}


def _bodies(bucket: Bucket, objects: Iterable[str]) -> list[bytes | None]:
    """Read many objects, in order; None where one is gone."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda name: gcs.read(bucket, name), objects))


def has_dirty_slot(landing: Bucket, contract: Contract, now: datetime) -> bool:
    """Return whether a closed slot of a data set has a marker."""
    return any(contract.closed(marker.slot, now) for marker in markers.dirty(landing, contract))


def stalled_manifests(
    system: str, now: datetime, clients: Clients, settings: Settings
) -> Iterator[Decision]:
    """Decide about manifests whose slots the ledger lacks: load a receipt, or submit a batch."""
    landing = clients.storage.bucket(settings.landing)
    unloaded = _open(landing, system, ledger.read(clients, system), now)
    receipts = _receipts(clients, settings, system, [manifest.id for manifest, _ in unloaded])
    quarantine = clients.storage.bucket(settings.quarantine)
    yield from resend.decisions(quarantine, receipts.values(), now)
    if settings.spark:
        left = [each for each in unloaded if each[0].id not in receipts]
        yield from _submits(system, left, now, clients, settings, settings.spark)


def _receipts(
    clients: Clients, settings: Settings, system: str, identities: Sequence[str]
) -> dict[str, StalledWork]:
    """Look the receipts of manifests up: id → the receipt to load, where there is one.

    One call for each manifest: ids have no order, and a list would have all receipts ever written.
    """
    lake = clients.storage.bucket(settings.lake)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda each: lake.get_blob(object_names.receipt(system, each)), identities)
        return {
            identity: _finalized("load", lake.name, blob.name, int(blob.generation or 0))
            for identity, blob in zip(identities, found, strict=True)
            if blob
        }


def _submits(
    system: str,
    unloaded: Iterable[tuple[Manifest, int]],
    now: datetime,
    clients: Clients,
    settings: Settings,
    spark: SparkSettings,
) -> Iterator[Decision]:
    """Decide about manifests without a receipt; no more are submitted than batches may run.

    A resend that is younger than `resend.ON_ITS_WAY` may become a batch, so it counts among them and
    is looked at first. An older one that waits does not, or it would keep all other manifests back.
    """
    by_name = {object_names.manifest(system, each.id): (each, number) for each, number in unloaded}
    past = resend.past(clients.storage.bucket(settings.quarantine), "submit", by_name)
    free = spark.max_batches - dataproc.unfinished(clients, settings, system)
    recent = past.recent(now)
    for name in sorted(by_name, key=lambda each: each not in recent):
        manifest, generation = by_name[name]
        if free <= 0:
            return
        if name in past.refused:
            continue
        attempt = _next_attempt(clients, settings, spark, manifest)
        if attempt is None:
            continue
        decided = past.decide(
            _finalized("submit", settings.landing, name, generation, attempt), now
        )
        free -= decided.action is Action.SEND or name in recent
        if decided.action is not Action.WAIT:
            yield decided


def _open(
    landing: Bucket, system: str, loaded: Ledger, now: datetime
) -> list[tuple[Manifest, int]]:
    """List the manifests of a system's horizon that are not loaded, oldest first, with generations.

    A manifest that the ledger names is done: its swap decided all its slots at once. When they
    were made is measured from the newest, so that it holds on any clock; `sealed_at` decides.
    """
    listed = landing.list_blobs(
        prefix=f"manifests/{system}/",
        fields="items(name,generation,timeCreated),nextPageToken",
    )
    by_name = {blob.name: blob for blob in listed}
    ids = {
        n: identity
        for n, (_, identity) in parse_names(landing, by_name, object_names.system_and_id)
    }
    done = {each.manifest for each in loaded.values()}
    ordered = sorted((by_name[name] for name in ids), key=lambda blob: blob.time_created)
    blobs = [
        blob
        for blob in ordered
        if ordered[-1].time_created - blob.time_created <= HORIZON and ids[blob.name] not in done
    ]
    bodies = _bodies(landing, [blob.name for blob in blobs])
    found = [
        (Manifest.decode(body), int(blob.generation))
        for blob, body in zip(blobs, bodies, strict=True)
        if body
    ]
    return [
        (manifest, generation)
        for manifest, generation in found
        if PATIENCE <= now - datetime.fromisoformat(manifest.sealed_at) <= HORIZON
        and not all(
            ledger.current(loaded.get((s.dataset, s.slot)), s.version) for s in manifest.slots
        )
    ]


def _next_attempt(
    clients: Clients, settings: Settings, spark: SparkSettings, manifest: Manifest
) -> int | None:
    """Return the attempt that a manifest lacks; None while one is at work or all are used up."""
    attempts = dataproc.attempts(clients, settings, manifest.id)
    if attempts and not attempts[-1].failed and not attempts[-1].succeeded:
        return None
    left = spark.max_attempts - sum(attempt.counts for attempt in attempts)
    return len(attempts) + 1 if left > 0 else None


def _finalized(step: str, bucket: str, name: str, generation: int, attempt: int = 0) -> StalledWork:
    """Build the message about a new object, as the bucket's notification sends it."""
    attributes = {
        "bucketId": bucket,
        "objectId": name,
        "objectGeneration": str(generation),
        "eventType": "OBJECT_FINALIZE",
    }
    return StalledWork(step, step, name, attributes, attempt=attempt)
