"""Read replay requests and keep track of replays until the ledger holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract
from catalog.object_names import Marker
from functions.core import gcs, markers
from functions.core.contracts import require_slot
from functions.core.errors import PermanentError
from functions.core.ledger import Ledger
from functions.core.message import Message
from functions.core.records import read_manifest
from functions.core.strays import parse_names
from functions.seal.decision import Candidate, DirtySlot


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to `seal`: the system alone, or which of its slots to process again.

    A replay names `slots` or a `range` (first and last slot) of a data set, or a `manifest`.
    """

    system: str
    dataset: str | None = None
    slots: tuple[str, ...] = ()
    range: tuple[str, str] | None = None
    manifest: str | None = None
    replay: bool | int = True


def write_replay_markers(
    request: Request, message: Message, landing: Bucket, contracts: dict[str, Contract]
) -> int:
    """Write the markers of a replay request; how many slots it named."""
    if request.replay is False:
        raise PermanentError(
            "seal: a message that names slots is a replay: leave out replay = false"
        )
    number = message.milliseconds if request.replay is True else request.replay
    slots = _requested_slots(request, landing, contracts)
    for dataset, slot in slots:
        gcs.create(landing, object_names.replay_marker(dataset, slot, number), b"", "text/plain")
    return len(slots)


def _requested_slots(
    request: Request, landing: Bucket, contracts: dict[str, Contract]
) -> list[tuple[str, str]]:
    """List the (data set, slot) pairs that a replay request names."""
    if request.manifest:
        manifest = read_manifest(landing, request.system, request.manifest)
        return [
            (each.dataset, each.slot)
            for each in manifest.slots
            if request.dataset in (None, each.dataset) and each.dataset in contracts
        ]
    contract = contracts.get(request.dataset or "")
    if contract is None:
        datasets = ", ".join(contracts) or "none"
        raise PermanentError(
            f"seal: {request.dataset!r} is not a data set of {request.system}; known are {datasets}"
        )
    try:
        for slot in (*request.slots, *(request.range or ())):
            contract.calendar.parse(slot)
    except ValueError as error:
        raise PermanentError(f"seal: {contract.dataset}: {error}") from error
    found = list(request.slots)
    if request.range:
        first, last = request.range
        folder = f"parts/{contract.dataset}/"
        slots = (f"{folder}{each}/" for each in gcs.folders(landing, folder))
        named = parse_names(landing, slots, lambda name: _slot_of(contract, name))
        found += [slot for _, slot in named if first <= slot <= last]
    if not found:
        raise PermanentError(
            f"seal: {contract.dataset}: the request names no slot that has parts: give slots, "
            "a range or a manifest"
        )
    return [(contract.dataset, slot) for slot in found]


def _slot_of(contract: Contract, folder: str) -> str:
    """Return the slot of a folder of parts; raises ValueError, UnknownSlot if the name has a slot."""
    _, found, slot = folder.rstrip("/").rpartition("/slot=")
    if not found:
        raise ValueError(f"{folder!r} is not a folder of parts: expected slot=<slot>/")
    require_slot(contract, slot)
    return slot


def list_pending_replays(landing: Bucket, contracts: Iterable[Contract]) -> list[Marker]:
    """List the replays of these data sets that manifests hold.

    Listed after the markers: a replay's marker goes only once this has been written.
    """
    return [each for one in contracts for each in markers.pending_replays(landing, one)]


def with_pending_replays(ready: Sequence[DirtySlot], pending: Sequence[Marker]) -> list[DirtySlot]:
    """Give each marked slot its newest replay, one of a manifest in flight included."""
    newest = {(each.dataset, each.slot): each.replay for each in pending}  # in order of number
    return [
        replace(one, replay=max(one.replay, newest.get((one.contract.dataset, one.slot), 0)))
        for one in ready
    ]


def write_pending_replays(landing: Bucket, candidates: Iterable[Candidate]) -> None:
    """Note the replays that a manifest takes, so that a newer run does not make it needless."""
    for one in candidates:
        dataset, slot, replay = one.marked.contract.dataset, one.marked.slot, one.marked.replay
        if replay > (one.loaded.version.replay if one.loaded else 0):
            gcs.create(
                landing, object_names.pending_replay(dataset, slot, replay), b"", "text/plain"
            )


def is_fulfilled(marker: Marker, loaded: Ledger) -> bool:
    """Whether the ledger holds a replay at least as new as this one."""
    entry = loaded.get((marker.dataset, marker.slot))
    return entry is not None and entry.version.replay >= marker.replay
