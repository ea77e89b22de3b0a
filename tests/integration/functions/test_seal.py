"""Seal: which slots are worked on, under which version, and which markers go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from catalog import object_names
from catalog.records import Origin, Outcome, SlotParts, SplitRecord
from catalog.versions import Version
from functions.core.errors import PermanentError
from functions.core.ledger import Loaded
from functions.seal.decision import Verdict, verdict
from tests.support.step_cloud import NOW, Toy, outcomes, with_bound

A, B, C = "20250601T021000Z", "20250602T021000Z", "20250603T021000Z"
MAY, JUNE, JULY = "2024-05", "2024-06", "2024-07"
MS = int(NOW.timestamp() * 1000)


def loaded(run: str, parts: int = 1, replay: int = 0, revision: str = "r") -> Loaded:
    return Loaded(Version(run, parts, replay), revision, "publisher", "m")


def content(run: str, parts: int = 1, replay: int = 0, revision: str = "r") -> SlotParts:
    return SlotParts(
        dataset="d", slot=MAY, slot_start="2024-05-01", version=str(Version(run, parts, replay)),
        revision=revision, origin=Origin.PUBLISHER, parts=(), run=run,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "known", "replay", "expected"),
    [
        (None, None, 0, Verdict.EMPTY),
        (None, loaded(A), 0, Verdict.REFUSED),
        (content(A), None, 0, Verdict.CHANGED),
        (content(A), loaded(A), 0, Verdict.CURRENT),
        (content(B), loaded(A), 0, Verdict.UNCHANGED),
        (content(B, revision="s"), loaded(A), 0, Verdict.CHANGED),
        (content(A), loaded(B), 0, Verdict.REFUSED),
        (content(A, 2), loaded(A, 3), 0, Verdict.REFUSED),
        (content(A, 2), loaded(A, 3), 9, Verdict.REFUSED),
        (content(A, 3, revision="s"), loaded(A, 2), 0, Verdict.CHANGED),
        (content(B, 2, revision="s"), loaded(A, 3), 0, Verdict.CHANGED),
        (content(A, replay=9), loaded(A), 9, Verdict.CHANGED),
        (content(A, replay=9), loaded(A, replay=9), 9, Verdict.CURRENT),
        (content(A, replay=9), loaded(A), 0, Verdict.UNCHANGED),
        (content(A, revision="s"), loaded(A), 0, Verdict.CHANGED),
    ],
)
def test_verdict(
    found: SlotParts | None, known: Loaded | None, replay: int, expected: Verdict
) -> None:
    assert verdict(found, known, replay) is expected


@pytest.mark.parametrize(
    ("found", "known", "replay", "expected"),
    [
        (content(B, 2, revision="s"), loaded(A, 3), 0, Verdict.REFUSED),
        (content(B, 3, revision="s"), loaded(A, 3), 0, Verdict.REFUSED),
        (content(B, 3, revision="s"), loaded(A, 3), 9, Verdict.REFUSED),
        (content(B, 4, revision="s"), loaded(A, 3), 0, Verdict.CHANGED),
        (content(B, 4), loaded(A, 3), 0, Verdict.UNCHANGED),
        (content(A, 3, revision="s"), loaded(A, 3), 0, Verdict.CHANGED),
        (content(A, 4, revision="s"), loaded(A, 3), 0, Verdict.CHANGED),
    ],
)
def test_verdict_where_runs_add_up(
    found: SlotParts, known: Loaded, replay: int, expected: Verdict
) -> None:
    assert verdict(found, known, replay, replaced=False) is expected


@pytest.mark.parametrize(
    ("loaded_replay", "expected"), [(0, Verdict.CHANGED), (9, Verdict.UNCHANGED)]
)
def test_a_replay_is_heeded_until_the_ledger_holds_it(
    loaded_replay: int, expected: Verdict
) -> None:
    assert verdict(content(B, replay=9), loaded(A, replay=loaded_replay), 9) is expected


def test_another_origin_is_a_change() -> None:
    sample = msgspec.structs.replace(content(B), origin=Origin.SAMPLE)
    assert verdict(sample, loaded(A), 0) is Verdict.CHANGED


def test_manifest_of_what_changed(toy: Toy) -> None:
    toy.split(toy.full, A, {MAY: [("a", 1)], JUNE: [("b", 1)]}, rejected={"x": 2})
    toy.split(toy.tail, A, {"2025-06-01": [("t", 1)]})
    told = toy.seal()
    assert outcomes(told) == [(MAY, "sealed"), (JUNE, "sealed"), ("2025-06-01", "sealed")]
    manifest = toy.manifest(*toy.manifests())
    assert [s.slot for s in manifest.slots] == [MAY, JUNE, "2025-06-01"]
    assert manifest.slots[0].version == str(Version(A, 1))
    assert (manifest.slots[0].rows_in, manifest.slots[0].rejected) == (3, {"x": 2})
    assert manifest.slots[0].parts[0].startswith(f"gs://{toy.landing.name}/parts/")
    assert {t.dataset for t in manifest.tables} == {toy.full.dataset, toy.tail.dataset}
    assert manifest.bytes > 0
    assert toy.markers() == []
    assert toy.seal()[0].outcome == "nothing marked"


def test_a_replaced_slot_is_its_newest_accepted_run(toy: Toy) -> None:
    toy.split(toy.full, A, {MAY: [("a", 1)]})
    toy.split(toy.full, B, {MAY: [("a", 2)]})
    toy.split(toy.full, C, {MAY: [("a", 3)]}, outcome=Outcome.REFUSED)
    toy.split(toy.full, "20250604T021000Z", {MAY: [("a", 4)]}, held=True)
    (slot,) = toy.manifest(toy.sealed()).slots
    assert (slot.run, len(slot.parts)) == (B, 1)


def test_a_replayed_split_takes_the_place_of_the_first(toy: Toy) -> None:
    toy.split(toy.full, A, {MAY: [("a", 1)]})
    toy.split(toy.full, A, {MAY: [("a", 2)]}, replay=77)
    (slot,) = toy.manifest(toy.sealed()).slots
    assert slot.version == str(Version(A, 1, 77))
    assert ".r00000000000077." in slot.parts[0]


def test_a_snapshot_waits_until_its_slot_is_closed_and_adds_runs(toy: Toy) -> None:
    runs = ("20250605T021000Z", "20250605T020500Z")
    for run in runs:
        toy.split(toy.ticks, run, {"2025-06-05T02": [("a", 1)]})
    assert outcomes(toy.seal(at=datetime(2025, 6, 5, 3, 4, 59, tzinfo=UTC))) == []
    (slot,) = toy.manifest(toy.sealed(at=datetime(2025, 6, 5, 3, 5, tzinfo=UTC))).slots
    assert slot.version == str(Version(runs[0], 2))
    assert [uri.rpartition("/")[2][:16] for uri in slot.parts] == sorted(runs)


def test_the_ledger_tells_the_runs_of_a_slot_itself(tabled: Toy) -> None:
    """By a swap and by the UPDATE of an unchanged slot; a slot's context is not counted."""
    first, second = "2025-06-05T00", "2025-06-05T01"
    for run in ("20250605T000900Z", "20250605T001900Z"):
        tabled.split(tabled.ticks, run, {first: [("a", 1)]})
    tabled.split(tabled.tail, A, {"2025-06-03": [("a", 1)], "2025-06-04": [("b", 1)]})
    tabled.split(tabled.ticks, "20250605T010900Z", {second: [("a", 1)]})
    tabled.through()
    assert {slot: row.runs for (_, slot), row in tabled.ledger().items()} == {
        first: 2, second: 1, "2025-06-03": 1, "2025-06-04": 1,
    }  # fmt: skip
    tabled.split(tabled.ticks, "20250605T002900Z", {first: [("a", 1)]})
    assert outcomes(tabled.seal()) == [(first, "unchanged")]
    assert tabled.ledger()[tabled.ticks.dataset, first].runs == 3


