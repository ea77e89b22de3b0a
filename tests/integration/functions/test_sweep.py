"""Sweep: what has no successor gets its message again, what has one does not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from cloudevents.http import CloudEvent
from google.cloud.storage import Bucket

from catalog import object_names, retry_policy
from catalog.contract import Kind
from catalog.records import Claim, Event, Origin, Outcome, ResendRecord
from catalog.runs import Run
from catalog.slots import Unit
from functions.core import gcs, handler
from functions.core.clients import Clients
from functions.core.errors import PermanentError
from functions.core.message import Message
from functions.core.settings import Settings
from functions.sweep import resend
from functions.sweep import step as sweep
from functions.sweep.resend import MAX_RESENDS
from tests.support.step_cloud import NOW, Toy, contract, message

RUN, SLOT = "20250605T020700Z", "2024-05"
AGAIN = retry_policy.redelivery_window() + timedelta(minutes=30)
"""When what the first sweep sent can be delivered no more."""


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
    name = object_names.claim(toy.full.dataset, Run(run))
    gcs.create(toy.raw, name, made.encode(), metadata=made.metadata if told else None)
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
    assert sent(toy, AGAIN) == []


def test_what_need_not_be_split_is_not_read(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call by call for fourteen days, of a run every few minutes."""
    read: list[str] = []

    def seen(bucket: Bucket, name: str) -> bytes | None:
        read.append(name)
        return reading(bucket, name)

    reading = gcs.read
    monkeypatch.setattr(gcs, "read", seen)
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
    folder = object_names.stream_folder(stream.dataset)
    minutes = [-60 * 24 * 15, 0, 5]
    old, first, second = (
        object_names.stream_file(stream.dataset, Run.of_file(NOW + timedelta(minutes=at), "u"))
        for at in minutes
    )
    for name in (old, first, second, folder + "2025-06-05T notes.txt"):
        toy.raw.blob(name).upload_from_string(b"")
    assert sent(toy, timedelta(minutes=9)) == []
    assert sent(toy, timedelta(minutes=14)) == [("split", first)]
    assert sent(toy) == [("split", second)], "the first is on its way"
    toy.split(stream, object_names.stream_file_of(first)[1].name, {}, outcome=Outcome.REFUSED)
    assert sent(toy, AGAIN) == [("split", second)]


@pytest.mark.parametrize("step", ["split", "submit", "load"])
def test_what_kills_its_step_is_sent_three_times_and_then_refused(tabled: Toy, step: str) -> None:
    """Until somebody releases it: then it begins anew."""
    name = stalled(tabled, step)
    found, (refused,) = days(tabled)
    assert [(topic, each) for _, topic, each in found] == [(step, name)] * MAX_RESENDS
    times = [at for at, _, _ in found]
    assert times[0] < timedelta(hours=1)
    assert all(b - a > retry_policy.redelivery_window() for a, b in itertools.pairwise(times))
    assert (refused.step, refused.outcome, refused.severity) == ("sweep", "refused", "ERROR")
    assert (refused.object, refused.system) == (name, tabled.system)
    kept = json.loads(tabled.quarantine.blob(object_names.refused(step, name)).download_as_bytes())
    assert (kept["step"], kept["reason"]) == (step, refused.message)
    for folder in (object_names.resends(step, name), object_names.refused(step, name)):
        assert f"gs://{tabled.quarantine.name}/{folder}" in refused.message
        for blob in tabled.quarantine.list_blobs(prefix=folder):
            blob.delete()
    assert sent(tabled, timedelta(days=4)) == [(step, name)]


def stalled(toy: Toy, step: str) -> str:
    """Leave work that waits for a step; the object that the step is called with."""
    if step == "split":
        return claim(toy)
    toy.split(toy.full, RUN, {SLOT: [("a", 1)]})
    manifest = toy.sealed()
    return toy.job(manifest) if step == "load" else manifest


