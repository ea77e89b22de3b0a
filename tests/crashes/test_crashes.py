"""The crash list: whatever process dies wherever it changes something, the end is the same.

The points are those of an undisturbed run of two slots of ten rows, as the stand-ins received its
requests. At each of them a process dies before the request has an effect, and after it, every
death in a run of its own. The batch is a recorded one: tests/system/shared_cloud/test_recorded_batch.py shows
that Spark makes the same requests.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from local_cloud.gateway.proxy import Phase
from tests.crashes.conftest import Undisturbed
from tests.support.crash_list import (
    BATCH,
    NOTIFIER,
    POINTS,
    QUERY,
    RENEW,
    Crash,
    crash_id,
    reaches_reports,
    read_points,
    sweeps_needed,
)
from tests.support.crashes import Witness, record_batches, replay
from tests.support.house import House
from tests.support.recording import Recording

type Baseline = Callable[[bool], Undisturbed]

STEPS = ("download", "split", "seal", "submit", "load", QUERY)
LIST = read_points()
DEATHS = [(point, phase) for phase in Phase for point in LIST]
BATCH_POINTS = [point for point in LIST if point.who == BATCH]
BATCH_DEATHS = [(p, Phase.BEFORE) for p in BATCH_POINTS] + [(BATCH_POINTS[-1], Phase.AFTER)]
PAIRS = list(itertools.batched(BATCH_DEATHS, 2, strict=True))


def check(house: House, witness: Witness, undisturbed: Baseline, *crashes: Crash) -> None:
    """Replay with deaths: all of them happen, and they change nothing that lasts."""
    deaths = ", ".join(f"{phase.value} {point}" for point, phase in crashes)
    reports = any(map(reaches_reports, crashes))
    expected = undisturbed(reports).state
    sweeps = replay(house, witness, *crashes, reports=reports)
    assert not witness.left, f"no such request in this run: {deaths}. Renew the list: {RENEW}"
    assert house.state() == expected, deaths
    assert sweeps == sum(map(sweeps_needed, crashes)), f"sweeps after {deaths}"


def test_the_list_has_every_request_of_the_undisturbed_run(undisturbed: Baseline) -> None:
    run = undisturbed(True)
    text = f"{POINTS.name} lists other requests than the run makes: {RENEW}, then look at the diff"
    assert sorted(run.points) == sorted(LIST), text
    assert len(set(LIST)) == len(LIST)
    assert {point.who for point in LIST} == {*STEPS, BATCH, NOTIFIER}
    assert len(run.state["wifi_sessions"]) == 20
    assert len(run.state["ledger"]) == len(run.state["parts"]) == 2
    assert run.state["reports.wifi_usage_by_day"]
    assert run.state["markers"] == []


@pytest.mark.parametrize("crash", DEATHS, ids=crash_id)
def test_a_death(house: House, witness: Witness, undisturbed: Baseline, crash: Crash) -> None:
    check(house, witness, undisturbed, crash)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: crash_id(pair[0]))
def test_two_deaths_of_a_batch(
    house: House, witness: Witness, undisturbed: Baseline, pair: tuple[Crash, Crash]
) -> None:
    """A manifest has three attempts: two die, each elsewhere, and the third must do."""
    check(house, witness, undisturbed, *pair)


def test_every_reply_is_lost_once(
    house: House, witness: Witness, undisturbed: Baseline, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(True).state
    monkeypatch.setattr(witness, "lose_replies", True)
    assert replay(house, witness, reports=True) == 0
    assert len(witness.lost) > 20
    assert house.state() == expected


@pytest.mark.parametrize("after_death", [False, True])
def test_the_batch_makes_the_requests_of_its_recording(house: House, after_death: bool) -> None:
    replayed, recorded = record_batches(house, after_death=after_death), Recording.read()
    assert replayed.requests == recorded.requests
    assert replayed.content() == recorded.content()