def test_lookback_reads_the_slot_before(toy: Toy) -> None:
    toy.split(toy.tail, B, {"2025-06-01": [("a", 1)], "2025-06-02": [("b", 1)]})
    first, second = toy.manifest(toy.sealed()).slots
    assert (len(first.context), len(second.context)) == (0, 1)
    toy.split(toy.tail, C, {"2025-06-01": [("a", 2)]}, marked=["2025-06-01", "2025-06-02"])
    _, again = toy.manifest(toy.sealed()).slots
    assert again.revision != second.revision
    assert again.version == str(Version(C, 2))
    assert "2025-06-01" in again.context[0]


@pytest.mark.parametrize("first", [0, 1], ids=["older first", "newer first"])
def test_an_older_run_in_the_slot_before_makes_a_newer_version(tabled: Toy, first: int) -> None:
    """Two manifests of other slots, both in flight: one version would stand for two contents."""
    before, after = "2025-06-01", "2025-06-02"
    tabled.split(tabled.tail, A, {before: [("a", 1)]}, marked=[before])
    tabled.through()
    tabled.split(tabled.tail, C, {after: [("b", 1)]})
    one = tabled.sealed()
    tabled.split(tabled.tail, B, {before: [("a", 2)]}, marked=[before, after])
    other = tabled.sealed()
    (old,) = tabled.manifest(one).slots
    _, new = tabled.manifest(other).slots
    assert (old.run, new.run) == (C, C)
    assert old.revision != new.revision
    assert Version.parse(old.version) < Version.parse(new.version)
    for manifest in (one, other) if not first else (other, one):
        tabled.load(tabled.job(manifest))
    assert tabled.ledger()[tabled.tail.dataset, after].revision == new.revision