def days(toy: Toy) -> tuple[list[tuple[timedelta, str, str | None]], list[Event]]:
    """Sweep every five hours for three days; what was sent when, and what was refused."""
    found, refusals = [], []
    for hour in range(0, 72, 5):
        after = timedelta(hours=hour, minutes=20)
        toy.clients.published.clear()
        refusals += [each for each in toy.sweep(after) if each.outcome == "refused"]
        found += [(after, topic, a.get("objectId")) for topic, _, a in toy.clients.published]
    return found, refusals


@pytest.mark.parametrize("moment", ["before the message", "after the message"])
@pytest.mark.parametrize("ends", [True, False], ids=["its step ends", "its step dies"])
def test_a_sweep_that_dies_beside_its_record(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, moment: str, ends: bool
) -> None:
    """The record stands, so the message is not sent twice; the end is that of a sweep that lives."""
    name = claim(toy)
    with monkeypatch.context() as patch:
        patch.setattr(toy.clients, "publish", dying(toy, moment))
        with pytest.raises(ExceptionGroup, match=f"sweep failed for {toy.system}"):
            toy.sweep()
    delivered_first = [("split", name)] if moment == "after the message" else []
    assert [(t, a.get("objectId")) for t, _, a in toy.clients.published] == delivered_first
    assert sent(toy) == [], "delivered again, the sweep's message sends nothing"
    assert sent(toy, AGAIN) == [("split", name)]
    if ends:
        toy.split(toy.full, RUN, {}, outcome=Outcome.REFUSED)
    found, refusals = days(toy)
    assert [each for _, _, each in found] == ([] if ends else [name])
    assert [each.object for each in refusals] == ([] if ends else [name])
    assert gcs.exists(toy.quarantine, object_names.refused("split", name)) is not ends


def dying(toy: Toy, moment: str) -> Callable[[str, bytes, dict[str, str]], None]:
    """A way to publish that dies before the message is out, or after it."""

    def publish(topic: str, data: bytes, attributes: dict[str, str]) -> None:
        if moment == "after the message":
            toy.clients.published.append((topic, data, attributes))
        raise ConnectionError("made to die")

    return publish


def test_a_refusal_is_reported_before_it_stands(toy: Toy) -> None:
    """A sweep that dies between the two reports it once more: it is never silent."""
    name = claim(toy)
    for number in range(1, MAX_RESENDS + 1):
        body = ResendRecord(at=NOW.isoformat(), call="c").encode()
        gcs.create(toy.quarantine, object_names.resend("split", name, number), body)
    events = sweep.run(message(b"{}", NOW + AGAIN), toy.clients, toy.settings)
    assert "refused" in (each.outcome for each in events)
    events.close()
    assert not gcs.exists(toy.quarantine, object_names.refused("split", name))
    assert [each.outcome for each in toy.sweep(AGAIN)] == ["refused"]
    assert gcs.exists(toy.quarantine, object_names.refused("split", name))


def test_of_two_sweeps_at_once_one_sends(toy: Toy) -> None:
    """Both see that nothing was sent yet; the record is created only if absent."""
    work = resend.StalledWork("split", "split", "runs/x", {})
    both = resend.Decision(work, resend.Action.SEND, None)
    for _ in range(2):
        sweeps = message(b"{}", NOW)
        list(resend.apply([both], toy.system, sweeps, toy.clients, toy.settings))
    assert len(toy.clients.published) == 1


