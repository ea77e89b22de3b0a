"""Sweep: finds work that has no successor and publishes the step's own message again."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.cloud.dataproc_v1 import Batch
from google.cloud.storage import Blob, Bucket

from catalog import names
from catalog.contract import Contract, Kind, load_all, systems
from catalog.names import Marker
from catalog.records import OUTCOME, Claim, Event, Manifest, Outcome
from catalog.runs import Run
from functions import batches, freshness, ledger, slices, slot_parts, store
from functions.boundary import event
from functions.clients import Clients
from functions.ledger import Ledger
from functions.messages import Message
from functions.settings import Settings, Spark
from functions.slices import Gap

PATIENCE = timedelta(minutes=10)
"""How long a step's own message has before its work is looked for."""
HORIZON = timedelta(days=14)
"""How old a run may be and still be looked for."""
MOST_MANIFESTS = 100
"""For how many of a system's manifests one call sends messages at most; the next takes others."""
TOLD = timedelta(hours=1)
"""How long a batch's state is told; each state has one event id."""
_THREADS = 8


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Publish again whatever has no successor, tell the states of batches and what is overdue.

    Ages are the differences of publish times, so that they hold on any clock. Work that is being
    done, or done already, is published again at worst: each step reads that and does nothing.
    """
    for system, contracts in systems(load_all()).items():
        for lost in _lost(system, contracts, message, clients, settings):
            clients.publish(lost.topic, lost.data, lost.attributes)
            subject = f"{lost.topic} {lost.name}"
            yield event(
                "sweep",
                message,
                f"sent to {lost.topic}",
                subject=subject,
                severity="WARNING",
                message=f"{lost.name} has no successor",
                system=system,
                object=lost.name,
            )
        yield from _states(system, message, clients, settings)
        yield from freshness.overdue(contracts, clients.storage.bucket(settings.raw), message)


@dataclass(frozen=True)
class Lost:
    """Work without a successor, and the message that its step is called with."""

    topic: str
    name: str
    attributes: dict[str, str]
    data: bytes = b"{}"


def _lost(
    system: str,
    contracts: Iterable[Contract],
    message: Message,
    clients: Clients,
    settings: Settings,
) -> Iterator[Lost]:
    """What a system has begun and not gone on with."""
    landing = clients.storage.bucket(settings.landing)
    for contract in contracts:
        unsplit = _stream_files if contract.kind is Kind.STREAM else _claims
        yield from unsplit(clients, settings, contract, message.published)
    if any(_marked(landing, contract, message.published) for contract in contracts):
        data = json.dumps({"system": system}).encode()
        yield Lost("seal", f"dirty/ of {system}", {}, data)
    manifests = _manifests(system, message.published, clients, settings)
    yield from itertools.islice(manifests, MOST_MANIFESTS)


def _claims(
    clients: Clients, settings: Settings, contract: Contract, now: datetime
) -> Iterator[Lost]:
    """What the claims of the horizon lack: a split that records or refuses it, a next slice."""
    raw = clients.storage.bucket(settings.raw)
    listed = _since(raw, f"runs/{contract.dataset}/", now)
    claims = {names.claim_of(blob.name)[1]: blob for blob in listed}
    to_split = {
        run: int(blob.generation)
        for run, blob in claims.items()
        if (blob.metadata or {}).get(OUTCOME, Outcome.ACCEPTED) == Outcome.ACCEPTED
    }
    yield from _unsplit(clients, settings, contract.dataset, to_split, now)
    if contract.source.slices is not None:
        yield from _slices(raw, contract, set(claims), now)


def _since(bucket: Bucket, folder: str, now: datetime) -> Iterator[Blob]:
    """The objects of a folder whose runs are of the horizon: names, generations, metadata."""
    listed: Iterator[Blob] = bucket.list_blobs(
        prefix=folder,
        start_offset=folder + Run.at(now - HORIZON).name,
        fields="items(name,generation,metadata),nextPageToken",
    )
    return listed


def _slices(raw: Bucket, contract: Contract, claims: set[Run], now: datetime) -> Iterator[Lost]:
    """Slices that are to follow a claim or a note, and that nobody has claimed or noted."""
    notes = _since(raw, names.failed_slices(contract.dataset), now)
    failures = slices.Failed.of(blob.name for blob in notes)
    for gap in slices.unasked(contract, claims, failures, now):
        if _to_follow(raw, contract, gap, now):
            data, attributes = slices.request(contract, gap.run)
            yield Lost("ingest", names.claim(contract.dataset, gap.run), attributes, data)


def _to_follow(raw: Bucket, contract: Contract, gap: Gap, now: datetime) -> bool:
    """Whether a slice should have been asked for by now."""
    if gap.claim is None:
        return gap.noted
    body = store.read(raw, names.claim(contract.dataset, gap.claim))
    claim = Claim.decode(body) if body else None
    if claim is None or not (gap.noted or claim.next_slice):
        return False
    return now - datetime.fromisoformat(claim.fetched_at) >= slices.PATIENCE


def _unsplit(
    clients: Clients, settings: Settings, dataset: str, claims: dict[Run, int], now: datetime
) -> Iterator[Lost]:
    """Accepted runs that no split has recorded and none has refused, by run and generation.

    Claims that are not accepted never get a record: those that do not tell it in a list are read.
    """
    raw = clients.storage.bucket(settings.raw)
    landing = clients.storage.bucket(settings.landing)
    done = {key.run for key in slot_parts.recorded(landing, dataset, claims)}
    left = {names.claim(dataset, run): claims[run] for run in sorted(claims.keys() - done)}
    for name, body in zip(left, _bodies(raw, left), strict=True):
        claim = Claim.decode(body) if body else None
        if claim is None or claim.outcome is not Outcome.ACCEPTED:
            continue
        late = now - datetime.fromisoformat(claim.fetched_at) >= PATIENCE
        if late and not _refused(clients, settings, "split", name):
            yield _finalized("split", raw.name, name, left[name])


def _stream_files(
    clients: Clients, settings: Settings, contract: Contract, now: datetime
) -> Iterator[Lost]:
    """Files of a stream, of the horizon, that no split has recorded and none has refused.

    What lies in their folder under another name is left to the message of its making.
    """
    dataset = contract.dataset
    raw = clients.storage.bucket(settings.raw)
    landing = clients.storage.bucket(settings.landing)
    listed = raw.list_blobs(
        prefix=names.stream_folder(dataset),
        start_offset=names.stream_file(dataset, Run.at(now - HORIZON)),
        fields="items(name,generation),nextPageToken",
    )
    files: dict[Run, int] = {}
    for blob in listed:
        with suppress(ValueError):
            files[names.stream_file_of(blob.name)[1]] = int(blob.generation)
    done = {key.run for key in slot_parts.recorded(landing, dataset, files)}
    for run in sorted(files.keys() - done):
        name = names.stream_file(dataset, run)
        if now - run.time >= PATIENCE and not _refused(clients, settings, "split", name):
            yield _finalized("split", raw.name, name, files[run])


def _refused(clients: Clients, settings: Settings, step: str, name: str) -> bool:
    """Whether a step refused an object for good."""
    return store.exists(clients.storage.bucket(settings.quarantine), names.refused(step, name))


def _bodies(bucket: Bucket, objects: Iterable[str]) -> list[bytes | None]:
    """The bytes of many objects, in order; None where one is gone."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda name: store.read(bucket, name), objects))


