"""Decide what to do about each marked slot that is closed, from its contents and the ledger.

`Contract.closed` says when a slot is closed; `seal.step` picks the closed ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from catalog.contract import Contract
from catalog.object_names import Marker, SplitKey
from catalog.records import SlotParts
from catalog.runs import Run
from catalog.versions import Version
from functions.core import ledger
from functions.core.ledger import Loaded
from functions.core.message import Message
from functions.seal.slot_contents import Content


class Verdict(StrEnum):
    """How the content of a marked slot compares with the loaded one."""

    CHANGED = "sealed"
    UNCHANGED = "unchanged"
    CURRENT = "current"
    REFUSED = "refused"
    EMPTY = "empty"


@dataclass(frozen=True)
class DirtySlot:
    """A slot with those of its markers whose record is written."""

    contract: Contract
    slot: str
    markers: tuple[str, ...]
    replay: int

    @property
    def key(self) -> tuple[str, str]:
        """Data set and slot."""
        return self.contract.dataset, self.slot

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
    loaded: Loaded | None

    @property
    def key(self) -> tuple[str, str]:
        """Data set and slot."""
        return self.marked.key

    @property
    def parts(self) -> SlotParts:
        """The slot's entry in a manifest; raises ValueError if none of its parts counts."""
        return self.counted.parts

    @property
    def counted(self) -> Content:
        """What counts in the slot; raises ValueError if nothing does."""
        if self.content is None:
            raise ValueError(f"{self.marked.contract.dataset} {self.marked.slot} has no parts")
        return self.content


def verdict(
    content: SlotParts | None, loaded: Loaded | None, replay: int, *, replaced: bool = True
) -> Verdict:
    """Compare the parts of a slot with its entry in the ledger.

    `replay` is the number of the newest request to load the slot whatever its revision, or 0. It
    counts until the ledger holds a replay at least as new. `replaced` says whether the newest run
    counts alone; if runs add up, a newer run must have brought more parts than are loaded.
    """
    if content is None:
        return Verdict.REFUSED if loaded else Verdict.EMPTY
    if loaded is None:
        return Verdict.CHANGED
    version = Version.parse(content.version)
    if (version.run, version.parts) < (loaded.version.run, loaded.version.parts):
        return Verdict.REFUSED
    min_parts = loaded.version.parts + (version.run > loaded.version.run)
    if not replaced and version.parts < min_parts:
        return Verdict.REFUSED
    same = (content.revision, content.origin) == (loaded.revision, loaded.origin)
    if same and version <= loaded.version:
        return Verdict.CURRENT
    replays = replay > loaded.version.replay
    return Verdict.UNCHANGED if same and not replays else Verdict.CHANGED


def decide(
    marked: DirtySlot, content: Content | None, loaded: Loaded | None, message: Message
) -> Candidate:
    """Decide about a marked slot.

    If a manifest may have the version of a changed slot for other rows, the slot gets a newer one,
    whose replay is the number of this message.
    """
    decision = verdict(
        content.parts if content else None,
        loaded,
        marked.replay,
        replaced=marked.contract.kind.newest_run_wins,
    )
    if content and decision is Verdict.CHANGED:
        version = content.parts.version
        if ledger.current(loaded, version) or _changed_before(marked, version):
            replay = loaded.version.replay if loaded else 0
            content = Content(with_newer_version(content.parts, message, replay), content.bytes)
    return Candidate(marked, content, decision, loaded)


def _changed_before(marked: DirtySlot, text: str) -> bool:
    """Return whether a run that the version does not name changed a slot that has lookback.

    An older run in an earlier slot leaves the newest run and the number of parts as they were. A
    manifest of other slots, in flight, may have that version for the content before.
    """
    if not marked.contract.lookback:
        return False
    version = Version.parse(text)
    for marker in map(Marker.parse, marked.markers):
        replay = marker.split.replay if marker.split else marker.replay
        if replay == version.replay and marker.split in (None, SplitKey(Run(version.run), replay)):
            return False
    return True


def with_newer_version(parts: SlotParts, message: Message, loaded_replay: int = 0) -> SlotParts:
    """Return the parts under a version of their own: its replay is the number of this message.

    A message may be older than the replay that is loaded: the number is then the next one after it.
    """
    version = Version.parse(parts.version)
    number = max(message.milliseconds, version.replay + 1, loaded_replay + 1)
    newer = Version(version.run, version.parts, number)
    return msgspec.structs.replace(parts, version=str(newer))
