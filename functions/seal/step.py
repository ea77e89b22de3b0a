"""Seal: gathers the slots of a system that changed into one manifest, which a batch works on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract, load_all
from catalog.object_names import Marker
from catalog.records import Event, Manifest
from functions.core import gcs, ledger, markers, records
from functions.core.clients import Clients
from functions.core.errors import PermanentError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.core.telemetry import event
from functions.seal.decision import Candidate, DirtySlot, Verdict, find_candidates
from functions.seal.manifest import within_bytes, write_manifest
from functions.seal.replay import (
    Request,
    is_fulfilled,
    list_pending_replays,
    with_pending_replays,
    write_pending_replays,
    write_replay_markers,
)

MOST_SLOTS = 1000
"""Most slots that one call looks at; a further message takes the rest."""

_THREADS = 8


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Write a manifest of the system's closed slots that changed, up to the bound of bytes.

    Reads markers, then the ledger, then parts and records: what comes later than a marker's listing
    keeps its own marker. Raises Permanent for a system or a replay that cannot be.
    """
    request = message.body(Request)
    contracts = _contracts(request.system)
    landing = clients.storage.bucket(settings.landing)
    if request.dataset or request.manifest:
        asked = write_replay_markers(request, message, landing, contracts)
        yield event("seal", message, "replay asked", system=request.system, rows=asked)
    ready = _ready(landing, contracts, message)
    if not ready:
        yield event("seal", message, "nothing marked", system=request.system)
        return
    marked = {one.contract.dataset for one in ready}
    pending = list_pending_replays(landing, [contracts[dataset] for dataset in marked])
    loaded = ledger.read(clients, request.system)
    candidates = find_candidates(
        landing, with_pending_replays(ready[:MOST_SLOTS], pending), loaded, message
    )
    unchanged = [one for one in candidates if one.verdict is Verdict.UNCHANGED]
    raised = _raise_versions(request.system, unchanged, message, clients)
    work = [one for one in candidates if one.verdict is Verdict.CHANGED or one in unchanged]
    taken = within_bytes(settings.manifest_bytes, [one for one in work if one not in raised])
    write_pending_replays(landing, taken)
    manifest = write_manifest(landing, request.system, contracts, taken, message, settings)
    waiting = [one for one in work if one not in raised and one not in taken]
    done = [one for one in candidates if one not in waiting]
    _drop(landing, [name for one in done for name in one.marked.markers])
    _drop(landing, [marker.name for marker in pending if is_fulfilled(marker, loaded)])
    if waiting or len(ready) > MOST_SLOTS:
        clients.publish("seal", json.dumps({"system": request.system}).encode(), {})
    yield from _slot_events(done, manifest, message)


def _contracts(system: str) -> dict[str, Contract]:
    """The system's data sets that are not retired; raises Permanent where there is no such system."""
    every = load_all()
    if system not in {contract.system for contract in every.values()}:
        known = ", ".join(sorted({contract.system for contract in every.values()}))
        raise PermanentError(f"seal: no contract names the system {system!r}; known are {known}")
    return {d: c for d, c in every.items() if c.system == system and not c.retired}


def _ready(landing: Bucket, contracts: dict[str, Contract], message: Message) -> list[DirtySlot]:
    """The marked slots that are closed, oldest first, with the markers whose record is there."""
    found: list[DirtySlot] = []
    for contract in contracts.values():
        listed = markers.dirty(landing, contract)
        runs = {marker.split.run for marker in listed if marker.split}
        split_keys = records.recorded_splits(landing, contract.dataset, runs)
        slots: dict[str, list[Marker]] = {}
        for marker in listed:
            if marker.split is None or marker.split in split_keys:
                slots.setdefault(marker.slot, []).append(marker)
        found += [
            DirtySlot(contract, slot, tuple(m.name for m in some), max(m.replay for m in some))
            for slot, some in slots.items()
            if contract.closed(slot, message.published)
        ]
    return sorted(found, key=lambda marked: marked.order)


def _raise_versions(
    system: str, unchanged: list[Candidate], message: Message, clients: Clients
) -> list[Candidate]:
    """Raise the versions of unchanged slots; those that the ledger now holds."""
    if not unchanged:
        return []
    slots = [one.parts for one in unchanged]
    holder = f"seal {message.id}"
    after = ledger.raise_versions(clients, system, slots, holder, message.published)
    return [
        one
        for one in unchanged
        if ledger.current(after.get((one.parts.dataset, one.parts.slot)), one.parts.version)
    ]


def _drop(landing: Bucket, markers: Iterable[str]) -> None:
    """Delete exactly these markers."""
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda name: gcs.delete(landing, name), markers))


_SEVERITY = {Verdict.REFUSED: "ERROR", Verdict.EMPTY: "WARNING"}


def _slot_events(
    done: Iterable[Candidate], manifest: Manifest | None, message: Message
) -> Iterator[Event]:
    """An event for each slot."""
    sealed = {(s.dataset, s.slot): s.version for s in manifest.slots} if manifest else {}
    name = object_names.manifest(manifest.system, manifest.id) if manifest else ""
    for one in done:
        version = sealed.get((one.marked.contract.dataset, one.marked.slot))
        yield _slot_event(one, version, name, message)


def _slot_event(one: Candidate, sealed: str | None, manifest: str, message: Message) -> Event:
    """The event of one slot; `sealed` is the version that the manifest has of it."""
    dataset, slot = one.marked.contract.dataset, one.marked.slot
    texts = {
        Verdict.REFUSED: "fewer parts count than are loaded, or no more with a newer run: the loaded "
        "ones stand; look for held or refused splits and deleted parts",
        Verdict.EMPTY: "no part of it counts: held, refused, gone, or none came yet and the slot before it marked it",
    }
    text = texts.get(one.verdict)
    return event(
        "seal",
        message,
        Verdict.CHANGED if sealed else one.verdict,
        subject=f"{dataset} {slot}",
        severity=_SEVERITY.get(one.verdict, "INFO"),
        message=f"{dataset} {slot}: {text}" if text else "",
        system=one.marked.contract.system,
        dataset=dataset,
        slot=slot,
        version=sealed or (one.content.parts.version if one.content else None),
        rows=one.content.parts.rows_in if one.content else None,
        bytes=one.content.bytes if one.content else None,
        object=manifest if sealed else None,
    )