@pytest.mark.parametrize("step", ["split", "submit", "load"])
def test_what_a_step_refused_for_good_is_not_sent_again(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """By the boundary's own record of the refusal."""
    name = stalled(tabled, step)
    assert sent(tabled) == [(step, name)]
    monkeypatch.setattr(handler, "clients", lambda: tabled.clients)
    monkeypatch.setattr(handler, "settings", lambda: tabled.settings)
    handler.handle(step, delivered(name), refuse)
    assert sent(tabled, AGAIN) == []


def delivered(name: str) -> CloudEvent:
    """The event of an object as a function gets it."""
    content = {"publishTime": NOW.isoformat(), "messageId": "1", "attributes": {"objectId": name}}
    about = {"id": "e1", "source": "toy", "type": "google.cloud.pubsub.topic.v1.messagePublished"}
    return CloudEvent(about, {"message": content})


def refuse(message: Message, clients: Clients, settings: Settings) -> list[Event]:
    """A step that refuses whatever it gets."""
    raise PermanentError("it cannot be")


def test_an_old_manifest_is_found_behind_many_newer(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is on what is sent, not on what is looked at."""
    monkeypatch.setattr("functions.sweep.step.MOST_SENT", 1)
    made = []
    for number in (1, 2, 3):
        tabled.split(tabled.full, RUN, {f"2024-0{number}": [("a", 1)]})
        made.append(tabled.sealed())
    for manifest in made[1:]:
        tabled.load(tabled.job(manifest))
    tabled.split(tabled.full, RUN, {"2024-04": [("a", 1)]})
    made.append(tabled.sealed())
    assert sent(tabled) == [("submit", made[0])]


def test_manifests_that_wait_do_not_hide_one_that_is_due(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.sweep.step.MOST_SENT", 1)
    receipts = []
    for number in (1, 2):
        tabled.split(tabled.full, RUN, {f"2024-0{number}": [("a", 1)]})
        receipts.append(tabled.job(tabled.sealed()))
    assert [sent(tabled) for _ in range(3)] == [[("load", each)] for each in receipts] + [[]]


def test_no_more_is_sent_at_once_than_may_be(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.sweep.step.MOST_SENT", 2)
    claims = [claim(toy, run=f"20250605T0207{second:02d}Z") for second in range(5)]
    assert [sent(toy) for _ in range(4)] == [
        [("split", each) for each in some] for some in (claims[:2], claims[2:4], claims[4:], [])
    ]


@pytest.mark.parametrize("step", ["waiting", "refused"])
def test_what_is_left_alone_costs_no_calls_of_its_own(
    tabled: Toy, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A few lists for a data set, however many of its objects wait or are refused."""
    calls = []
    request = requests.Session.request

    def counting(self: requests.Session, method: str, url: str, *args: Any, **more: Any) -> Any:
        calls.append((method, url))
        return request(self, method, url, *args, **more)

    after = timedelta(minutes=20)
    counts = []
    for number in (1, 29):
        for second in range(number):
            name = claim(tabled, run=f"20250605T02{number:02d}{second:02d}Z")
            if step == "refused":
                gcs.create(tabled.quarantine, object_names.refused("split", name), b"{}")
        sent(tabled, after)
        with monkeypatch.context() as patch:
            patch.setattr(requests.Session, "request", counting)
            calls.clear()
            assert sent(tabled, after) == []
            counts.append(len(calls))
    assert counts[0] == counts[1], calls


def test_a_resend_of_an_older_release_is_read(toy: Toy) -> None:
    """Its object's metadata has no time."""
    name = claim(toy)
    body = ResendRecord(at=NOW.isoformat(), call="c").encode()
    gcs.create(toy.quarantine, object_names.resend("split", name, 1), body)
    assert sent(toy) == []
    assert sent(toy, AGAIN) == [("split", name)]


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
    """Manifests that nobody submits keep no other back: their resends count for an hour."""
    life, hour, minute = retry_policy.redelivery_window(), timedelta(hours=1), timedelta(minutes=1)
    made = []
    for number in range(1, 7):
        toy.split(toy.full, RUN, {f"2024-0{number}": [("a", 1)]})
        made.append(("submit", toy.sealed()))
    assert sent(toy) == made[:2]
    assert sent(toy, 79 * minute) == [], "two are on their way, and no more may run"
    assert sent(toy, 80 * minute) == made[2:4]
    assert sent(toy, life + 10 * minute) == made[4:]
    assert sent(toy, life + 30 * minute) == [], "the first two are due, the last two on their way"
    monkeypatch.setattr("functions.core.dataproc.unfinished", lambda *_: 2)
    assert sent(toy, life + 2 * hour) == []
    monkeypatch.setattr("functions.core.dataproc.unfinished", lambda *_: 1)
    assert sent(toy, life + 2 * hour) == made[:1]


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