def test_a_part_without_record_does_not_count_and_its_marker_stays(toy: Toy) -> None:
    key = toy.split(toy.full, A, {MAY: [("a", 1)]}, recorded=False)
    assert outcomes(toy.seal()) == []
    assert toy.markers() == [object_names.marker(toy.full.dataset, MAY, key)]


def test_a_late_part_during_seal_keeps_its_marker(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.split(toy.full, A, {MAY: [("a", 1)]})
    late: list[Any] = []

    def read(clients: Any, system: str) -> dict[Any, Any]:
        late.append(toy.split(toy.full, B, {MAY: [("a", 2)]}))
        return {}

    monkeypatch.setattr("functions.core.ledger.read", read)
    (slot,) = toy.manifest(toy.sealed()).slots
    assert slot.run == B
    assert toy.markers() == [object_names.marker(toy.full.dataset, MAY, late[0])]


def test_a_part_that_was_overwritten_does_not_count(toy: Toy) -> None:
    key = toy.split(toy.full, A, {MAY: [("a", 1)]})
    toy.landing.blob(object_names.part(toy.full.dataset, MAY, key, "t1")).upload_from_string(
        b"other"
    )
    told = toy.seal()
    assert outcomes(told) == [(MAY, "empty")]
    assert toy.markers() == []


def test_fewer_parts_than_loaded_are_refused(tabled: Toy) -> None:
    slot, runs = "2025-06-01T02", ("20250601T020500Z", "20250601T021000Z")
    keys = [tabled.split(tabled.ticks, run, {slot: [("a", 1)]}) for run in runs]
    tabled.through()
    tabled.landing.blob(object_names.part(tabled.ticks.dataset, slot, keys[0], "t1")).delete()
    marker = object_names.marker(tabled.ticks.dataset, slot, keys[1])
    tabled.landing.blob(marker).upload_from_string(b"")
    (told,) = tabled.seal()
    assert (told.outcome, told.severity) == ("refused", "ERROR")
    assert tabled.markers() == []
    assert tabled.version(tabled.ticks, slot) == str(Version(runs[1], 2))


def test_the_bound_of_bytes_takes_the_oldest_and_calls_again(toy: Toy) -> None:
    toy.split(toy.full, A, {JULY: [("c", 1)], MAY: [("a", 1)], JUNE: [("b", 1)]})
    with_bound(toy, 1)
    for slot, left in ((MAY, 2), (JUNE, 1), (JULY, 0)):
        assert outcomes(toy.seal()) == [(slot, "sealed")]
        assert len(toy.markers()) == left
    assert [topic for topic, _, _ in toy.clients.published] == ["seal", "seal"]


def test_a_seal_that_died_after_its_manifest_makes_the_same_again(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.split(toy.full, A, {MAY: [("a", 1)]})

    def die(*_: Any) -> None:
        raise ConnectionError("the instance is gone")

    with monkeypatch.context() as broken:
        broken.setattr("functions.seal.step._drop", die)
        with pytest.raises(ConnectionError):
            toy.seal()
    assert len(toy.markers()) == 1
    before = toy.manifests()
    toy.seal(at=NOW + timedelta(minutes=1))
    assert toy.manifests() == before
    assert toy.markers() == []


@pytest.mark.parametrize("how", ["slots", "range", "manifest"])
def test_a_replay_is_worked_on_whatever_its_revision(tabled: Toy, how: str) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)], JUNE: [("b", 1)]})
    manifest = tabled.sealed()
    tabled.load(tabled.job(manifest))
    asked: dict[str, Any] = {
        "slots": {"dataset": tabled.full.dataset, "slots": [MAY, JUNE]},
        "range": {"dataset": tabled.full.dataset, "range": ["2024-01", JUNE]},
        "manifest": {"manifest": object_names.system_and_id(manifest)[1]},
    }[how]
    again = tabled.sealed(**asked, replay=True)
    assert {s.version for s in tabled.manifest(again).slots} == {str(Version(A, 1, MS))}
    assert [s for s, o in outcomes(tabled.load(tabled.job(again))) if o == "loaded"] == [MAY, JUNE]
    told = outcomes(tabled.seal(**asked, replay=True))
    assert told == [(MAY, "current"), (JUNE, "current")]


