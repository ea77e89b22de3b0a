"""Plan what `seal` does with the marked slots; a plan is a value and has no effect."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from catalog.object_names import Marker
from functions.core import ledger
from functions.core.ledger import Ledger
from functions.core.message import Message
from functions.seal.decision import Candidate, DirtySlot, Verdict, decide
from functions.seal.replay import is_fulfilled
from functions.seal.slot_contents import Content


class Action(StrEnum):
    """What is done with a marked slot."""

    RAISE = "raise"
    """Raise the version in the ledger: the loaded rows are those of the newer version too."""
    SEAL = "seal"
    """Put it into the manifest."""
    WAIT = "wait"
    """Leave it and its markers to the next call: the manifest is full."""
    DROP = "drop"
    """Delete its markers: nothing is to be done, or nothing can be done."""


@dataclass(frozen=True)
class SealPlan:
    """An action for each marked slot, and what follows from them."""

    slots: tuple[tuple[Candidate, Action], ...]
    """Oldest slot first."""
    fulfilled: tuple[str, ...]
    """The notes of pending replays that the ledger holds by now."""
    max_bytes: int
    """Most bytes of a manifest of several slots."""
    overflow: bool
    """Whether more slots are marked than this call looks at."""

    def candidates(self, action: Action) -> list[Candidate]:
        """Return the slots that get an action, oldest first."""
        return [each for each, planned in self.slots if planned is action]

    @property
    def finished(self) -> list[Candidate]:
        """The slots that do not wait, oldest first."""
        return [each for each, action in self.slots if action is not Action.WAIT]

    @property
    def markers(self) -> list[str]:
        """The markers to delete: those of every slot that does not wait."""
        return [name for each in self.finished for name in each.marked.markers]

    @property
    def calls_again(self) -> bool:
        """Whether a further call is needed for the slots that are left."""
        return self.overflow or bool(self.candidates(Action.WAIT))

    def after_raising(self, loaded: Ledger) -> SealPlan:
        """Return the plan for the ledger as it is after versions were raised.

        If the ledger does not hold the version of a slot, a swap came between: its rows may have
        been replaced, so the slot is sealed like a changed one.
        """
        raised = {
            each.key
            for each in self.candidates(Action.RAISE)
            if ledger.current(loaded.get(each.key), each.parts.version)
        }
        candidates = [each for each, _ in self.slots]
        return replace(self, slots=_with_actions(candidates, raised, self.max_bytes))


def plan_seal(
    marked: Sequence[DirtySlot],
    contents: Mapping[tuple[str, str], Content | None],
    pending: Iterable[Marker],
    loaded: Ledger,
    message: Message,
    max_bytes: int,
    *,
    overflow: bool = False,
) -> SealPlan:
    """Decide what to do with each marked slot, given oldest first, and with pending replays.

    `contents` has what counts in each marked slot, `loaded` what the ledger held before the
    contents were read.
    """
    candidates = [
        decide(each, contents[each.key], loaded.get(each.key), message) for each in marked
    ]
    unchanged = {each.key for each in candidates if each.verdict is Verdict.UNCHANGED}
    return SealPlan(
        slots=_with_actions(candidates, unchanged, max_bytes),
        fulfilled=tuple(marker.name for marker in pending if is_fulfilled(marker, loaded)),
        max_bytes=max_bytes,
        overflow=overflow,
    )


def _with_actions(
    candidates: Sequence[Candidate], raised: Container[tuple[str, str]], max_bytes: int
) -> tuple[tuple[Candidate, Action], ...]:
    work = [
        each
        for each in candidates
        if each.verdict in (Verdict.CHANGED, Verdict.UNCHANGED) and each.key not in raised
    ]
    actions = {each.key: Action.WAIT for each in work}
    actions |= {each.key: Action.SEAL for each in _within_bytes(max_bytes, work)}
    actions |= {each.key: Action.RAISE for each in candidates if each.key in raised}
    return tuple((each, actions.get(each.key, Action.DROP)) for each in candidates)


def _within_bytes(max_bytes: int, work: Sequence[Candidate]) -> list[Candidate]:
    """Return the first slots whose bytes stay within the bound, at least one."""
    chosen: list[Candidate] = []
    total = 0
    for each in work:
        total += each.counted.bytes
        if chosen and total > max_bytes:
            break
        chosen.append(each)
    return chosen