def _marked(landing: Bucket, contract: Contract, now: datetime) -> bool:
    """Whether a closed slot of a data set has a marker."""
    markers = map(Marker.parse, store.names(landing, f"dirty/{contract.dataset}/"))
    return any(contract.closed(marker.slot, now) for marker in markers)


def _manifests(system: str, now: datetime, clients: Clients, settings: Settings) -> Iterator[Lost]:
    """Manifests whose slots the ledger lacks: with a receipt to load, without one to submit."""
    landing = clients.storage.bucket(settings.landing)
    lake = clients.storage.bucket(settings.lake)
    loaded = ledger.read(clients, system)
    spark = settings.spark
    free = spark.max_batches - batches.unfinished(clients, settings, system) if spark else 0
    for manifest, generation in _open(landing, system, loaded, now):
        written = names.receipt(system, manifest.id)
        sealed = names.manifest(system, manifest.id)
        receipt = lake.get_blob(written)
        if receipt:
            if not _refused(clients, settings, "load", written):
                yield _finalized("load", lake.name, written, int(receipt.generation or 0))
        elif (
            spark
            and free > 0
            and not _refused(clients, settings, "submit", sealed)
            and _forsaken(clients, settings, spark, manifest)
        ):
            free -= 1
            yield _finalized("submit", landing.name, sealed, generation)


