"""Sweep: what has no successor gets its message again, what has one does not."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from cloudevents.http import CloudEvent
from google.cloud.storage import Bucket

from catalog import names
from catalog.contract import Kind
from catalog.records import Claim, Event, Origin, Outcome
from catalog.runs import Run
from catalog.slots import Unit
from functions import boundary, store
from functions.clients import Clients
from functions.errors import Permanent
from functions.messages import Message
from functions.settings import Settings
from tests.support.step_cloud import NOW, Toy, contract

RUN, SLOT = "20250605T020700Z", "2024-05"


def sent(toy: Toy, after: timedelta = timedelta(minutes=20)) -> list[tuple[str, str | None]]:
    """Call sweep; the (topic, object) of each message it published."""
    toy.clients.published.clear()
    toy.sweep(after)
    return [(topic, about.get("objectId")) for topic, _, about in toy.clients.published]


def claim(
    toy: Toy, outcome: Outcome = Outcome.ACCEPTED, run: str = RUN, *, told: bool = True
) -> str:
    """Leave a claim in raw, its outcome told in its metadata or not; its object's name."""
    made = Claim(
        dataset=toy.full.dataset, run=run, outcome=outcome, origin=Origin.PUBLISHER,
        source="it", fetched_at=NOW.isoformat(),
    )  # fmt: skip
    name = names.claim(toy.full.dataset, Run(run))
    store.create(toy.raw, name, made.encode(), metadata=made.metadata if told else None)
    return name


def test_nothing_lost_nothing_sent(tabled: Toy) -> None:
    claim(tabled)
    tabled.split(tabled.full, RUN, {SLOT: [("a", 1)]})
    tabled.through()
    assert sent(tabled) == []


def test_a_claim_without_split(toy: Toy) -> None:
    name = claim(toy)
    claim(toy, Outcome.REFUSED, "20250605T020800Z")
    claim(toy, Outcome.UNCHANGED, "20250605T020900Z")
    assert sent(toy, timedelta(minutes=9)) == []
    assert sent(toy) == [("split", name)]
    _, _, attributes = toy.clients.published[0]
    assert attributes["bucketId"] == toy.raw.name
    assert attributes["eventType"] == "OBJECT_FINALIZE"
    assert attributes["objectGeneration"].isdigit()
    toy.split(toy.full, RUN, {}, outcome=Outcome.REFUSED)
    assert sent(toy) == []


