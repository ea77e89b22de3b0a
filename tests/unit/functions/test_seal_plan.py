"""The plan of `seal`: what happens to each marked slot, whatever is marked, there and loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from catalog import object_names
from catalog.contract import Kind
from catalog.object_names import Marker, SplitKey
from catalog.records import Origin, SlotParts
from catalog.runs import Run
from catalog.slots import Unit
from catalog.versions import Version
from functions.core import ledger
from functions.core.ledger import Ledger, Loaded
from functions.core.message import Message
from functions.seal.decision import Candidate, DirtySlot, Verdict
from functions.seal.plan import Action, SealPlan, plan_seal
from functions.seal.slot_contents import Content
from tests.support.step_cloud import contract

NOW = datetime(2025, 6, 5, 3, 10, tzinfo=UTC)
MESSAGE = Message(data=b"", attributes={}, published=NOW, id="1")
CONTRACTS = {
    each.dataset: each
    for each in (
        contract("s", "full", Kind.FULL_EXPORT, Unit.DAY),
        contract("s", "ticks", Kind.SNAPSHOT, Unit.DAY),
        contract("s", "tail", Kind.INCREMENTS, Unit.DAY, lookback=1),
    )
}
SLOTS = [f"2025-06-0{day}" for day in range(1, 5)]
RUNS = [f"2025060{day}T021000Z" for day in range(1, 4)]
REPLAYS = [0, 5, MESSAGE.milliseconds, MESSAGE.milliseconds + 1]
"""A replay may be newer than the message: Pub/Sub keeps no order."""

Key = tuple[str, str]


@dataclass(frozen=True)
class State:
    """What `seal` reads before it plans."""

    marked: tuple[DirtySlot, ...]
    contents: dict[Key, Content | None]
    pending: tuple[Marker, ...]
    loaded: Ledger
    max_bytes: int

    def plan(self) -> SealPlan:
        return plan_seal(
            self.marked, self.contents, self.pending, self.loaded, MESSAGE, self.max_bytes
        )


def versions() -> st.SearchStrategy[Version]:
    return st.builds(Version, st.sampled_from(RUNS), st.integers(1, 3), st.sampled_from(REPLAYS))


def ledger_rows() -> st.SearchStrategy[Loaded]:
    return st.builds(
        Loaded, versions(), st.sampled_from("rs"), st.just(Origin.PUBLISHER), st.just("m")
    )


@st.composite
def contents(draw: st.DrawFn, key: Key, replay: int) -> Content:
    version = draw(versions())
    version = replace(version, replay=max(version.replay, replay))
    dataset, slot = key
    parts = SlotParts(
        dataset=dataset, slot=slot, slot_start=slot, version=str(version),
        revision=draw(st.sampled_from("rs")), origin=Origin.PUBLISHER, parts=(), run=version.run,
    )  # fmt: skip
    return Content(parts, draw(st.integers(0, 60)))


@st.composite
def dirty_slots(draw: st.DrawFn, key: Key) -> DirtySlot:
    dataset, slot = key
    splits = draw(st.lists(st.sampled_from(RUNS), max_size=2, unique=True))
    replay = draw(st.sampled_from(REPLAYS))
    names = [object_names.marker(dataset, slot, SplitKey(Run(run), 0)) for run in splits]
    if replay or not names:
        names.append(object_names.replay_marker(dataset, slot, replay))
    return DirtySlot(CONTRACTS[dataset], slot, tuple(names), replay)


@st.composite
def states(draw: st.DrawFn) -> State:
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(sorted(CONTRACTS)), st.sampled_from(SLOTS)),
            min_size=1, max_size=8, unique=True,
        )
    )  # fmt: skip
    marked = sorted((draw(dirty_slots(key)) for key in keys), key=lambda each: each.order)
    found = {each.key: draw(st.none() | contents(each.key, each.replay)) for each in marked}
    loaded = {key: row for key in keys if (row := draw(st.none() | ledger_rows()))}
    pending = tuple(
        Marker.parse(object_names.pending_replay(*key, draw(st.sampled_from(REPLAYS))))
        for key in draw(st.lists(st.sampled_from(keys), max_size=3))
    )
    return State(tuple(marked), found, pending, loaded, draw(st.integers(0, 100)))


@st.composite
def raised_plans(draw: st.DrawFn) -> tuple[State, SealPlan, SealPlan]:
    """A state, its plan, and the plan after versions were raised, some of them in vain."""
    state = draw(states())
    plan = state.plan()
    after = dict(state.loaded)
    for each in plan.candidates(Action.RAISE):
        if draw(st.booleans()):
            after[each.key] = _loaded(each)
    return state, plan, plan.after_raising(after)


def _loaded(candidate: Candidate) -> Loaded:
    parts = candidate.parts
    return Loaded(Version.parse(parts.version), parts.revision, parts.origin, "m")


def _applied(state: State, plan: SealPlan) -> State:
    """What is there once a plan is applied and its manifest loaded."""
    changed = [*plan.candidates(Action.RAISE), *plan.candidates(Action.SEAL)]
    loaded = {**state.loaded, **{each.key: _loaded(each) for each in changed}}
    pending = tuple(each for each in state.pending if each.name not in plan.fulfilled)
    return replace(state, loaded=loaded, pending=pending)


def _unmarked(state: State, names: Iterable[str]) -> State:
    """The state without some markers."""
    dropped = set(names)
    marked = (
        replace(each, markers=tuple(name for name in each.markers if name not in dropped))
        for each in state.marked
    )
    return replace(state, marked=tuple(each for each in marked if each.markers))


def _one_slot(run: str, revision: str, loaded: Ledger) -> State:
    """One marked slot of one part, where a ledger holds it."""
    dataset, slot = "s_full", SLOTS[0]
    marker = object_names.marker(dataset, slot, SplitKey(Run(run), 0))
    parts = SlotParts(
        dataset=dataset, slot=slot, slot_start=slot, version=str(Version(run, 1)),
        revision=revision, origin=Origin.PUBLISHER, parts=(), run=run,
    )  # fmt: skip
    marked = DirtySlot(CONTRACTS[dataset], slot, (marker,), 0)
    return State((marked,), {(dataset, slot): Content(parts, 1)}, (), loaded, 10)


def _order(candidates: Sequence[Candidate]) -> list[tuple[str, str]]:
    return [each.marked.order for each in candidates]


@given(raised_plans())
def test_every_marked_slot_has_one_action(drawn: tuple[State, SealPlan, SealPlan]) -> None:
    state, *plans = drawn
    for plan in plans:
        assert [each.marked for each, _ in plan.slots] == list(state.marked)
        by_action = [each.key for action in Action for each in plan.candidates(action)]
        assert sorted(by_action) == sorted(each.key for each in state.marked)


@given(raised_plans())
def test_the_action_follows_from_the_verdict(drawn: tuple[State, SealPlan, SealPlan]) -> None:
    _, plan, after = drawn
    allowed = {
        Verdict.CHANGED: {Action.SEAL, Action.WAIT},
        Verdict.UNCHANGED: {Action.RAISE},
        Verdict.CURRENT: {Action.DROP},
        Verdict.REFUSED: {Action.DROP},
        Verdict.EMPTY: {Action.DROP},
    }
    assert all(action in allowed[each.verdict] for each, action in plan.slots)
    allowed[Verdict.UNCHANGED] |= {Action.SEAL, Action.WAIT}
    assert all(action in allowed[each.verdict] for each, action in after.slots)


@given(raised_plans())
def test_a_slot_is_raised_exactly_if_the_ledger_holds_its_version(
    drawn: tuple[State, SealPlan, SealPlan],
) -> None:
    state, plan, _ = drawn
    to_raise = plan.candidates(Action.RAISE)
    half = {**state.loaded, **{each.key: _loaded(each) for each in to_raise[::2]}}
    after = plan.after_raising(half)
    assert after.candidates(Action.RAISE) == to_raise[::2]
    assert after.after_raising(half) == after


@given(raised_plans())
def test_sealed_slots_stay_within_the_bound_or_are_one(
    drawn: tuple[State, SealPlan, SealPlan],
) -> None:
    for plan in drawn[1:]:
        sealed, waiting = plan.candidates(Action.SEAL), plan.candidates(Action.WAIT)
        total = sum(each.counted.bytes for each in sealed)
        assert total <= plan.max_bytes or len(sealed) == 1
        assert sealed or not waiting
        if waiting:
            assert total + waiting[0].counted.bytes > plan.max_bytes


@given(raised_plans())
def test_the_oldest_slots_are_sealed_first(drawn: tuple[State, SealPlan, SealPlan]) -> None:
    for plan in drawn[1:]:
        order = _order(plan.candidates(Action.SEAL)) + _order(plan.candidates(Action.WAIT))
        assert order == sorted(order)


@given(raised_plans())
def test_nothing_older_than_the_ledger_is_sealed(drawn: tuple[State, SealPlan, SealPlan]) -> None:
    state, *plans = drawn
    for plan in plans:
        for each in plan.candidates(Action.SEAL) + plan.candidates(Action.RAISE):
            assert not ledger.current(state.loaded.get(each.key), each.parts.version)


def test_an_old_message_seals_other_rows_above_the_loaded_replay() -> None:
    """Load would leave them out as stale, and their markers are gone."""
    replay = MESSAGE.milliseconds + 1
    loaded = {("s_full", SLOTS[0]): Loaded(Version(RUNS[0], 1, replay), "r", "publisher", "m")}
    (each,) = _one_slot(RUNS[0], "s", loaded).plan().candidates(Action.SEAL)
    assert each.parts.version == str(Version(RUNS[0], 1, replay + 1))


@given(raised_plans())
def test_markers_of_waiting_slots_stay_and_all_others_go(
    drawn: tuple[State, SealPlan, SealPlan],
) -> None:
    state, *plans = drawn
    for plan in plans:
        waiting = {name for each in plan.candidates(Action.WAIT) for name in each.marked.markers}
        every = {name for each in state.marked for name in each.markers}
        assert set(plan.markers) == every - waiting
        assert plan.calls_again is bool(waiting)


@given(raised_plans())
def test_a_pending_replay_goes_once_the_ledger_holds_it(
    drawn: tuple[State, SealPlan, SealPlan],
) -> None:
    state, plan, after = drawn
    for marker in state.pending:
        row = state.loaded.get((marker.dataset, marker.slot))
        assert (marker.name in plan.fulfilled) == bool(row and row.version.replay >= marker.replay)
    assert after.fulfilled == plan.fulfilled


@given(raised_plans())
def test_a_second_plan_has_nothing_to_do(drawn: tuple[State, SealPlan, SealPlan]) -> None:
    """Nor has one whose markers were not deleted, because the first died before it did."""
    state, _, plan = drawn
    applied = _applied(state, plan)
    waiting = {each.key for each in plan.candidates(Action.WAIT)}
    again = applied.plan()
    assert all(action is Action.DROP for each, action in again.slots if each.key not in waiting)
    left = _unmarked(applied, plan.markers)
    assert {each.key for each in left.marked} == waiting


@given(states())
def test_calls_in_a_row_work_on_every_slot_once(state: State) -> None:
    worked: list[Key] = []
    for _ in range(len(state.marked)):
        plan = state.plan()
        worked += [each.key for each in plan.candidates(Action.SEAL)]
        state = _unmarked(_applied(state, plan), plan.markers)
    assert not state.marked
    assert len(worked) == len(set(worked))


def test_slots_beyond_those_of_one_call_need_another() -> None:
    plan = plan_seal([], {}, [], {}, MESSAGE, 1, overflow=True)
    assert plan.calls_again


def test_a_swap_between_reading_and_raising_seals_the_slot() -> None:
    loaded = {("s_full", SLOTS[0]): Loaded(Version(RUNS[0], 1), "r", "publisher", "m")}
    plan = _one_slot(RUNS[1], "r", loaded).plan()
    assert [action for _, action in plan.slots] == [Action.RAISE]
    assert [action for _, action in plan.after_raising(loaded).slots] == [Action.SEAL]
