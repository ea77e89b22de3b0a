"""Made-up snapshots of bike share stations: the publisher's form, bikes that go nowhere, faults."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.contract import DATASETS, load
from catalog.object_names import SplitKey
from catalog.records import Outcome
from catalog.runs import Run
from functions.split.part_writer import Parts
from functions.validation.slotting import SlottedBatch
from local_cloud.__main__ import main
from local_cloud.generators.velib.layouts import export, gbfs, rows
from local_cloud.generators.velib.snapshots import Faults, Snapshot, StationNetwork, snapshots
from local_cloud.generators.velib.stations import stations
from tests.support.split_cloud import Desk, desk, storage_server  # noqa: F401

CONTRACT = load(DATASETS / "velib_stations.toml")
FIRST = datetime(2025, 6, 5, 4, 9, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "data" / "velib" / "v21_records_example_2026.json"


def first_snapshots(network: StationNetwork, count: int) -> list[Snapshot]:
    """So many snapshots of a network."""
    return list(islice(snapshots(network), count))


def test_a_seed_gives_the_same_bytes_everywhere() -> None:
    def digest(seed: int) -> str:
        bodies = (export(each) for each in first_snapshots(StationNetwork(FIRST, 60, seed), 20))
        return hashlib.sha256(b"".join(bodies)).hexdigest()[:16]

    assert digest(7) == "feaa120eec2a831f"
    assert digest(8) != digest(7)


def test_a_record_is_printed_as_the_publisher_s() -> None:
    real = json.loads(EXAMPLE.read_bytes())["results"][0]
    (snapshot,) = first_snapshots(StationNetwork(FIRST, 20), 1)
    records = json.loads(export(snapshot))
    assert [list(each) for each in records] == [list(real)] * 20
    for name, value in real.items():
        kinds = {type(each[name]) for each in records}
        assert kinds <= {type(value), type(None)}, name


def test_stations_beyond_the_real_ones_have_codes_of_their_own() -> None:
    found = stations(3_000)
    assert len({each.code for each in found}) == 3_000
    real = {each.code: each for each in stations(1_398)}
    assert {each.code: each for each in found if each.code in real} == real
    areas = Counter(each.code[:-3] for each in real.values())
    assert Counter(each.code[:-3] for each in found).keys() == areas.keys()
    with pytest.raises(ValueError, match="is all that codes of three digits give"):
        stations(1_000_000)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bikes_are_neither_made_nor_lost(seed: int) -> None:
    found = first_snapshots(StationNetwork(FIRST, 200, seed), 144)
    usable = [each.mechanical + each.ebike + each.docks for each in stations(200)]
    for each in found:
        assert (each.mechanical + each.ebike + each.docks).tolist() == usable
        assert min(each.mechanical.min(), each.ebike.min(), each.docks.min()) >= 0
    started = sum(each.mechanical + each.ebike for each in stations(200))
    assert {each.standing + each.under_way for each in found} == {started}
    assert len({each.under_way for each in found}) > 20


def test_reports_grow_and_some_are_shown_again() -> None:
    found = first_snapshots(StationNetwork(FIRST, faults=Faults(0, 0, 0)), 12)
    again, revised = 0, 0
    for before, each in pairwise(found):
        assert (each.reported >= before.reported).all()
        assert each.reported.max() <= each.tick.timestamp()
        same = each.reported == before.reported
        again += int(same.sum())
        revised += int((same & (each.docks != before.docks)).sum())
    assert 0.1 < again / (11 * 1_500) < 0.2
    assert 0 < revised < again


@pytest.mark.parametrize(
    ("faults", "least"),
    [
        (Faults(0.5, 0, 0), {"capacity": 700}),
        (Faults(0, 0.5, 0), {"stale": 700}),
        (Faults(0, 0, 0.5), {"closed": 700}),
        (Faults(0, 0, 0), {}),
    ],
)
def test_as_many_stations_are_faulty_as_asked(faults: Faults, least: dict[str, int]) -> None:
    (snapshot,) = first_snapshots(StationNetwork(FIRST, faults=faults), 1)
    found = {
        "capacity": int((snapshot.capacity == 0).sum()),
        "stale": int((snapshot.reported < FIRST.timestamp() - 86_400).sum()),
        "closed": int((~snapshot.installed).sum()),
    }
    assert all(found[name] > count for name, count in least.items())
    assert all(count < 60 for name, count in found.items() if name not in least)


def test_split_takes_every_row_of_both_layouts(desk: Desk) -> None:  # noqa: F811
    (snapshot,) = first_snapshots(StationNetwork(FIRST), 1)
    record = desk.run_split(CONTRACT, export(snapshot), at=FIRST)
    assert (record.outcome, record.rows_in, record.quarantine) == (Outcome.ACCEPTED, 1_500, None)
    pair = desk.run_split(CONTRACT, *gbfs(snapshot), at=FIRST + timedelta(minutes=10))
    assert (pair.outcome, pair.rows_in, pair.quarantine) == (Outcome.ACCEPTED, 1_500, None)
    assert not [file for each in (record, pair) for file in each.files if file.unknown_columns]
    counts = [desk.rows(each.parts[0]) for each in (record, pair)]
    named = ("stationcode", "numdocksavailable", "mechanical", "ebike", "capacity")
    rows_by_snapshot = [[[row[name] for name in named] for row in each] for each in counts]
    assert rows_by_snapshot[0] == rows_by_snapshot[1]


def test_the_short_way_makes_the_part_that_split_makes(desk: Desk) -> None:  # noqa: F811
    (snapshot,) = first_snapshots(StationNetwork(FIRST), 1)
    [wanted] = desk.run_split(CONTRACT, export(snapshot), at=FIRST).parts
    batch = rows(snapshot, [column.name for column in CONTRACT.columns])
    key = SplitKey(Run.at(FIRST), 0)
    with ThreadPoolExecutor(1) as pool:
        parts = Parts(desk.zones.landing, CONTRACT.dataset, key, "x", CONTRACT.columns, pool)
        parts.add(SlottedBatch({wanted.slot: batch}, bytes=batch.nbytes))
        [part] = parts.finish(CONTRACT.bounds)
    assert (part.hash, part.rows) == (wanted.hash, 1_500)
    assert pa.types.is_int64(batch.schema.field("line").type)


def test_one_snapshot_is_in_memory_at_a_time() -> None:
    snapshot = snapshots(StationNetwork(FIRST))
    next(snapshot)
    tracemalloc.start()
    for _ in range(50):
        next(snapshot)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_snapshots_are_written_by_command(tmp_path: Path) -> None:
    words = ["snapshots", "--stations", "5", "--days", str(1 / 24), "--out", str(tmp_path)]
    assert main(words) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"20250605T00{minute}900Z_stations.json" for minute in range(6)]
    assert len(json.loads((tmp_path / names[0]).read_bytes())) == 5
    assert main([*words, "--stations", "0"]) == 2


def test_movement_is_there() -> None:
    first, *_, last = first_snapshots(StationNetwork(FIRST), 30)
    assert np.count_nonzero(first.mechanical != last.mechanical) > 700