def test_what_need_not_be_split_is_not_read(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call by call for fourteen days, of a run every few minutes."""
    read: list[str] = []

    def seen(bucket: Bucket, name: str) -> bytes | None:
        read.append(name)
        return reading(bucket, name)

    reading = store.read
    monkeypatch.setattr(store, "read", seen)
    name = claim(toy)
    claim(toy, Outcome.REFUSED, "20250605T020800Z")
    claim(toy, Outcome.UNCHANGED, "20250605T020900Z")
    old = claim(toy, Outcome.UNCHANGED, "20250605T020600Z", told=False)
    assert sent(toy) == [("split", name)]
    assert sorted(read) == [old, name]


def test_a_streams_file_without_split(toy: Toy) -> None:
    """By the time in its name; other objects of the folder, and old files, are left alone."""
    stream = contract(toy.system, "taps", Kind.STREAM, Unit.HOUR)
    toy.contracts[stream.dataset] = stream
    folder = names.stream_folder(stream.dataset)
    minutes = [-60 * 24 * 15, 0, 5]
    old, first, second = (
        names.stream_file(stream.dataset, Run.of_file(NOW + timedelta(minutes=at), "u"))
        for at in minutes
    )
    for name in (old, first, second, folder + "2025-06-05T notes.txt"):
        toy.raw.blob(name).upload_from_string(b"")
    assert sent(toy, timedelta(minutes=9)) == []
    assert sent(toy, timedelta(minutes=14)) == [("split", first)]
    assert sent(toy) == [("split", first), ("split", second)]
    toy.split(stream, names.stream_file_of(first)[1].name, {}, outcome=Outcome.REFUSED)
    assert sent(toy) == [("split", second)]


@pytest.mark.parametrize("step", ["split", "submit", "load"])
def test_what_a_step_refused_for_good_is_not_sent_again(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """By the boundary's own record of the refusal."""
    if step == "split":
        name = claim(tabled)
    else:
        tabled.split(tabled.full, RUN, {SLOT: [("a", 1)]})
        name = tabled.sealed()
        name = tabled.job(name) if step == "load" else name
    assert sent(tabled) == [(step, name)]
    monkeypatch.setattr(boundary, "clients", lambda: tabled.clients)
    monkeypatch.setattr(boundary, "settings", lambda: tabled.settings)
    tabled.servers.storage.create_bucket(tabled.settings.quarantine)
    boundary.handle(step, delivered(name), refuse)
    assert sent(tabled) == []


def delivered(name: str) -> CloudEvent:
    """The event of an object as a function gets it."""
    content = {"publishTime": NOW.isoformat(), "messageId": "1", "attributes": {"objectId": name}}
    about = {"id": "e1", "source": "toy", "type": "google.cloud.pubsub.topic.v1.messagePublished"}
    return CloudEvent(about, {"message": content})


def refuse(message: Message, clients: Clients, settings: Settings) -> list[Event]:
    """A step that refuses whatever it gets."""
    raise Permanent("it cannot be")


def test_an_old_manifest_is_found_behind_many_newer(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is on what is sent, not on what is looked at."""
    monkeypatch.setattr("functions.sweep.MOST_MANIFESTS", 1)
    made = []
    for number in (1, 2, 3):
        tabled.split(tabled.full, RUN, {f"2024-0{number}": [("a", 1)]})
        made.append(tabled.sealed())
    for manifest in made[1:]:
        tabled.load(tabled.job(manifest))
    tabled.split(tabled.full, RUN, {"2024-04": [("a", 1)]})
    made.append(tabled.sealed())
    assert sent(tabled) == [("submit", made[0])]


def test_a_claim_of_long_ago_is_left_alone(toy: Toy) -> None:
    claim(toy)
    assert sent(toy, timedelta(days=15)) == []


def test_a_marked_slot(toy: Toy) -> None:
    toy.split(toy.full, RUN, {SLOT: [("a", 1)]})
    assert sent(toy) == [("seal", None)]
    assert toy.clients.published[0][1] == f'{{"system": "{toy.system}"}}'.encode()


def test_an_open_slot_waits(toy: Toy) -> None:
    toy.split(toy.ticks, "20250605T021000Z", {"2025-06-05T02": [("a", 1)]})
    assert sent(toy) == []
    assert sent(toy, timedelta(hours=1)) == [("seal", None)]


def test_the_whole_chain_by_sweep_alone(tabled: Toy) -> None:
    tabled.split(tabled.full, RUN, {SLOT: [("a", 1)]})
    manifest = tabled.sealed()
    assert sent(tabled, timedelta(minutes=5)) == []
    assert sent(tabled) == [("submit", manifest)]
    receipt = tabled.job(manifest)
    assert sent(tabled) == [("load", receipt)]
    tabled.load(receipt)
    assert sent(tabled) == []


def test_a_failed_batch_is_sent_again_until_its_attempts_are_used_up(toy: Toy) -> None:
    toy.split(toy.full, RUN, {SLOT: [("a", 1)]})
    manifest = toy.sealed()
    toy.runner.states = [("FAILED", "boom")] * 3
    for _ in range(3):
        assert sent(toy) == [("submit", manifest)]
        toy.submit(manifest)
    assert sent(toy) == []


def test_no_more_is_submitted_than_may_run(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 5):
        toy.split(toy.full, RUN, {f"2024-0{number}": [("a", 1)]})
        toy.seal()
    assert len(toy.manifests()) == 4
    assert [topic for topic, _ in sent(toy)] == ["submit", "submit"]
    monkeypatch.setattr("functions.batches.unfinished", lambda *_: 2)
    assert sent(toy) == []


def test_a_superseded_manifest_is_done(tabled: Toy) -> None:
    tabled.split(tabled.full, RUN, {SLOT: [("a", 1)]})
    tabled.sealed()
    tabled.split(tabled.full, "20250605T020800Z", {SLOT: [("a", 2)]})
    tabled.through()
    assert sent(tabled) == []


def test_a_batchs_state_is_told_under_one_id(toy: Toy) -> None:
    toy.split(toy.full, RUN, {SLOT: [("a", 1)]})
    toy.submit(toy.sealed())
    told = [[e for e in toy.sweep() if e.step == "batch"] for _ in range(2)]
    assert [e.outcome for e in told[0]] == ["succeeded"]
    assert told[0][0].event_id == told[1][0].event_id
    billed = {"milli_dcu_seconds", "shuffle_storage_gb_seconds"}
    assert billed < set(json.loads(told[0][0].detail or "{}"))
    assert [e for e in toy.sweep(timedelta(hours=2)) if e.step == "batch"] == []