def test_an_unchanged_run_during_a_replay_in_flight(tabled: Toy) -> None:
    """The replay is not made stale by a version that was raised past it."""
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    tabled.through()
    in_flight = tabled.sealed(dataset=tabled.full.dataset, slots=[MAY])
    assert tabled.markers() == []
    tabled.split(tabled.full, B, {MAY: [("a", 1)]})
    again = tabled.sealed(at=NOW + timedelta(minutes=1))
    assert [s.version for s in tabled.manifest(again).slots] == [str(Version(B, 1, MS))]
    assert tabled.seal(at=NOW + timedelta(minutes=2))[0].outcome == "nothing marked"
    assert outcomes(tabled.load(tabled.job(in_flight))) == [(MAY, "loaded")]
    assert outcomes(tabled.load(tabled.job(again))) == [(MAY, "loaded")]
    tabled.split(tabled.full, C, {MAY: [("a", 1)]})
    assert outcomes(tabled.seal(at=NOW + timedelta(minutes=3))) == [(MAY, "unchanged")]
    assert tabled.version(tabled.full, MAY) == str(Version(C, 1, MS))
    assert list(tabled.landing.list_blobs(prefix="replays/")) == []


def test_other_content_under_the_version_of_a_manifest_gets_a_newer_one(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run between two others is split last: newest run and number of parts stay the same."""
    monkeypatch.setattr("functions.core.ledger.read", lambda *_: {})
    first, second = "2025-06-01", "2025-06-02"
    toy.split(toy.tail, A, {first: [("a", 1)]}, marked=[])
    toy.split(toy.tail, C, {second: [("b", 1)]})
    (before,) = toy.manifest(toy.sealed()).slots
    toy.split(toy.tail, B, {first: [("a", 2)]}, marked=[second])
    later = NOW + timedelta(minutes=1)
    told = toy.seal(at=later)
    (name,) = {e.object for e in told}
    assert name
    (after,) = toy.manifest(name).slots
    assert after.revision != before.revision
    assert before.version == str(Version(C, 2))
    assert after.version == str(Version(C, 2, MS + 60_000)) == told[0].version


def test_other_rows_under_a_loaded_replay_become_a_newer_version(tabled: Toy) -> None:
    tabled.split(tabled.full, A, {MAY: [("a", 1)]})
    tabled.through()
    tabled.through(dataset=tabled.full.dataset, slots=[MAY])
    tabled.split(tabled.full, A, {MAY: [("a", 2)]}, replay=MS - 1)
    tabled.through(at=NOW + timedelta(minutes=1))
    assert tabled.rows(tabled.full) == [("a", 2)]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"system": "nowhere"}, "no contract names the system 'nowhere'"),
        ({"dataset": "nothing", "slots": [MAY]}, "'nothing' is not a data set of"),
        ({"manifest": "gone"}, "is not there"),
        ({"slots": ["May"], "dataset": "full"}, "'May' is not a slot"),
        ({"slots": [], "dataset": "full"}, "names no slot"),
        ({"slots": [MAY], "dataset": "full", "replay": False}, "leave out"),
        ({"unknown": 1}, "is not the JSON"),
    ],
)
def test_requests_that_cannot_be(toy: Toy, body: dict[str, Any], says: str) -> None:
    if body.get("dataset") == "full":
        body = {**body, "dataset": toy.full.dataset}
    with pytest.raises(PermanentError, match=says):
        toy.seal(**body)


def test_a_record_of_a_newer_format_stops_the_step(toy: Toy) -> None:
    key = toy.split(toy.full, A, {MAY: [("a", 1)]}, recorded=False)
    record = SplitRecord(
        format=2, dataset=toy.full.dataset, run=A, replay=0, outcome=Outcome.ACCEPTED,
        origin=Origin.PUBLISHER, contract="c",
    )  # fmt: skip
    toy.record(record)
    with pytest.raises(ValueError, match="format 2 is newer"):
        toy.seal()
    assert toy.markers() == [object_names.marker(toy.full.dataset, MAY, key)]
