"""A sliced data set, slice by slice from its publisher: what follows what, and what a crash leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from catalog import object_names, retry_policy
from catalog.contract import Contract, FetchSpec, Slices, Times
from catalog.object_names import SplitKey
from catalog.records import Claim, Event, Outcome, SplitRecord
from catalog.runs import Run
from functions.core import gcs, slices
from functions.core.errors import PermanentError, RetryLaterError
from functions.download import attempt
from functions.download import step as download
from functions.split import step as split
from functions.sweep.resend import MAX_RESENDS
from local_cloud.publishers import Answer, Publishers
from tests.support.split_cloud import changed, use
from tests.support.step_cloud import NOW, Toy, event_of, message

URL = "https://toy.example/export?where=t%20%3E%3D%20date'{start}Z'%20and%20t%20%3C%20date'{end}Z'"
TICK = "20250605T020700Z"
SLOTS = ("2025-03", "2025-04", "2025-05", "2025-06")
DOWN = Answer(b"", status=503)
GONE = Answer(b"", status=404)
PAGE = Answer(b"<html>sorry</html>")


class House:
    """The toy system with a sliced data set, its publisher, and a post that delivers in order."""

    def __init__(self, toy: Toy, publishers: Publishers, monkeypatch: pytest.MonkeyPatch) -> None:
        self.toy = toy
        self.publishers = publishers
        self.contract = sliced(toy.full)
        toy.contracts = {self.contract.dataset: self.contract}
        use(monkeypatch, self.contract)
        self.at = NOW
        for slot in SLOTS:
            self.serve(slot, Answer(csv(slot, 3)))

    def serve(self, slot: str, answer: Answer) -> None:
        """What the publisher answers for a slot."""
        self.publishers.serve(self.contract.address(URL, slot), answer)

    def ask(self, **body: Any) -> None:
        """Put a request into the post."""
        data = json.dumps({"dataset": self.contract.dataset, **body}).encode()
        self.toy.clients.publish("ingest", data, {})

    def deliver(self) -> list[Event]:
        """Deliver the oldest request in the post; one that fails comes again, behind the others."""
        post = self.toy.clients.published
        at = next(n for n, (topic, _, _) in enumerate(post) if topic == "ingest")
        topic, data, attributes = post.pop(at)
        try:
            return list(
                download.run(
                    message(data, self.at, attributes), self.toy.clients, self.toy.settings
                )
            )
        except RetryLaterError:
            post.append((topic, data, attributes))
            raise

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """The requests in the post."""
        sent = self.toy.clients.published
        return [json.loads(data) for topic, data, _ in sent if topic == "ingest"]

    def settle(self, most: int = 40) -> list[tuple[str | None, str]]:
        """Deliver until the post is empty; (run, outcome) of each delivery."""
        told: list[tuple[str | None, str]] = []
        for _ in range(most):
            if not self.waiting:
                return told
            try:
                told += [(event.run, event.outcome) for event in self.deliver()]
            except RetryLaterError as later:
                told.append((None, str(later).split(" ")[1]))
        return told

    def scheduled(self, at: datetime = NOW) -> list[tuple[str | None, str]]:
        """Let the schedule's message come, and all that follows from it."""
        self.at = at
        self.ask()
        return self.settle()

    def claims(self) -> list[str]:
        """The runs that are claimed."""
        listed = gcs.names(self.toy.raw, f"runs/{self.contract.dataset}/")
        return [object_names.claim_of(name)[1].name for name in listed]

    def claim(self, run: str) -> Claim:
        """The claim of a run."""
        name = object_names.claim(self.contract.dataset, Run(run))
        return Claim.decode(self.toy.raw.blob(name).download_as_bytes())

    def split(self, run: str) -> SplitRecord:
        """Split a run; its record."""
        name = object_names.claim(self.contract.dataset, Run(run))
        list(split.run(event_of(name), self.toy.clients, self.toy.settings))
        record = object_names.split_record(self.contract.dataset, SplitKey(Run(run)))
        return SplitRecord.decode(self.toy.landing.blob(record).download_as_bytes())

    def requests(self) -> int:
        """How often the publisher was asked."""
        return len(self.publishers.requests)


