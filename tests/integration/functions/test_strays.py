"""An object that the pipeline did not write stops neither seal nor sweep; a faulty system no other."""

from __future__ import annotations

import base64
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from cloudevents.http import CloudEvent

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.records import Claim, Origin, Outcome, ResendRecord
from catalog.runs import Run
from catalog.slots import Unit
from functions.core import gcs, handler, run_history, slices
from functions.core.handler import Step
from functions.seal import step as seal
from functions.sweep import freshness
from functions.sweep import step as sweep
from functions.sweep.resend import MAX_RESENDS
from tests.integration.functions.test_slices import sliced
from tests.support.split_cloud import changed
from tests.support.step_cloud import NOW, Toy, contract, message

RUN, SLOT = "20250605T020700Z", "2024-05"


@pytest.fixture
def called(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy system as the boundary sees it."""
    monkeypatch.setattr(handler, "clients", lambda: toy.clients)
    monkeypatch.setattr(handler, "settings", lambda: toy.settings)
    return toy


def call(step: str, run: Step, after: timedelta = timedelta(minutes=20), **body: Any) -> None:
    """Call a step through the boundary."""
    content = {
        "publishTime": (NOW + after).isoformat(),
        "messageId": "m1",
        "data": base64.b64encode(json.dumps(body).encode()).decode(),
    }
    about = {"id": "e1", "source": "toy", "type": "google.cloud.pubsub.topic.v1.messagePublished"}
    handler.handle(step, CloudEvent(about, {"message": content}), run)


def strays(capsys: pytest.CaptureFixture[str]) -> Counter[str]:
    """The objects that a call reported as strays, each with how often; it reported no other."""
    found = skipped(capsys)
    assert {line["outcome"] for line in found} <= {"stray"}
    assert all(line["severity"] == "WARNING" for line in found)
    assert all(line["message"].endswith("delete it") for line in found)
    return Counter(line["object"] for line in found)


def skipped(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of a call about objects that it skipped."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["outcome"] in ("stray", "unknown slot")]


def claimed(toy: Toy, run: str = RUN) -> str:
    """Leave an accepted claim; its object's name."""
    claim = Claim(
        dataset=toy.full.dataset, run=run, outcome=Outcome.ACCEPTED, origin=Origin.PUBLISHER,
        source="it", fetched_at=NOW.isoformat(),
    )  # fmt: skip
    name = object_names.claim(toy.full.dataset, Run(run))
    gcs.create(toy.raw, name, claim.encode(), metadata=claim.metadata)
    return name


IN_SWEEP = [
    ("raw", "runs/{full}/x/"),
    ("raw", "runs/{full}/notes of June.txt"),
    ("raw", "runs/{full}/20250605T020800Z"),
    ("landing", "dirty/{full}/"),
    ("landing", "dirty/{full}/x/"),
    ("landing", "dirty/{full}/2024-05/x"),
    ("landing", "dirty/{full}/2024-05/replay-x"),
    ("landing", "splits/{full}/20250605T020700Z-copy.json"),
    ("landing", "splits/{full}/20250605T020700Z"),
    ("landing", "splits/{full}/20250605T020700Z/"),
    ("landing", "manifests/{system}/"),
    ("landing", "manifests/{system}/x/"),
    ("landing", "manifests/{system}/Notes.json"),
    ("landing", "manifests/{system}/notes.txt"),
    ("quarantine", "resent/split/runs/{full}/20250605T020700Z.json/x"),
]


@pytest.mark.parametrize(("zone", "form"), IN_SWEEP)
def test_a_stray_does_not_stop_the_sweep(
    called: Toy, capsys: pytest.CaptureFixture[str], zone: str, form: str
) -> None:
    name = claimed(called)
    called.split(called.full, "20250605T020600Z", {SLOT: [("a", 1)]})
    stray = form.format(full=called.full.dataset, system=called.system)
    getattr(called, zone).blob(stray).upload_from_string(b"x")
    call("sweep", sweep.run)
    sent = [(topic, about.get("objectId")) for topic, _, about in called.clients.published]
    assert [each for each in sent if each[0] != "events"] == [("split", name), ("seal", None)]
    assert strays(capsys) == {f"gs://{getattr(called, zone).name}/{stray}": 1}


@pytest.mark.parametrize("name", ["refused/split/x/", "refused/", "resent/", "resent/split/x/"])
def test_what_nobody_lists_is_left_alone(
    called: Toy, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    claim = claimed(called)
    called.quarantine.blob(name).upload_from_string(b"x")
    call("sweep", sweep.run)
    assert [topic for topic, _, _ in called.clients.published if topic != "events"] == ["split"]
    assert gcs.exists(called.quarantine, object_names.resend("split", claim, 1))
    assert strays(capsys) == {}


@pytest.mark.parametrize("name", ["x/", f"{RUN}.2025-04/note", f"{RUN}.2025-04/1.y"])
def test_a_stray_note_does_not_stop_the_sweep(
    called: Toy, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    called.full = sliced(called.full)
    called.contracts = {called.full.dataset: called.full}
    claim = claimed(called)
    stray = f"slices/{called.full.dataset}/{name}"
    called.raw.blob(stray).upload_from_string(b"x")
    call("sweep", sweep.run)
    sent = [a["objectId"] for topic, _, a in called.clients.published if topic == "split"]
    assert sent == [claim]
    assert strays(capsys) == {f"gs://{called.raw.name}/{stray}": 1}


def test_slices_of_another_unit_are_no_slices(toy: Toy) -> None:
    """As a contract leaves them whose unit was changed: the sweep looks for none after them."""
    toy.full = sliced(toy.full)
    toy.contracts = {toy.full.dataset: toy.full}
    claim = claimed(toy, f"{RUN}.2025-04-01")
    note = object_names.failed_slice(toy.full.dataset, Run(f"{RUN}.2025-04-02"), 1, NOW)
    gcs.create(toy.raw, note, b"")
    toy.sweep(timedelta(days=2))
    assert [a.get("objectId") for _, _, a in toy.clients.published] == [claim]


def test_a_stray_note_is_not_counted(toy: Toy) -> None:
    """The third failure of a slice asks for the next one, and a stray is none."""
    one = sliced(toy.full)
    run = Run(f"{RUN}.2025-03")
    for number in range(slices.TRIES - 1):
        toy.raw.blob(f"slices/{one.dataset}/{run.name}/stray {number}").upload_from_string(b"x")
    slices.failed(toy.clients, toy.raw, one, run, message(b"{}", NOW), "no answer")
    assert toy.clients.published == []


def test_a_stray_in_a_stream_is_neither_work_nor_fresh(
    called: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = contract(called.system, "taps", Kind.STREAM, Unit.HOUR)
    called.contracts = {stream.dataset: stream}
    stray = f"{object_names.stream_folder(stream.dataset)}x/"
    called.raw.blob(stray).upload_from_string(b"x")
    call("sweep", sweep.run)
    assert [topic for topic, _, _ in called.clients.published] == ["events", "events"]
    assert strays(capsys) == {f"gs://{called.raw.name}/{stray}": 1}
    assert overdue(called, stream)


def test_a_stray_claim_is_not_fresh(toy: Toy) -> None:
    toy.raw.blob(f"runs/{toy.full.dataset}/x/").upload_from_string(b"x")
    assert overdue(toy, toy.full)
    claimed(toy)
    assert not overdue(toy, toy.full)


def overdue(toy: Toy, one: Contract) -> bool:
    """Whether a data set is overdue now."""
    return bool(list(freshness.overdue([one], toy.raw, message(b"{}", NOW))))


IN_SEAL = [
    "dirty/{full}/x/",
    "replays/{full}/x/",
    "replays/{full}/2024-05/x",
    "splits/{full}/20250605T020700Z-copy.json",
    "parts/{full}/slot=2024-05/x",
    "parts/{full}/slot=2024-05/x.parquet",
]


@pytest.mark.parametrize("form", IN_SEAL)
def test_a_stray_does_not_stop_seal(
    called: Toy, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    called.split(called.full, RUN, {SLOT: [("a", 1)]})
    stray = form.format(full=called.full.dataset)
    called.landing.blob(stray).upload_from_string(b"x")
    call("seal", seal.run, system=called.system)
    (manifest,) = called.manifests()
    assert [each.slot for each in called.manifest(manifest).slots] == [SLOT]
    assert called.markers() == ([stray] if stray.startswith("dirty/") else [])
    assert strays(capsys) == {f"gs://{called.landing.name}/{stray}": 1}


def test_a_stray_folder_is_no_slot_of_a_range(
    called: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    called.split(called.full, RUN, {SLOT: [("a", 1)]}, marked=[])
    stray = f"parts/{called.full.dataset}/copy of 2024-05/"
    called.landing.blob(f"{stray}x").upload_from_string(b"x")
    asked = {"dataset": called.full.dataset, "range": ["2024-01", "2024-12"]}
    call("seal", seal.run, system=called.system, **asked)
    (manifest,) = called.manifests()
    assert [each.slot for each in called.manifest(manifest).slots] == [SLOT]
    assert strays(capsys) == {f"gs://{called.landing.name}/{stray}": 1}


UNKNOWN_SLOTS = [
    (sweep.run, "dirty/{full}/2024-05-01/20250605T020700Z"),
    (seal.run, "dirty/{full}/2024-05-01/20250605T020700Z"),
    (seal.run, "dirty/{full}/2024-05-01/replay-00000000000001"),
    (seal.run, "replays/{full}/2024-05-01/replay-00000000000001"),
]


@pytest.mark.parametrize(("step", "form"), UNKNOWN_SLOTS)
def test_a_marker_of_another_slot_unit_is_reported_as_the_pipelines_own(
    called: Toy, capsys: pytest.CaptureFixture[str], step: Step, form: str
) -> None:
    """As a changed `slot_unit` leaves it: it must not be deleted, and stops no other slot."""
    called.split(called.full, RUN, {SLOT: [("a", 1)]})
    name = form.format(full=called.full.dataset)
    called.landing.blob(name).upload_from_string(b"")
    call("seal", step, system=called.system)
    assert called.manifests() or called.clients.published[0][0] == "seal"
    (line,) = skipped(capsys)
    assert (line["outcome"], line["severity"]) == ("unknown slot", "ERROR")
    assert line["object"] == f"gs://{called.landing.name}/{name}"
    assert "'2024-05-01' is not a slot of a month" in line["message"]
    assert "restore slot_unit" in line["message"]
    assert "delete" not in line["message"]
    assert gcs.exists(called.landing, name)


def test_parts_of_another_slot_unit_are_reported_as_the_pipelines_own(
    called: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seal of a range lists the folders of parts."""
    called.split(called.full, RUN, {SLOT: [("a", 1)], "2024-05-01": [("b", 1)]}, marked=[])
    asked = {"dataset": called.full.dataset, "range": ["2024-01", "2024-12"]}
    call("seal", seal.run, system=called.system, **asked)
    (manifest,) = called.manifests()
    assert [each.slot for each in called.manifest(manifest).slots] == [SLOT]
    (line,) = skipped(capsys)
    assert line["outcome"] == "unknown slot"
    assert line["object"].endswith("/slot=2024-05-01/")
    assert "delete" not in line["message"]


def test_strays_stop_neither_download_nor_split(toy: Toy) -> None:
    """Both look for the run before theirs by the names of claims and records."""
    claimed(toy)
    toy.split(toy.full, RUN, {SLOT: [("a", 1)]})
    for bucket, folder in ((toy.raw, "runs"), (toy.landing, "splits")):
        for stray in ("20250605T020700Z-copy.json", "20250605/", f"{RUN}.json/x"):
            bucket.blob(f"{folder}/{toy.full.dataset}/{stray}").upload_from_string(b"x")
    later = Run("20250606T020700Z")
    found = run_history.last_accepted(toy.raw, toy.landing, toy.full.dataset, later)
    assert found
    assert found[0].run == RUN
    before = run_history.accepted_split(toy.landing, toy.full.dataset, later)
    assert before
    assert before.run == RUN


def test_a_fault_of_one_system_does_not_stop_the_others(
    called: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call ends well: the schedule is the faulty systems' retry, and their lines are final."""
    name = claimed(called)
    faulty = [
        changed(contract(system, "full", Kind.FULL_EXPORT, Unit.MONTH), system=system)
        for system in ("aaa", "zzz")
    ]
    for each in faulty:
        called.contracts[each.dataset] = each
        run = object_names.claim(each.dataset, Run(RUN))
        called.raw.blob(run).upload_from_string(b"no claim")
    call("sweep", sweep.run)
    published = [(topic, about.get("objectId")) for topic, _, about in called.clients.published]
    assert ("split", name) in published
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    errors = [(one["system"], one["outcome"]) for one in lines if one["severity"] == "ERROR"]
    assert errors.count(("aaa", "failed")) == errors.count(("zzz", "failed")) == 1
    assert (called.system, "overdue") in errors
    assert {one["severity"] for one in lines if one["outcome"] == "failed"} == {"ERROR"}
    told = [json.loads(d) for topic, d, _ in called.clients.published if topic == "events"]
    assert ("aaa", "failed") in [(each.get("system"), each["outcome"]) for each in told]


def test_a_ledger_that_fails_does_not_silence_the_freshness_of_its_system(
    called: Toy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise TimeoutError("no answer of the ledger")

    monkeypatch.setattr("functions.core.ledger.read", read)
    with pytest.raises(ExceptionGroup, match="sweep failed"):
        call("sweep", sweep.run)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    late = {one["dataset"] for one in lines if one["outcome"] == "overdue"}
    assert late == set(called.contracts)


def test_a_sweep_of_no_system_fails_without_an_error_of_its_own(
    called: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is tried again, and retries are not counted; the alert of the sweep misses its good end."""
    called.raw.blob(object_names.claim(called.full.dataset, Run(RUN))).upload_from_string(
        b"no claim"
    )
    with pytest.raises(ExceptionGroup, match=f"sweep failed for {called.system}"):
        call("sweep", sweep.run)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    failed = [(one.get("system"), one["severity"]) for one in lines if one["outcome"] == "failed"]
    assert failed == [(called.system, "WARNING"), (None, "WARNING")]


def test_a_refused_object_that_somebody_removed_records_of_is_no_fault(toy: Toy) -> None:
    """Records are counted by their highest number, so that a gap sends nothing twice."""
    name = claimed(toy)
    body = ResendRecord(at=NOW.isoformat(), call="c").encode()
    gcs.create(toy.quarantine, object_names.resend("split", name, MAX_RESENDS), body)
    events = toy.sweep(timedelta(days=1))
    assert [each.outcome for each in events] == ["refused"]
