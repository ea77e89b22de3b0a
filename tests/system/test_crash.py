"""The crash list: whatever process dies wherever it changes something, the end is the same.

The points are those of an undisturbed run of two slots of ten rows, as the stand-ins received its
requests. At each of them the process dies before the request has an effect, and after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from local_cloud.cloud import LocalCloud
from local_cloud.gate import Phase
from tests.system.crashes import BATCH, NOTIFIER, QUERY, Point, Witness
from tests.system.house import APRIL, MAY, SLOTS, House, export

pytestmark = [pytest.mark.cloud, pytest.mark.timeout(1800)]

WHO = ("download", "split", "seal", "submit", BATCH, "load", QUERY, NOTIFIER)
SWEEPS = 3


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
    house.fresh()
    witness.begin()
    replay(house, witness)
    points = tuple(witness.seen)
    return Undisturbed(house.state(), points)


def replay(house: House, witness: Witness) -> None:
    """The whole run, brought home by redelivery, and by the sweep where a message was lost."""
    house.serve(export(APRIL, MAY))
    house.ingest()
    house.cloud.settle()
    witness.revive()
    for _ in range(SWEEPS):
        if set(house.ledger()) == set(SLOTS):
            break
        house.sweep()
    house.query()


def test_the_undisturbed_run_is_seen_whole(undisturbed: Undisturbed) -> None:
    assert {point.who for point in undisturbed.points} == set(WHO)
    assert len(undisturbed.points) > 20
    assert len(undisturbed.state["wifi_sessions"]) == 20
    assert len(undisturbed.state["ledger"]) == len(undisturbed.state["parts"]) == 2
    assert undisturbed.state["markers"] == []


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
@pytest.mark.parametrize("who", WHO)
def test_a_crash_changes_nothing(
    house: House, witness: Witness, undisturbed: Undisturbed, who: str, phase: Phase
) -> None:
    for point in (each for each in undisturbed.points if each.who == who):
        begin = time.monotonic()
        house.fresh()
        witness.begin((point, phase))
        replay(house, witness)
        assert witness.happened == 1, f"{phase.value} {point}: no such request this time"
        assert house.state() == undisturbed.state, f"{phase.value} {point}"
        print(f"{time.monotonic() - begin:5.1f} s {phase.value} {point}")


def test_every_reply_may_be_lost_once(
    house: House, witness: Witness, undisturbed: Undisturbed
) -> None:
    house.fresh()
    witness.begin()
    witness.lose_replies = True
    try:
        replay(house, witness)
    finally:
        witness.lose_replies = False
    assert witness.happened > 10
    assert house.state() == undisturbed.state