@pytest.fixture
def house(toy: Toy, publishers: Publishers, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(toy, publishers, monkeypatch)


def sliced(contract: Contract) -> Contract:
    """The toy's full export, in months since March."""
    return changed(
        contract,
        source__fetch=(FetchSpec(name="api", urls=(URL,)),),
        source__slices=Slices(first=SLOTS[0], times=Times.UTC),
        bounds__drop_max=0.5,
        bounds__drop_from=1,
        bounds__bytes_max=100_000,
    )


def csv(slot: str, rows: int) -> bytes:
    """A month's export."""
    lines = [
        f"{slot}-{number},{number},{slot}-01T{number % 24:02d}:00:00Z" for number in range(rows)
    ]
    return "\n".join(["k,v,t", *lines, ""]).replace(",", ";").encode()


def runs(*slots: str) -> list[str]:
    """The runs of the tick for these slots."""
    return [f"{TICK}.{slot}" for slot in slots]


def test_every_slice_follows_from_the_one_before(house: House) -> None:
    told = house.scheduled()
    assert told == [(run, "accepted") for run in runs(*SLOTS)]
    assert house.requests() == len(SLOTS)
    assert [house.claim(run).next_slice for run in runs(*SLOTS)] == [*SLOTS[1:], None]
    first = house.claim(runs(*SLOTS)[0]).files[0]
    assert "date'2025-03-01T00:00:00Z'" in first.url
    assert "date'2025-04-01T00:00:00Z'" in first.url
    assert [part.slot for part in house.split(runs("2025-04")[0]).parts] == ["2025-04"]


def test_only_the_last_slice_s_split_asks_for_a_seal(house: House) -> None:
    house.scheduled()
    house.split(runs("2025-05")[0])
    assert house.toy.clients.published == []
    house.split(runs("2025-06")[0])
    assert [topic for topic, _, _ in house.toy.clients.published] == ["seal"]


def test_a_message_again_repeats_nothing(house: House) -> None:
    house.ask()
    [first] = house.deliver()
    house.ask()
    house.ask(run=TICK, slot=SLOTS[0], onward=True)
    waiting = house.waiting
    assert first.outcome == "accepted"
    for _ in range(2):
        house.toy.clients.published.reverse()
        assert [event.outcome for event in house.deliver()] == ["claimed"]
        house.toy.clients.published.reverse()
    assert house.requests() == 1
    assert house.waiting == waiting[:1]
    house.settle()
    assert house.claims() == runs(*SLOTS)


def test_two_at_once_on_a_slice_ask_for_the_next_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.ask()
    house.ask()
    claim = attempt.DownloadAttempt.claim

    def second_first(self: attempt.DownloadAttempt) -> tuple[Claim, bool]:
        monkeypatch.setattr(attempt.DownloadAttempt, "claim", claim)
        house.deliver()
        return claim(self)

    monkeypatch.setattr(attempt.DownloadAttempt, "claim", second_first)
    [lost] = house.deliver()
    assert lost.outcome == "claimed"
    assert [each["slot"] for each in house.waiting] == [SLOTS[1]]
    assert len(list(gcs.names(house.toy.raw, "data/"))) == 1


def test_unchanged_is_told_slice_by_slice(house: House) -> None:
    house.scheduled()
    for run in runs(*SLOTS):
        house.split(run)
    house.toy.clients.published.clear()
    house.serve("2025-05", Answer(csv("2025-05", 4)))
    told = house.scheduled(NOW + timedelta(hours=1))
    assert [outcome for _, outcome in told] == ["unchanged", "unchanged", "accepted", "unchanged"]
    later = house.claim("20250605T030700Z.2025-04")
    assert later.same_as == runs("2025-04")[0]
    statuses = ["if-none-match" in seen.headers for seen in house.publishers.requests]
    assert statuses == [False] * 4 + [True] * 4


def test_a_slice_is_compared_with_the_same_slice(house: House) -> None:
    """March has twenty rows and April three, which is no fall; March with nine later on is one."""
    house.serve("2025-03", Answer(csv("2025-03", 20)))
    house.scheduled()
    assert {house.split(run).outcome for run in runs(*SLOTS)} == {Outcome.ACCEPTED}
    house.serve("2025-03", Answer(csv("2025-03", 9)))
    house.serve("2025-04", Answer(csv("2025-04", 2)))
    house.scheduled(NOW + timedelta(hours=1))
    fell, stood = (house.split(f"20250605T030700Z.{slot}") for slot in SLOTS[:2])
    assert (fell.outcome, stood.outcome) == (Outcome.REFUSED, Outcome.ACCEPTED)
    assert "9 rows after 20 in 20250605T020700Z.2025-03" in (fell.reason or "")


def test_rows_outside_their_slice_are_rejected_by_name(house: House) -> None:
    house.serve("2025-03", Answer(csv("2025-03", 30) + b"x;1;2025-04-01T00:00:00Z\n"))
    house.scheduled()
    record = house.split(runs("2025-03")[0])
    assert (record.rows_in, record.no_slot) == (31, {"outside the asked slot": 1})


@pytest.mark.parametrize(
    ("answer", "outcome"), [(GONE, "refused"), (PAGE, "accepted")], ids=["gone", "page"]
)
def test_a_refused_slice_does_not_stop_the_others(
    house: House, answer: Answer, outcome: str
) -> None:
    house.serve("2025-04", answer)
    told = house.scheduled()
    assert [each for _, each in told] == ["accepted", outcome, "accepted", "accepted"]
    assert house.split(runs("2025-05")[0]).outcome is Outcome.ACCEPTED


def test_a_slice_that_fails_is_passed_over_and_goes_on_trying(house: House) -> None:
    house.serve("2025-04", DOWN)
    house.ask()
    told = house.settle(slices.TRIES + 1)
    assert [outcome for _, outcome in told] == ["accepted"] + [f"{TICK}.2025-04:"] * slices.TRIES
    assert [each["slot"] for each in house.waiting] == ["2025-05", "2025-04"]
    told = house.settle(8)
    assert [run for run, _ in told if run] == runs("2025-05", "2025-06")
    assert [each["slot"] for each in house.waiting] == ["2025-04"]
    house.serve("2025-04", Answer(csv("2025-04", 3)))
    assert [(run, outcome) for run, outcome in house.settle() if run] == [
        (runs("2025-04")[0], "accepted"),
        (runs("2025-05")[0], "claimed"),
    ]
    assert house.claims() == runs(*SLOTS)


def test_one_slice_alone_and_from_one_on(house: House) -> None:
    house.at = NOW + timedelta(minutes=3)
    house.ask(slot="2025-04")
    assert house.settle() == [("20250605T021300Z.2025-04", "accepted")]
    house.ask(run="20250605T010700Z", slot="2025-05")
    assert house.settle() == [("20250605T010700Z.2025-05", "accepted")]
    house.ask(run="20250605T010600Z", slot="2025-05", onward=True)
    assert [run for run, _ in house.settle()] == [
        "20250605T010600Z.2025-05",
        "20250605T010600Z.2025-06",
    ]


def test_a_slice_that_was_fetched_alone_does_not_end_the_run(house: House) -> None:
    house.ask(run=TICK, slot="2025-04")
    house.settle()
    house.scheduled()
    assert house.claims() == runs(*SLOTS)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"slot": "2025-07"}, "begins after its run"),
        ({"slot": "2025"}, "not a slot of a month"),
        ({"run": "20250201T000000Z"}, "begins after its run"),
        ({"run": f"{TICK}.May"}, "not a slot of a month"),
    ],
)
def test_slices_that_may_not_be_asked_for(house: House, body: dict[str, str], said: str) -> None:
    house.ask(**body)
    with pytest.raises(PermanentError, match=said):
        house.deliver()
    assert house.requests() == 0


