"""The crash list: whatever process dies wherever it changes something, the end is the same.

The points are those of an undisturbed run of two slots of ten rows, as the stand-ins received its
requests. At each of them a process dies before the request has an effect, and after it. One death
a process and run keeps the time in bounds; with CRASHES=alone every death has a run of its own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local_cloud.cloud import LocalCloud
from local_cloud.gate import Phase
from tests.support.crashes import BATCH, NOTIFIER, QUERY, Crash, Point, Witness
from tests.support.house import APRIL, MAY, SLOTS, House, export

pytestmark = pytest.mark.timeout(3600)

STEPS = ("download", "split", "seal", "submit", "load", QUERY)
ALONE = os.environ.get("CRASHES") == "alone"


@dataclass(frozen=True)
class Undisturbed:
    """What the run without a crash left, and every request by which it did."""

    state: dict[str, list[str]]
    points: tuple[Point, ...]


@pytest.fixture(scope="module")
def house(system_cloud: LocalCloud) -> House:
    """The house of all replays: each empties it."""
    return House(system_cloud)


@pytest.fixture(scope="module")
def witness(house: House) -> Iterator[Witness]:
    """Who sees, and kills."""
    cloud = house.cloud
    with pytest.MonkeyPatch.context() as patch:
        yield Witness(cloud, patch)
    cloud.gate.intercept = cloud.gate.grants = cloud.pubsub.intercept = None


@pytest.fixture(scope="module")
def undisturbed(house: House, witness: Witness) -> Undisturbed:
    """The run without a crash."""
    assert replay(house, witness) == 0
    points = tuple(witness.seen)
    return Undisturbed(house.state(), points)


def replay(house: House, witness: Witness, *crashes: Crash, reports: bool = True) -> int:
    """The whole run, brought home by redelivery, and by sweeps where they must; how many it took.

    Without `reports` it ends with the lake and the ledger.
    """
    house.fresh()
    witness.begin(*crashes)
    house.serve(export(APRIL, MAY))
    house.ingest()
    house.cloud.settle()
    sweeps = 0
    while set(house.ledger()) != set(SLOTS) and sweeps < 4:
        witness.revive()
        house.sweep()
        sweeps += 1
    if reports and not house.query():
        witness.revive()
        house.later(minutes=30)
        assert house.query()
    return sweeps


def keep(
    house: House,
    witness: Witness,
    undisturbed: Undisturbed,
    *crashes: Crash,
    reports: bool = True,
) -> int:
    """Replay with crashes, and look whether all happened and nothing came of them."""
    where = ", ".join(f"{phase.value} {point}" for point, phase in crashes)
    sweeps = replay(house, witness, *crashes, reports=reports)
    assert not witness.left, f"no such request this time; planned: {where}"
    expected = {
        what: rows
        for what, rows in undisturbed.state.items()
        if reports or not what.startswith("reports.")
    }
    assert house.state() == expected, where
    return sweeps


def test_the_undisturbed_run_is_seen_whole(undisturbed: Undisturbed) -> None:
    assert {point.who for point in undisturbed.points} == {*STEPS, BATCH, NOTIFIER}
    assert len(undisturbed.points) > 30
    assert len(set(undisturbed.points)) == len(undisturbed.points)
    assert len(undisturbed.state["wifi_sessions"]) == 20
    assert len(undisturbed.state["ledger"]) == len(undisturbed.state["parts"]) == 2
    assert undisturbed.state["reports.wifi_usage_by_day"]
    assert undisturbed.state["markers"] == []


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
def test_a_step_that_dies_is_delivered_again(
    house: House, witness: Witness, undisturbed: Undisturbed, phase: Phase
) -> None:
    by_step = [[p for p in undisturbed.points if p.who == who] for who in STEPS]
    groups = [(p,) for p in itertools.chain(*by_step)] if ALONE else itertools.zip_longest(*by_step)
    for group in groups:
        crashes = [(point, phase) for point in group if point]
        assert keep(house, witness, undisturbed, *crashes) == 0, f"a sweep was needed: {crashes}"


def test_a_batch_that_dies_is_made_again(
    house: House, witness: Witness, undisturbed: Undisturbed
) -> None:
    """What a batch leaves reaches a report only through the lake: reports are not built again.

    Dead after one request, a batch leaves what it leaves when it dies before its next. A manifest
    has three attempts: two die, each elsewhere, and the third must do.
    """
    points = [point for point in undisturbed.points if point.who == BATCH]
    deaths = [(point, Phase.BEFORE) for point in points] + [(points[-1], Phase.AFTER)]
    every = [(point, phase) for point in points for phase in Phase]
    chosen, together = (every, 1) if ALONE else (deaths, 2)
    for some in itertools.batched(chosen, together, strict=False):
        assert keep(house, witness, undisturbed, *some, reports=False) <= len(some)


def test_a_notification_that_is_lost_is_found_by_the_sweep(
    house: House, witness: Witness, undisturbed: Undisturbed
) -> None:
    for point in (each for each in undisturbed.points if each.who == NOTIFIER):
        assert keep(house, witness, undisturbed, (point, Phase.BEFORE)) == 1, point
        assert keep(house, witness, undisturbed, (point, Phase.AFTER)) == 0, point


def test_every_reply_may_be_lost_once(
    house: House, witness: Witness, undisturbed: Undisturbed
) -> None:
    witness.lose_replies = True
    try:
        assert replay(house, witness) == 0
    finally:
        witness.lose_replies = False
    assert len(witness.lost) > 20
    assert house.state() == undisturbed.state
