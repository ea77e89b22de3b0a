"""The named cases of docs/architecture.md, "Failure", each on the real steps, once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis
import pytest
from google.api_core.exceptions import BadRequest
from google.cloud.dataproc_v1 import Batch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import functions.core.settings
from catalog import object_names
from functions.core import handler
from functions.core.message import Message
from functions.load import step as load
from local_cloud.cloud import LocalCloud
from local_cloud.dataproc.service import QUOTA_TEXT
from local_cloud.dataproc.worker import BatchRequest, BatchResult
from local_cloud.functions_runtime import in_process
from local_cloud.gateway.proxy import Call, Intervention, Phase
from local_cloud.publishers import Answer
from local_cloud.pubsub.backlog import backoff
from tests.support.crash_list import Point
from tests.support.crashes import EXPORTS, Witness
from tests.support.house import BACKOFF_SCALE, SLOTS, SYSTEM, USAGE, House

pytestmark = pytest.mark.timeout(900)

A, B = EXPORTS


@pytest.fixture
def witness(house: House) -> Iterator[Witness]:
    """Who lets a process die."""
    with Witness(house.cloud) as witness:
        yield witness


class Held:
    """A runner of batches whose batches wait until they are let go."""

    def __init__(self, runner: Any) -> None:
        self.go = threading.Event()
        self._runner = runner

    def run(self, batch: BatchRequest, timeout: float | None = None) -> BatchResult:
        """Wait, then run it."""
        assert self.go.wait(120)
        result: BatchResult = self._runner.run(batch, timeout)
        return result


@contextmanager
def held(house: House) -> Iterator[None]:
    """Batches are made and do not run; after it they do."""
    dataproc = house.cloud.dataproc
    runner = dataproc.runner
    dataproc.runner = holding = Held(runner)
    try:
        yield
    finally:
        dataproc.runner = runner
        holding.go.set()
        house.cloud.settle()


def content(house: House) -> set[tuple[str, int]]:
    """What the rows of the lake say."""
    return set(house.sessions())


def loaded(house: House, body: bytes) -> set[tuple[str, int]]:
    """What the lake says after a first run of `body`; the house is emptied before and after."""
    house.fetch(body)
    found = content(house)
    house.fresh()
    return found


@pytest.fixture(scope="module")
def rows(system_cloud: LocalCloud) -> dict[str, set[tuple[str, int]]]:
    """What the lake says of A alone and of B alone."""
    house = House(system_cloud)
    house.fresh()
    found = {"A": loaded(house, A), "B": loaded(house, B)}
    assert len(found["A"]) == len(found["B"]) == 20
    assert found["A"] != found["B"]
    return found


def test_content_that_returns_is_loaded_again(house: House, rows: dict[str, Any]) -> None:
    runs = []
    for body, name in ((A, "A"), (B, "B"), (A, "A")):
        runs.append(house.fetch(body))
        assert content(house) == rows[name]
    ledger = house.ledger()
    assert {row["run"] for row in ledger.values()} == {runs[-1].name}
    assert len(house.cloud.dataproc.batches()) == 3
    assert len({each.id for each in house.manifests()}) == 3


def test_b_is_in_flight_when_a_returns(house: House, rows: dict[str, Any]) -> None:
    house.fetch(A)
    with held(house):
        house.serve(B)
        house.ingest()
        house.cloud.pubsub.wait_idle(60)
        house.serve(A)
        last = house.ingest()
        house.cloud.pubsub.wait_idle(60)
    assert [batch.state for batch in house.cloud.dataproc.batches()] == [Batch.State.SUCCEEDED] * 2
    assert content(house) == rows["A"]
    assert {row["run"] for row in house.ledger().values()} == {last.name}


def test_an_older_receipt_comes_after_a_newer(house: House, rows: dict[str, Any]) -> None:
    with house.losing("receipts/"):
        house.fetch(A)
    assert house.ledger() == {}
    last = house.fetch(B)
    before = house.state()
    older = house.manifests()[0]
    house.notify("lake", object_names.receipt(SYSTEM, older.id), "load")
    house.cloud.settle()
    assert house.state() == before
    assert content(house) == rows["B"]
    assert {row["run"] for row in house.ledger().values()} == {last.name}


def test_two_batches_work_on_one_slot(house: House, rows: dict[str, Any]) -> None:
    with held(house):
        for body in (A, B):
            house.serve(body)
            house.ingest()
            house.cloud.pubsub.wait_idle(60)
        states = [batch.state for batch in house.cloud.dataproc.batches()]
        assert states == [Batch.State.RUNNING, Batch.State.PENDING]
    assert content(house) == rows["B"]
    assert len(house.objects("lake", f"receipts/{SYSTEM}/")) == 2


def test_a_split_that_dies_half_way(house: House, witness: Witness, rows: dict[str, Any]) -> None:
    record = f"demo-landing/splits/{USAGE}/RUN.json"
    witness.begin((Point("split", "storage objects.insert", record, 1), Phase.BEFORE))
    house.fetch(A)
    assert not witness.left
    assert len(house.objects("landing", f"parts/{USAGE}/")) == 4
    assert len(house.state()["parts"]) == 2
    assert content(house) == rows["A"]


def test_a_part_comes_late_during_seal(house: House, rows: dict[str, Any]) -> None:
    split_again = threading.Event()
    asked: list[str] = []

    def between(call: Call, phase: Phase) -> Intervention:
        if call.name.startswith(f"demo-landing/splits/{USAGE}/") and phase is Phase.AFTER and asked:
            split_again.set()
        if call.name.startswith("demo-landing/manifests/") and phase is Phase.BEFORE and not asked:
            house.serve(B)
            asked.append(house.ingest().name)
            assert split_again.wait(60)
        return Intervention.PASS

    house.cloud.gate.intercept = between
    try:
        house.fetch(A)
    finally:
        house.cloud.gate.intercept = None
    assert split_again.is_set()
    assert content(house) == rows["B"]
    assert {row["run"] for row in house.ledger().values()} == set(asked)
    assert house.objects("landing", "dirty/") == []


def test_a_batch_that_fails_after_submit(house: House, rows: dict[str, Any]) -> None:
    house.cloud.dataproc.fail_next(1, "the driver was lost")
    house.fetch(A)
    assert house.ledger() == {}
    house.sweep()
    states = [batch.state.name for batch in house.cloud.dataproc.batches()]
    assert states == ["FAILED", "SUCCEEDED"]
    assert content(house) == rows["A"]


def test_a_load_that_dies_between_staging_and_swap(
    house: House, witness: Witness, rows: dict[str, Any]
) -> None:
    witness.begin((Point("load", "bigquery jobs.insert", "MERGE", 1), Phase.BEFORE))
    house.fetch(A)
    assert not witness.left
    tries = [p for p in witness.seen if p.who == "load" and p.name.startswith("load-wifi_sessions")]
    assert len(tries) == 2
    assert len({point.name for point in tries}) == 1, "the second try takes the first one's job"
    assert content(house) == rows["A"]


def test_two_first_loads_at_once(house: House, rows: dict[str, Any]) -> None:
    with house.losing("receipts/"):
        house.fetch(A)
        last = house.fetch(B)
    receipts = house.objects("lake", f"receipts/{SYSTEM}/")
    assert len(receipts) == 2
    assert house.cloud.rows("SELECT * FROM ops.lock") == []
    barrier = threading.Barrier(2)

    def work(name: str) -> None:
        message = Message(
            data=b"{}", attributes={"objectId": name}, published=house.cloud.clock.now(), id=name
        )
        barrier.wait(60)
        for _ in range(10):
            try:
                with in_process.working_as("load"):
                    list(load.run(message, handler.clients(), functions.core.settings.settings()))
            except BadRequest:  # the race was lost: the message comes again
                continue
            return
        raise AssertionError(f"{name} never came through")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, receipts))
    assert content(house) == rows["B"]
    assert len(house.sessions()) == 20
    assert {row["run"] for row in house.ledger().values()} == {last.name}


def test_lost_notifications_are_found_by_the_sweep(house: House, rows: dict[str, Any]) -> None:
    with house.losing("runs/", "manifests/", "receipts/"):
        house.fetch(A)
        for zone, prefix in (("landing", "splits/"), ("lake", "receipts/")):
            assert house.objects(zone, prefix) == []
            house.sweep()
        assert house.ledger() == {}
        house.sweep()
    assert content(house) == rows["A"]
    sent = len(house.cloud.pubsub.deliveries())
    house.sweep()
    after = house.cloud.pubsub.deliveries()[sent:]
    assert {each.subscription for each in after} <= {"sweep", "events-to-bigquery"}, (
        "nothing is lost any more"
    )


def test_an_hour_of_quota_refusals(house: House, rows: dict[str, Any]) -> None:
    spec = next(s for s in house.cloud.pubsub.subscriptions() if s.name.endswith("/submit"))
    begin = house.cloud.clock.now()
    refusals = 0

    def refuse(_: Batch) -> str | None:
        nonlocal refusals
        if house.cloud.clock.now() - begin >= timedelta(hours=1):
            return None
        refusals += 1
        house.later(seconds=backoff(spec, refusals, 1.0))
        return QUOTA_TEXT

    house.cloud.dataproc.quota_hook = refuse
    house.fetch(A)
    assert 8 < refusals < spec.max_delivery_attempts
    assert [batch.state.name for batch in house.cloud.dataproc.batches()] == ["SUCCEEDED"]
    assert house.cloud.dataproc.batches()[0].name.endswith("-a1"), "a refusal is no attempt"
    assert content(house) == rows["A"]


def test_eight_hours_without_the_source(
    house: House, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = replace(house.cloud.pubsub.tuning, backoff_scale=BACKOFF_SCALE / 20)
    monkeypatch.setattr(house.cloud.pubsub, "tuning", tuning)
    house.fetch(A)
    spec = next(s for s in house.cloud.pubsub.subscriptions() if s.name.endswith("/download"))
    dead = "SELECT * FROM ops.dead_letters WHERE subscription_name LIKE '%dead%'"
    before = len(house.cloud.rows(dead))
    lasts = sum(backoff(spec, n, 1.0) for n in range(1, spec.max_delivery_attempts))
    assert timedelta(hours=7) < timedelta(seconds=lasts) < timedelta(hours=8)
    house.serve(Answer(b"unavailable", status=503))
    asked = len(house.cloud.publishers.requests)
    lost = house.ingest()
    house.cloud.settle()
    assert len(house.cloud.publishers.requests) - asked == spec.max_delivery_attempts
    assert len(house.cloud.rows(dead)) == before + 1
    assert house.cloud.read("raw", object_names.claim(USAGE, lost)) is None
    assert content(house) == rows["A"], "yesterday's data stands"
    house.later(hours=8)
    next_run = house.fetch(B)
    assert content(house) == rows["B"]
    assert {row["run"] for row in house.ledger().values()} == {next_run.name}


@contextmanager
def disorder(house: House, seed: int, duplicate: float, again: float) -> Iterator[None]:
    """Deliver in shuffled order, a share twice, a share once more though its step has done it."""
    pubsub = house.cloud.pubsub
    chance = random.Random(seed)
    entry_point = in_process.entry_point

    def forgetful(name: str) -> Any:
        def work(event: Any) -> None:
            entry_point(name)(event)
            if chance.random() < again:
                raise ConnectionError("the acknowledgement was lost")

        return work

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_process, "entry_point", forgetful)
        tuning = replace(pubsub.tuning, reorder=chance, duplicate=duplicate)
        patch.setattr(pubsub, "tuning", tuning)
        yield


@pytest.fixture(scope="module")
def in_order(system_cloud: LocalCloud) -> dict[str, list[str]]:
    """What two runs leave whose messages come once and in order."""
    house = House(system_cloud)
    house.fresh()
    for body in (A, B):
        with house.losing("runs/"):
            house.fetch(body)
    for name in house.objects("raw", f"runs/{USAGE}/"):
        house.notify("raw", name, "split")
        house.cloud.settle()
    assert house.query()
    return house.state()


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**16),
    duplicate=st.sampled_from([0.3, 1.0]),
    again=st.sampled_from([0.0, 0.5]),
    newest_first=st.booleans(),
)
def test_any_order_any_number_of_times(
    system_cloud: LocalCloud,
    in_order: dict[str, list[str]],
    rows: dict[str, Any],
    seed: int,
    duplicate: float,
    again: float,
    newest_first: bool,
) -> None:
    house = House(system_cloud)
    house.fresh()
    for body in (A, B):
        with house.losing("runs/"):
            house.fetch(body)
    with disorder(house, seed, duplicate, again):
        for name in sorted(house.objects("raw", f"runs/{USAGE}/"), reverse=newest_first):
            house.notify("raw", name, "split")
        house.cloud.settle()
    for _ in range(3):  # a step whose last try was dead-lettered is the sweep's
        house.sweep()
        if set(house.ledger()) == set(SLOTS):
            break
    assert house.query()
    assert content(house) == rows["B"]
    assert house.state() == in_order
