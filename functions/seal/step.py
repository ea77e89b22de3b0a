"""Seal: gathers the slots of a system that changed into one manifest, which a batch works on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract, load_all
from catalog.object_names import Marker, SplitKey
from catalog.records import Event, Manifest, Origin, SlotParts
from catalog.runs import Run
from catalog.versions import Version, manifest_id
from functions.core import gcs, ledger, markers
from functions.core.clients import Clients
from functions.core.contracts import require_slot
from functions.core.errors import Permanent
from functions.core.handler import event
from functions.core.ledger import Ledger, Loaded
from functions.core.message import Message
from functions.core.records import read_manifest
from functions.core.settings import Settings
from functions.core.strays import parse_names
from functions.seal import slot_contents
from functions.seal.slot_contents import Content

MOST_SLOTS = 1000
"""Most slots that one call looks at; a further message takes the rest."""
_THREADS = 8


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to `seal`: the system alone, or which slots of it to work on again.

    A replay names `slots` or a `range` (first and last slot) of a data set, or a `manifest`.
    """

    system: str
    dataset: str | None = None
    slots: tuple[str, ...] = ()
    range: tuple[str, str] | None = None
    manifest: str | None = None
    replay: bool | int = True


def run(message: Message, clients: Clients, settings: Settings) -> Iterator[Event]:
    """Write a manifest of the system's closed slots that changed, up to the bound of bytes.

    Reads markers, then the ledger, then parts and records: what comes later than a marker's listing
    keeps its own marker. Raises Permanent for a system or a replay that cannot be.
    """
    request = message.body(Request)
    contracts = _contracts(request.system)
    landing = clients.storage.bucket(settings.landing)
    if request.dataset or request.manifest:
        asked = _ask(request, message, landing, contracts)
        yield event("seal", message, "replay asked", system=request.system, rows=asked)
    ready = _ready(landing, contracts, message)
    if not ready:
        yield event("seal", message, "nothing marked", system=request.system)
        return
    marked = {one.contract.dataset for one in ready}
    pending = _pending(landing, [contracts[dataset] for dataset in marked])
    loaded = ledger.read(clients, request.system)
    candidates = _candidates(landing, _asked_again(ready[:MOST_SLOTS], pending), loaded, message)
    unchanged = [one for one in candidates if one.verdict is Verdict.UNCHANGED]
    raised = _raise_versions(request.system, unchanged, message, clients)
    work = [one for one in candidates if one.verdict is Verdict.CHANGED or one in unchanged]
    taken = _within(settings.manifest_bytes, [one for one in work if one not in raised])
    _keep_replays(landing, taken)
    manifest = _write(landing, request.system, contracts, taken, message, settings)
    waiting = [one for one in work if one not in raised and one not in taken]
    done = [one for one in candidates if one not in waiting]
    _drop(landing, [name for one in done for name in one.marked.markers])
    _drop(landing, [marker.name for marker in pending if _fulfilled(marker, loaded)])
    if waiting or len(ready) > MOST_SLOTS:
        clients.publish("seal", json.dumps({"system": request.system}).encode(), {})
    yield from _told_all(done, manifest, message)


class Verdict(StrEnum):
    """What a marked slot comes to, against what is loaded of it."""

    CHANGED = "sealed"
    UNCHANGED = "unchanged"
    CURRENT = "current"
    REFUSED = "refused"
    EMPTY = "empty"


@dataclass(frozen=True)
class _Marked:
    """A slot and the markers of it that can be taken."""

    contract: Contract
    slot: str
    markers: tuple[str, ...]
    replay: int

    @property
    def order(self) -> tuple[str, str]:
        """Oldest slot first."""
        return self.contract.calendar.slot_start(self.slot), self.contract.dataset


@dataclass(frozen=True)
class _Candidate:
    """A marked slot with what counts in it."""

    marked: _Marked
    content: Content | None
    verdict: Verdict
    known: Loaded | None

    @property
    def parts(self) -> SlotParts:
        """What a manifest would tell of the slot; raises ValueError where nothing counts."""
        return self.counted.parts

    @property
    def counted(self) -> Content:
        """What counts in the slot; raises ValueError where nothing does."""
        if self.content is None:
            raise ValueError(f"{self.marked.contract.dataset} {self.marked.slot} has no parts")
        return self.content


def verdict(
    content: SlotParts | None, loaded: Loaded | None, replay: int, *, replaced: bool = True
) -> Verdict:
    """What to do about a slot whose parts are `content` when the ledger says `loaded`.

    `replay` is the number of the newest request to work on it whatever its revision, or 0: it is
    heeded until the ledger holds one as new. `replaced` says whether the newest run counts alone;
    where runs add up, a newer run must have brought more parts than are loaded.
    """
    if content is None:
        return Verdict.REFUSED if loaded else Verdict.EMPTY
    if loaded is None:
        return Verdict.CHANGED
    version = Version.parse(content.version)
    if (version.run, version.parts) < (loaded.version.run, loaded.version.parts):
        return Verdict.REFUSED
    least = loaded.version.parts + (version.run > loaded.version.run)
    if not replaced and version.parts < least:
        return Verdict.REFUSED
    same = (content.revision, content.origin) == (loaded.revision, loaded.origin)
    if same and version <= loaded.version:
        return Verdict.CURRENT
    asked = replay > loaded.version.replay
    return Verdict.UNCHANGED if same and not asked else Verdict.CHANGED


