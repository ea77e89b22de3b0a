"""Submit: one batch at work per manifest, attempts that count, and quota that never does."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from google.cloud.dataproc_v1 import Batch

from catalog import object_names
from functions.core import dataproc
from functions.core.errors import PermanentError, RetryLaterError
from functions.submit.step import run
from tests.support.step_cloud import NOW, Toy, event_of

RUN, SLOT = "20250601T021000Z", "2024-05"
QUOTA = "Insufficient 'CPUS' quota. Requested 12.0, available 1.0."


@pytest.fixture
def manifest(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("functions.core.ledger.read", lambda *_: {})
    toy.split(toy.full, RUN, {SLOT: [("a", 1)]})
    return toy.sealed()


def states(toy: Toy, manifest: str) -> list[str]:
    made = dataproc.attempts(toy.clients, toy.settings, object_names.system_and_id(manifest)[1])
    return [attempt.batch.state.name for attempt in made]


def test_the_batch_is_told_where_its_manifest_is(toy: Toy, manifest: str) -> None:
    (told,) = toy.submit(manifest)
    identity = object_names.system_and_id(manifest)[1]
    (attempt,) = dataproc.attempts(toy.clients, toy.settings, identity)
    batch = attempt.batch
    assert told.outcome == "submitted"
    assert list(batch.pyspark_batch.args) == [
        "--manifest", f"gs://{toy.landing.name}/{manifest}",
        "--attempt", "1", "--batch", f"{identity}-a1",
    ]  # fmt: skip
    assert batch.labels["system"] == toy.system
    assert batch.environment_config.execution_config.ttl.total_seconds() == 3600
    assert batch.runtime_config.version == "2.3"
    assert list(batch.pyspark_batch.python_file_uris) == ["gs://code/jobs/h/batch.py"]


def test_a_receipt_is_the_end(toy: Toy, manifest: str) -> None:
    toy.job(manifest)
    assert [told.outcome for told in toy.submit(manifest)] == ["written already"]
    assert states(toy, manifest) == []


def test_a_failed_batch_is_tried_again_up_to_the_cap(toy: Toy, manifest: str) -> None:
    toy.runner.states = [("FAILED", "boom")] * 3
    for number in (1, 2, 3):
        toy.submit(manifest)
        assert states(toy, manifest) == ["FAILED"] * number
    with pytest.raises(PermanentError, match="failed 3 times, last FAILED"):
        toy.submit(manifest)
    assert len(states(toy, manifest)) == 3


def test_success_without_a_receipt_counts_as_failure(toy: Toy, manifest: str) -> None:
    for number in (1, 2, 3):
        toy.submit(manifest)
        assert len(states(toy, manifest)) == number
    with pytest.raises(PermanentError, match="no receipt written"):
        toy.submit(manifest)


def test_batches_that_failed_for_want_of_quota_do_not_count(toy: Toy, manifest: str) -> None:
    toy.dataproc.fail_next(6, QUOTA)
    toy.runner.states = [("FAILED", "boom"), ("SUCCEEDED", "")]
    for _ in range(8):
        toy.submit(manifest)
    assert states(toy, manifest) == ["FAILED"] * 7 + ["SUCCEEDED"]


@pytest.mark.parametrize(
    ("states", "text", "counts"),
    [
        (["PENDING", "FAILED"], QUOTA, False),
        (["PENDING", "RUNNING", "FAILED"], QUOTA, True),
        (["PENDING", "FAILED"], "the job exceeded its disk quota", True),
        (["PENDING", "RUNNING", "SUCCEEDED"], "", True),
    ],
)
def test_what_uses_up_an_attempt(states: list[str], text: str, counts: bool) -> None:
    history = [Batch.StateHistory(state=state) for state in states[:-1]]
    batch = Batch(state=states[-1], state_message=text, state_history=history)
    assert dataproc.Attempt(1, batch).counts is counts


def test_an_hour_of_quota_refusals(toy: Toy, manifest: str) -> None:
    toy.dataproc.refuse_quota_until = NOW + timedelta(hours=1)
    for minute in range(0, 60, 10):
        toy.clock.advance_to(NOW + timedelta(minutes=minute))
        with pytest.raises(RetryLaterError, match="no quota now"):
            toy.submit(manifest)
    toy.clock.advance_to(NOW + timedelta(hours=1, minutes=1))
    toy.submit(manifest)
    assert states(toy, manifest) == ["SUCCEEDED"]


def test_no_more_batches_of_a_system_than_allowed(
    toy: Toy, manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataproc, "unfinished", lambda *_: 2)
    with pytest.raises(RetryLaterError, match="2 batches at work"):
        toy.submit(manifest)
    assert states(toy, manifest) == []


def test_unfinished_counts_the_systems_own(toy: Toy, manifest: str) -> None:
    toy.submit(manifest)
    assert dataproc.unfinished(toy.clients, toy.settings, toy.system) == 0


def test_a_batch_made_by_another_delivery_is_left_alone(
    toy: Toy, manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both deliveries saw no batch; the first to create it wins."""
    toy.submit(manifest)
    monkeypatch.setattr(dataproc, "attempts", lambda *_: [])
    monkeypatch.setattr("functions.submit.step.uuid.uuid5", lambda *_: "another")
    assert [told.outcome for told in toy.submit(manifest)] == ["running"]
    monkeypatch.undo()
    assert len(states(toy, manifest)) == 1


@pytest.mark.parametrize("name", ["manifests/toy/gone.json", "manifests/x.json", ""])
def test_what_is_no_manifest_is_permanent(toy: Toy, name: str) -> None:
    with pytest.raises(PermanentError):
        list(run(event_of(name), toy.clients, toy.settings))


def test_a_system_without_a_job_is_permanent(toy: Toy, manifest: str) -> None:
    assert toy.settings.spark
    spark = msgspec.structs.replace(toy.settings.spark, jobs={})
    toy.settings = msgspec.structs.replace(toy.settings, spark=spark)
    with pytest.raises(PermanentError, match="no Spark job for the system"):
        toy.submit(manifest)