def _open(
    landing: Bucket, system: str, loaded: Ledger, now: datetime
) -> list[tuple[Manifest, int]]:
    """The manifests of a system's horizon that are not loaded, oldest first, with generations.

    A manifest that the ledger names is done: its swap decided all its slots at once. When they
    were made is measured from the newest, so that it holds on any clock; `sealed_at` decides.
    """
    listed = list(
        landing.list_blobs(
            prefix=f"manifests/{system}/",
            fields="items(name,generation,timeCreated),nextPageToken",
        )
    )
    done = {each.manifest for each in loaded.values()}
    ordered = sorted(listed, key=lambda blob: blob.time_created)
    blobs = [
        blob
        for blob in ordered
        if ordered[-1].time_created - blob.time_created <= HORIZON
        and names.system_and_id(blob.name)[1] not in done
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


def _forsaken(clients: Clients, settings: Settings, spark: Spark, manifest: Manifest) -> bool:
    """Whether nobody is at work on a manifest and an attempt is left."""
    made = batches.attempts(clients, settings, manifest.id)
    if made and not made[-1].failed and not made[-1].succeeded:
        return False
    return sum(attempt.counts for attempt in made) < spark.max_attempts


def _finalized(topic: str, bucket: str, name: str, generation: int) -> Lost:
    """The message of an object that was made, as the bucket's notification sends it."""
    attributes = {
        "bucketId": bucket,
        "objectId": name,
        "objectGeneration": str(generation),
        "eventType": "OBJECT_FINALIZE",
    }
    return Lost(topic, name, attributes)


def _states(system: str, message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """An event per batch and state that was reached in the last hour, its id the same each time."""
    for batch in batches.newest(clients, settings, system):
        if message.published - _instant(batch.create_time) > HORIZON:
            return
        if message.published - _instant(batch.state_time) <= TOLD:
            yield _state(system, batch, message)


def _state(system: str, batch: Batch, message: Message) -> Event:
    """A batch's state with its duration in seconds and what it is billed for."""
    identity = batch.name.rpartition("/")[2]
    state = batch.state.name.lower()
    usage = batch.runtime_info.approximate_usage
    detail = {
        "milli_dcu_seconds": usage.milli_dcu_seconds,
        "shuffle_storage_gb_seconds": usage.shuffle_storage_gb_seconds,
        "message": batch.state_message[:500],
    }
    return Event(
        event_id=hashlib.sha256(f"batch\n{identity}\n{state}".encode()).hexdigest()[:32],
        at=message.published.isoformat(),
        step="batch",
        outcome=state,
        severity="ERROR" if batch.state == Batch.State.FAILED else "INFO",
        message=f"{identity} {state}",
        system=system,
        object=identity,
        seconds=(_instant(batch.state_time) - _instant(batch.create_time)).total_seconds(),
        detail=json.dumps(detail, ensure_ascii=False),
    )


def _instant(moment: datetime) -> datetime:
    """A batch's time as a plain aware datetime."""
    return datetime.fromtimestamp(moment.timestamp(), tz=moment.tzinfo)