def _contracts(system: str) -> dict[str, Contract]:
    """The system's data sets that are not retired; raises Permanent where there is no such system."""
    every = load_all()
    if system not in {contract.system for contract in every.values()}:
        known = ", ".join(sorted({contract.system for contract in every.values()}))
        raise Permanent(f"seal: no contract names the system {system!r}; known are {known}")
    return {d: c for d, c in every.items() if c.system == system and not c.retired}


def _ask(
    request: Request, message: Message, landing: Bucket, contracts: dict[str, Contract]
) -> int:
    """Write the markers of a replay request; how many slots it named."""
    if request.replay is False:
        raise Permanent("seal: a message that names slots is a replay: leave out replay = false")
    number = message.milliseconds if request.replay is True else request.replay
    slots = _asked_slots(request, landing, contracts)
    for dataset, slot in slots:
        gcs.create(landing, object_names.replay_marker(dataset, slot, number), b"", "text/plain")
    return len(slots)


def _asked_slots(
    request: Request, landing: Bucket, contracts: dict[str, Contract]
) -> list[tuple[str, str]]:
    """The (data set, slot) pairs that a replay request names."""
    if request.manifest:
        manifest = read_manifest(landing, request.system, request.manifest)
        return [
            (each.dataset, each.slot)
            for each in manifest.slots
            if request.dataset in (None, each.dataset) and each.dataset in contracts
        ]
    contract = contracts.get(request.dataset or "")
    if contract is None:
        known = ", ".join(contracts) or "none"
        raise Permanent(
            f"seal: {request.dataset!r} is not a data set of {request.system}; known are {known}"
        )
    try:
        for slot in (*request.slots, *(request.range or ())):
            contract.calendar.parse(slot)
    except ValueError as error:
        raise Permanent(f"seal: {contract.dataset}: {error}") from error
    found = list(request.slots)
    if request.range:
        first, last = request.range
        folder = f"parts/{contract.dataset}/"
        slots = (f"{folder}{each}/" for each in gcs.folders(landing, folder))
        named = parse_names(landing, slots, lambda name: _slot_of(contract, name))
        found += [slot for _, slot in named if first <= slot <= last]
    if not found:
        raise Permanent(
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


def _ready(landing: Bucket, contracts: dict[str, Contract], message: Message) -> list[_Marked]:
    """The marked slots that are closed, oldest first, with the markers whose record is there."""
    found: list[_Marked] = []
    for contract in contracts.values():
        listed = markers.dirty(landing, contract)
        runs = {marker.split.run for marker in listed if marker.split}
        records = slot_contents.recorded(landing, contract.dataset, runs)
        slots: dict[str, list[Marker]] = {}
        for marker in listed:
            if marker.split is None or marker.split in records:
                slots.setdefault(marker.slot, []).append(marker)
        found += [
            _Marked(contract, slot, tuple(m.name for m in some), max(m.replay for m in some))
            for slot, some in slots.items()
            if contract.closed(slot, message.published)
        ]
    return sorted(found, key=lambda marked: marked.order)


def _pending(landing: Bucket, contracts: Iterable[Contract]) -> list[Marker]:
    """The replays of these data sets that manifests have taken.

    Listed after the markers: a replay's marker goes only once this has been written.
    """
    return [each for one in contracts for each in markers.pending_replays(landing, one)]


def _asked_again(ready: Sequence[_Marked], pending: Sequence[Marker]) -> list[_Marked]:
    """The marked slots, each with its newest replay, that of a manifest in flight among them."""
    newest = {(each.dataset, each.slot): each.replay for each in pending}  # in order of number
    return [
        replace(one, replay=max(one.replay, newest.get((one.contract.dataset, one.slot), 0)))
        for one in ready
    ]


def _keep_replays(landing: Bucket, taken: Iterable[_Candidate]) -> None:
    """Note the replays that a manifest takes, so that a newer run does not make it needless."""
    for one in taken:
        dataset, slot, replay = one.marked.contract.dataset, one.marked.slot, one.marked.replay
        if replay > (one.known.version.replay if one.known else 0):
            gcs.create(
                landing, object_names.pending_replay(dataset, slot, replay), b"", "text/plain"
            )


def _fulfilled(marker: Marker, loaded: Ledger) -> bool:
    """Whether the ledger holds a replay at least as new as this one."""
    known = loaded.get((marker.dataset, marker.slot))
    return known is not None and known.version.replay >= marker.replay


def _candidates(
    landing: Bucket, ready: Sequence[_Marked], loaded: Ledger, message: Message
) -> list[_Candidate]:
    """What counts in each marked slot and what to do about it, in the order given."""
    contracts = {one.contract.dataset: one.contract for one in ready}
    found: dict[tuple[str, str], Content | None] = {}
    for dataset, contract in contracts.items():
        replays = {one.slot: one.replay for one in ready if one.contract is contract}
        for slot, content in slot_contents.contents(landing, contract, replays).items():
            found[dataset, slot] = content
    return [
        _candidate(one, found[one.contract.dataset, one.slot], loaded, message) for one in ready
    ]


def _candidate(
    marked: _Marked, content: Content | None, loaded: Ledger, message: Message
) -> _Candidate:
    """A marked slot judged; other rows under a version that may be taken get this message's replay."""
    known = loaded.get((marked.contract.dataset, marked.slot))
    judged = verdict(
        content.parts if content else None,
        known,
        marked.replay,
        replaced=marked.contract.kind.replaced,
    )
    version = content.parts.version if content else ""
    taken = ledger.current(known, version) if content else False
    if content and judged is Verdict.CHANGED and (taken or _changed_before(marked, version)):
        content = Content(_newer(content.parts, message), content.bytes)
    return _Candidate(marked, content, judged, known)


def _changed_before(marked: _Marked, text: str) -> bool:
    """Whether a slot changed by a run that its version does not name, which comes with lookback.

    An older run in a slot before it leaves the newest run and the number of parts as they were; a
    manifest of other slots, in flight, may bear that version with what was there before.
    """
    if not marked.contract.lookback:
        return False
    version = Version.parse(text)
    for marker in map(Marker.parse, marked.markers):
        replay = marker.split.replay if marker.split else marker.replay
        if replay == version.replay and marker.split in (None, SplitKey(Run(version.run), replay)):
            return False
    return True


def _newer(parts: SlotParts, message: Message) -> SlotParts:
    """The parts under a version that no other content bears: this message's replay."""
    version = Version.parse(parts.version)
    number = max(message.milliseconds, version.replay + 1)
    newer = Version(version.run, version.parts, number)
    return msgspec.structs.replace(parts, version=str(newer))


def _raise_versions(
    system: str, unchanged: list[_Candidate], message: Message, clients: Clients
) -> list[_Candidate]:
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


def _within(bound: int, work: list[_Candidate]) -> list[_Candidate]:
    """The first slots whose bytes stay within the bound, at least one."""
    taken: list[_Candidate] = []
    total = 0
    for one in work:
        total += one.counted.bytes
        if taken and total > bound:
            break
        taken.append(one)
    return taken


def _write(
    landing: Bucket,
    system: str,
    contracts: dict[str, Contract],
    taken: list[_Candidate],
    message: Message,
    settings: Settings,
) -> Manifest | None:
    """Create the manifest of the slots taken, only if absent.

    Where a manifest of the same id tells of other content, these slots get newer versions, and
    with them an id of their own.
    """
    if not taken:
        return None
    slots = [one.parts for one in sorted(taken, key=lambda one: one.marked.order)]
    used = {s.dataset: contracts[s.dataset] for s in slots}
    manifest = Manifest(
        id=_identity(system, slots),
        system=system,
        sealed_at=message.published.isoformat(),
        lake=f"gs://{settings.lake}",
        bytes=sum(one.counted.bytes for one in taken),
        slots=tuple(slots),
        tables=tuple(table for contract in used.values() for table in contract.lake_tables()),
        contracts={dataset: contract.for_job() for dataset, contract in used.items()},
    )
    stands = Manifest.decode(_create(landing, manifest))
    ours = set(map(_content, slots))
    others = {(s.dataset, s.slot) for s in stands.slots if _content(s) not in ours}
    if others:
        slots = [_newer(s, message) if (s.dataset, s.slot) in others else s for s in slots]
        manifest = msgspec.structs.replace(
            manifest, id=_identity(system, slots), slots=tuple(slots)
        )
        _create(landing, manifest)
    return manifest


def _create(landing: Bucket, manifest: Manifest) -> bytes:
    """Create a manifest only if absent; what now stands under its name."""
    return gcs.create(
        landing, object_names.manifest(manifest.system, manifest.id), manifest.encode()
    )


def _identity(system: str, slots: Iterable[SlotParts]) -> str:
    """The id of the manifest of these slots."""
    return manifest_id(system, ((s.dataset, s.slot, s.version) for s in slots))


def _content(parts: SlotParts) -> tuple[str, str, str, Origin]:
    """A slot and what names its content, whatever its version."""
    return parts.dataset, parts.slot, parts.revision, parts.origin


def _drop(landing: Bucket, markers: Iterable[str]) -> None:
    """Delete exactly these markers."""
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda name: gcs.delete(landing, name), markers))


_SEVERITY = {Verdict.REFUSED: "ERROR", Verdict.EMPTY: "WARNING"}


def _told_all(
    done: Iterable[_Candidate], manifest: Manifest | None, message: Message
) -> Iterator[Event]:
    """An event for each slot."""
    sealed = {(s.dataset, s.slot): s.version for s in manifest.slots} if manifest else {}
    name = object_names.manifest(manifest.system, manifest.id) if manifest else ""
    for one in done:
        version = sealed.get((one.marked.contract.dataset, one.marked.slot))
        yield _told(one, version, name, message)


def _told(one: _Candidate, sealed: str | None, manifest: str, message: Message) -> Event:
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
