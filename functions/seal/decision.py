"""Decide what to do about each marked slot, from its contents and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from google.cloud.storage import Bucket

from catalog.contract import Contract
from catalog.object_names import Marker, SplitKey
from catalog.records import SlotParts
from catalog.runs import Run
from catalog.versions import Version
from functions.core import ledger
from functions.core.ledger import Ledger, Loaded
from functions.core.message import Message
from functions.seal import slot_contents
from functions.seal.slot_contents import Content


class Verdict(StrEnum):
    """What a marked slot comes to, against what is loaded of it."""

    CHANGED = "sealed"
    UNCHANGED = "unchanged"
    CURRENT = "current"
    REFUSED = "refused"
    EMPTY = "empty"


@dataclass(frozen=True)
class DirtySlot:
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
class Candidate:
    """A marked slot with what counts in it."""

    marked: DirtySlot
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


def find_candidates(
    landing: Bucket, ready: Sequence[DirtySlot], loaded: Ledger, message: Message
) -> list[Candidate]:
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
    marked: DirtySlot, content: Content | None, loaded: Ledger, message: Message
) -> Candidate:
    """A marked slot judged; other rows under a version that may be taken get this message's replay."""
    known = loaded.get((marked.contract.dataset, marked.slot))
    judged = verdict(
        content.parts if content else None,
        known,
        marked.replay,
        replaced=marked.contract.kind.newest_run_wins,
    )
    version = content.parts.version if content else ""
    taken = ledger.current(known, version) if content else False
    if content and judged is Verdict.CHANGED and (taken or _changed_before(marked, version)):
        content = Content(with_newer_version(content.parts, message), content.bytes)
    return Candidate(marked, content, judged, known)


def _changed_before(marked: DirtySlot, text: str) -> bool:
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


def with_newer_version(parts: SlotParts, message: Message) -> SlotParts:
    """The parts under a version that no other content bears: this message's replay."""
    version = Version.parse(parts.version)
    number = max(message.milliseconds, version.replay + 1)
    newer = Version(version.run, version.parts, number)
    return msgspec.structs.replace(parts, version=str(newer))