class CrashedError(RuntimeError):
    """The process died here."""


def dies(house: House, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Deliver the first request to a process that dies once, at a point of it."""

    def lost(*_: Any, **__: Any) -> None:
        raise CrashedError

    made: dict[str, tuple[Any, str, Callable[..., Any]]] = {
        "before the claim": (gcs, "create", lost),
        "after the claim": (slices, "ask", lost),
        "after the message": (slices, "ask", _then(slices.ask, lost)),
        "the claim's reply": (gcs, "create", _then(gcs.create, lost)),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*made[where])
        with pytest.raises(CrashedError):
            house.deliver()


def _then(first: Callable[..., Any], second: Callable[..., None]) -> Callable[..., Any]:
    def both(*given: Any, **named: Any) -> None:
        first(*given, **named)
        second()

    return both


@pytest.mark.parametrize("redelivered", [True, False], ids=["redelivered", "lost"])
@pytest.mark.parametrize(
    "where",
    ["before the claim", "the claim's reply", "after the claim", "after the message"],
)
def test_a_crash_is_healed(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str, redelivered: bool
) -> None:
    """By the sweep, whether the message comes again or not, once there is a claim to see."""
    house.ask()
    house.deliver()
    dies(house, monkeypatch, where)
    if redelivered or where == "before the claim":
        house.ask(run=TICK, slot=SLOTS[1], onward=True)
    house.settle()
    for minutes in (19, 21, 42):
        house.toy.sweep(timedelta(minutes=minutes))
        house.at = NOW + timedelta(minutes=minutes)
        house.settle()
    assert house.claims() == runs(*SLOTS)
    fetched = [seen.url for seen in house.publishers.requests]
    assert len(fetched) == len(SLOTS) + (where == "before the claim")
    house.toy.clients.published.clear()
    house.toy.sweep(timedelta(hours=2))
    assert house.waiting == []


def test_the_sweep_waits_for_a_fetch_that_takes_its_time(house: House) -> None:
    house.ask()
    house.deliver()
    house.toy.clients.published.clear()
    house.toy.sweep(timedelta(minutes=19))
    assert house.waiting == []
    house.toy.sweep(timedelta(minutes=20))
    [sent] = house.waiting
    assert sent == {
        "dataset": house.contract.dataset, "run": TICK, "slot": "2025-04", "onward": True,
    }  # fmt: skip


def test_a_slice_that_kills_its_download_is_sent_three_times_and_then_refused(
    house: House,
) -> None:
    """It leaves neither a claim nor a note; the next run of the schedule tries it again."""
    house.ask()
    house.deliver()
    house.toy.split(house.contract, f"{TICK}.{SLOTS[0]}", {})
    refused: list[str | None] = []
    house.toy.clients.published.clear()
    for hour in range(1, 72, 5):
        events = house.toy.sweep(timedelta(hours=hour))
        refused += [each.object for each in events if each.outcome == "refused"]
    assert [sent["slot"] for sent in house.waiting] == [SLOTS[1]] * MAX_RESENDS
    claim = object_names.claim(house.contract.dataset, Run(f"{TICK}.{SLOTS[1]}"))
    assert refused == [claim]
    assert gcs.exists(house.toy.quarantine, object_names.refused("download", claim))


def test_the_sweep_leaves_a_failing_slice_to_its_message(house: House) -> None:
    house.serve("2025-04", DOWN)
    house.ask()
    house.deliver()
    with pytest.raises(RetryLaterError):
        house.deliver()
    house.toy.clients.published.clear()
    house.toy.sweep(timedelta(hours=1))
    assert house.waiting == []


@pytest.mark.parametrize("noted", [0, 1, 2])
@pytest.mark.parametrize("tries", [1, 2])
def test_a_message_that_dies_early_does_not_end_the_run(
    house: House, tries: int, noted: int
) -> None:
    """The slice failed once or twice; its other tries found a busy function, then it was dead."""
    house.serve(SLOTS[noted], DOWN)
    house.ask()
    house.settle(noted + tries)
    house.toy.clients.published.clear()
    lives = retry_policy.redelivery_window()
    house.toy.sweep(lives - timedelta(minutes=1))
    assert house.waiting == []
    house.toy.sweep(lives + timedelta(minutes=1))
    assert [each["slot"] for each in house.waiting] == [SLOTS[noted + 1]]
    house.at = NOW + lives + timedelta(minutes=1)
    house.settle()
    assert house.claims() == runs(*(slot for slot in SLOTS if slot != SLOTS[noted]))
    house.toy.sweep(2 * lives)
    assert house.waiting == []


def test_a_slice_alone_that_fails_asks_for_no_other(house: House) -> None:
    house.serve("2025-04", DOWN)
    house.ask(run=TICK, slot="2025-04")
    house.settle(slices.TRIES + 1)
    assert [each["slot"] for each in house.waiting] == ["2025-04"]
    house.toy.clients.published.clear()
    house.toy.sweep(retry_policy.redelivery_window() + timedelta(hours=1))
    assert house.waiting == []


def test_a_message_lives_for_its_waits_and_for_its_tries() -> None:
    """Seven hours if it fails at once, and the ack deadline more for each try that lasts it."""
    tries = retry_policy.ACK_DEADLINE * retry_policy.MAX_TRIES
    assert timedelta(hours=7) < retry_policy.redelivery_window() - tries < timedelta(hours=7.5)


def test_the_sweep_looks_behind_a_slice_that_was_passed_over(house: House) -> None:
    house.serve("2025-04", DOWN)
    house.ask()
    house.settle(slices.TRIES + 1)
    house.toy.clients.published.clear()
    house.toy.sweep(timedelta(hours=1))
    assert [each["slot"] for each in house.waiting] == ["2025-05"]


def test_the_sweep_adds_nothing_to_a_slice_that_was_asked_for_alone(house: House) -> None:
    house.ask(run=TICK, slot="2025-04")
    house.settle()
    house.toy.sweep(timedelta(hours=1))
    assert house.waiting == []
