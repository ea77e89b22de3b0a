"""Seal: gathers the slots of a system that changed into one manifest, which a batch works on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
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
from functions.seal import slot_contents
from functions.seal.decision import Candidate, DirtySlot, Verdict
from functions.seal.manifest import write_manifest
from functions.seal.plan import Action, SealPlan, plan_seal
from functions.seal.replay import (
    Request,
    list_pending_replays,
    with_pending_replays,
    write_pending_replays,
    write_replay_markers,
)
from functions.seal.slot_contents import Content

MOST_SLOTS = 1000
"""Most slots that one call looks at; a further message takes the rest."""

_THREADS = 8


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Write a manifest of the system's closed slots that changed, up to the bound of bytes.

    Reads first, plans then, and applies the plan last. Raises PermanentError for an unknown system
    or a replay request with a fault.
    """
    request = message.body(Request)
    contracts = _contracts(request.system)
    landing = clients.storage.bucket(settings.landing)
    if request.dataset or request.manifest:
        slots = write_replay_markers(request, message, landing, contracts)
        yield event("seal", message, "replay asked", system=request.system, rows=slots)
    ready = _ready(landing, contracts, message)
    if not ready:
        yield event("seal", message, "nothing marked", system=request.system)
        return
    plan = _plan(request.system, ready, contracts, message, clients, settings)
    yield from _apply(plan, request.system, contracts, message, clients, settings)


def _plan(
    system: str,
    ready: list[DirtySlot],
    contracts: dict[str, Contract],
    message: Message,
    clients: Clients,
    settings: Settings,
) -> SealPlan:
    """Read pending replays, then the ledger, then parts and records; plan with what they say.

    The markers were listed before: a part that is written later has a marker that stays.
    """
    landing = clients.storage.bucket(settings.landing)
    datasets = {each.contract.dataset for each in ready}
    pending = list_pending_replays(landing, [contracts[dataset] for dataset in datasets])
    loaded = ledger.read(clients, system)
    marked = with_pending_replays(ready[:MOST_SLOTS], pending)
    contents = _contents(landing, marked)
    overflow = len(ready) > MOST_SLOTS
    return plan_seal(
        marked, contents, pending, loaded, message, settings.manifest_bytes, overflow=overflow
    )


def _apply(
    plan: SealPlan,
    system: str,
    contracts: dict[str, Contract],
    message: Message,
    clients: Clients,
    settings: Settings,
) -> Iterator[Event]:
    """Apply a plan, in an order in which a crash after any effect loses nothing.

    Replays are noted before the manifest takes them, and markers are deleted after it.
    """
    landing = clients.storage.bucket(settings.landing)
    plan = _raise_versions(plan, system, message, clients)
    sealed = plan.candidates(Action.SEAL)
    write_pending_replays(landing, sealed)
    manifest = write_manifest(landing, system, contracts, sealed, message, settings)
    _drop(landing, plan.markers)
    _drop(landing, plan.fulfilled)
    if plan.calls_again:
        clients.publish("seal", json.dumps({"system": system}).encode(), {})
    yield from _slot_events(plan.finished, manifest, message)


def _contracts(system: str) -> dict[str, Contract]:
    """Load the system's data sets in use; raise PermanentError if there is no such system."""
    every = load_all()
    if system not in {contract.system for contract in every.values()}:
        systems = ", ".join(sorted({contract.system for contract in every.values()}))
        raise PermanentError(f"seal: no contract names the system {system!r}; known are {systems}")
    return {d: c for d, c in every.items() if c.system == system and not c.retired}


def _ready(landing: Bucket, contracts: dict[str, Contract], message: Message) -> list[DirtySlot]:
    """List the marked slots that are closed, oldest first, with the markers that have a record."""
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


def _contents(
    landing: Bucket, marked: Sequence[DirtySlot]
) -> dict[tuple[str, str], Content | None]:
    """Read what counts in each marked slot."""
    replays: dict[str, dict[str, int]] = {}
    contracts = {each.contract.dataset: each.contract for each in marked}
    for each in marked:
        replays.setdefault(each.contract.dataset, {})[each.slot] = each.replay
    return {
        (dataset, slot): content
        for dataset, contract in contracts.items()
        for slot, content in slot_contents.contents(landing, contract, replays[dataset]).items()
    }


def _raise_versions(plan: SealPlan, system: str, message: Message, clients: Clients) -> SealPlan:
    """Raise the versions of unchanged slots in the ledger; return the plan for what it then holds."""
    slots = [each.parts for each in plan.candidates(Action.RAISE)]
    if not slots:
        return plan
    holder = f"seal {message.id}"
    return plan.after_raising(
        ledger.raise_versions(clients, system, slots, holder, message.published)
    )


def _drop(landing: Bucket, markers: Iterable[str]) -> None:
    """Delete exactly these markers."""
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda name: gcs.delete(landing, name), markers))


_SEVERITY = {Verdict.REFUSED: "ERROR", Verdict.EMPTY: "WARNING"}


def _slot_events(
    done: Iterable[Candidate], manifest: Manifest | None, message: Message
) -> Iterator[Event]:
    """Build an event for each slot."""
    sealed = {(s.dataset, s.slot): s.version for s in manifest.slots} if manifest else {}
    name = object_names.manifest(manifest.system, manifest.id) if manifest else ""
    for one in done:
        version = sealed.get((one.marked.contract.dataset, one.marked.slot))
        yield _slot_event(one, version, name, message)


def _slot_event(one: Candidate, sealed: str | None, manifest: str, message: Message) -> Event:
    """Build the event of one slot; `sealed` is the version that the manifest holds."""
    dataset, slot = one.marked.contract.dataset, one.marked.slot
    texts = {
        Verdict.REFUSED: "fewer parts count than are loaded, or no more with a newer run: the loaded "
        "ones stay; look for held or refused splits and deleted parts",
        Verdict.EMPTY: "no part counts: held, refused or gone, or none came yet and an earlier slot marked this one",
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
