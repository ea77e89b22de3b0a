"""Runs, their ticks, and versions that order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import object_names
from catalog.runs import Run, tick
from catalog.versions import Version, manifest_id, revision

INSTANTS = st.datetimes(datetime(2019, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
UUIDS = st.one_of(st.uuids().map(str), st.from_regex(r"\A[0-9A-Za-z]{6}\Z"))
FETCHED = st.builds(Run.at, INSTANTS, st.sampled_from([None, "2024-05", "2025-06-05T02"]))
FILES = st.builds(Run.of_file, INSTANTS, UUIDS)
RUNS = st.one_of(FETCHED, FILES).map(lambda run: run.name)
VERSIONS = st.builds(Version, RUNS, st.integers(1, 999_999), st.integers(0, 10**13))


@pytest.mark.parametrize(
    ("schedule", "published", "expected"),
    [
        ("17 4 * * *", "2025-06-05T04:17:02+00:00", "2025-06-05T04:17:00"),
        ("17 4 * * *", "2025-06-05T04:16:31+00:00", "2025-06-05T04:17:00"),
        ("17 4 * * *", "2025-06-05T04:16:29+00:00", "2025-06-04T04:17:00"),
        ("17 4 * * *", "2025-06-05T06:17:02+02:00", "2025-06-05T04:17:00"),
        ("3-53/10 * * * *", "2025-06-05T02:13:00.4+00:00", "2025-06-05T02:13:00"),
        ("3-53/10 * * * *", "2025-06-05T02:22:59+00:00", "2025-06-05T02:23:00"),
    ],
)
def test_a_message_belongs_to_its_tick(schedule: str, published: str, expected: str) -> None:
    found = tick(schedule, datetime.fromisoformat(published))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_two_publishes_of_one_tick_are_one_run() -> None:
    one, other = (
        Run.at(tick("17 4 * * *", datetime(2025, 6, 5, 4, 17, second, tzinfo=UTC)))
        for second in (0, 55)
    )
    assert one == other == Run("20250605T041700Z")


@pytest.mark.parametrize(
    "name",
    [
        "2025-06-05", "20250605T021000", "20250605T021000Z.", "../x", "", "20259999T999999Z",
        "20250229T000000Z.2025-02", "20250605T021000Z_", "20250605T021000Z_a.b",
    ],
)  # fmt: skip
def test_what_names_no_run_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="does not name a run"):
        Run(name)


@given(VERSIONS, VERSIONS)
def test_a_versions_text_orders_as_the_version(one: Version, other: Version) -> None:
    assert (str(one) < str(other)) == (one < other)
    assert Version.parse(str(one)) == one


@given(RUNS, st.integers(0, 10**13))
def test_split_keys_read_back(run: str, replay: int) -> None:
    key = object_names.SplitKey(Run(run), replay)
    assert object_names.SplitKey.parse(str(key)) == key
    part = object_names.part("d", "2024-05", key, "0a1b2c3d")
    assert object_names.part_of(part) == ("d", "2024-05", key)
    assert object_names.split_of(object_names.split_record("d", key)) == ("d", key)
    marker = object_names.Marker.parse(object_names.marker("d", "2024-05", key))
    assert (marker.slot, marker.split, marker.replay) == ("2024-05", key, 0)


@given(FILES)
def test_a_streams_file_is_a_run_and_the_run_names_the_file(run: Run) -> None:
    name = object_names.stream_file("d", run)
    assert object_names.stream_file_of(name) == ("d", run)
    assert (run.requested_slot, run.file) == (None, run.name.partition("_")[2])
    assert object_names.stream_file("d", Run.at(run.time)) < name


@pytest.mark.parametrize(
    "name",
    [
        "streams/d/notes.txt", "streams/d/2025-06-05T10_05_00Z_0c5d", "streams/d/x/y.avro",
        "streams/d/2025-06-05T10:05:00Z_0c5d.avro", "streams/d/2025-6-5T10_05_00Z_0c5d.avro",
        "streams/d/2025-06-05T10_05_00Z_.avro",
    ],
)  # fmt: skip
def test_what_pubsub_would_not_call_a_file_is_no_run(name: str) -> None:
    with pytest.raises(ValueError):
        object_names.stream_file_of(name)


def test_replay_markers_read_back() -> None:
    marker = object_names.Marker.parse(
        object_names.replay_marker("d", "2024-05", 1_700_000_000_000)
    )
    assert (marker.dataset, marker.split, marker.replay) == ("d", None, 1_700_000_000_000)


def test_equal_neighbours_count_once_and_returns_do_not() -> None:
    assert revision(["a", "a", "b"]) == revision(["a", "b"])
    assert revision(["a", "b", "a"]) != revision(["a", "b"])
    assert revision([]) != revision(["a"])


def test_a_manifests_id_leaves_room_for_an_attempt() -> None:
    made = manifest_id("a_system_with_a_very_long_name_indeed", [("d", "2024-05", "v")])
    assert len(made) <= 50
    assert len(object_names.batch_id(made, 99)) <= 63
    assert made != manifest_id("a_system_with_a_very_long_name_indeed", [("d", "2024-05", "w")])


def test_no_output_of_a_step_matches_the_trigger_of_the_same_step() -> None:
    """Over every name that steps write, by zone: a trigger sees the objects meant for it alone."""
    run, key = Run("20250605T021000Z"), object_names.SplitKey(Run("20250605T021000Z"))
    claim, record = object_names.claim("d", run), object_names.split_record("d", key)
    manifest, receipt = object_names.manifest("s", "id"), object_names.receipt("s", "id")
    written = {
        "raw": [object_names.raw_data("d", run, "try", "f.csv"), claim, object_names.failed_slice("d", run, 1, run.time)],
        "landing": [
            object_names.part("d", "2024-05", key, "try"), object_names.marker("d", "2024-05", key), record,
            manifest, object_names.replay_marker("d", "2024", 1), object_names.pending_replay("d", "2024", 1),
        ],
        "quarantine": [object_names.rejects("d", key, "try"), object_names.refused("split", claim)],
        "lake": [object_names.lake_prefix("t", "id", 1) + "slot=2024/x", receipt],
    }  # fmt: skip
    triggers = [
        ("split", "raw", "runs/"), ("split", "raw", "streams/"),
        ("show", "landing", object_names.split_records("d")), ("submit", "landing", "manifests/"),
        ("load", "lake", "receipts/"),
    ]  # fmt: skip
    started = {
        (name, step)
        for step, zone, prefix in triggers
        for name in written[zone]
        if name.startswith(prefix)
    }
    assert started == {
        (claim, "split"), (record, "show"), (manifest, "submit"), (receipt, "load"),
    }  # fmt: skip
