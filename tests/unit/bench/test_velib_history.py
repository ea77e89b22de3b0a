"""What the bench puts into landing is what `seal` reads, and an hour names no part of days before."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from bench.velib import DATASET, FIRST, Landing
from catalog.contract import load_all
from local_cloud.generators.velib.snapshots import StationNetwork, snapshots

CONTRACT = load_all()[DATASET]


@pytest.mark.parametrize("hours", [2, 30])
def test_an_hour_reads_itself_and_the_hour_before(tmp_path: Path, hours: int) -> None:
    landing = Landing(tmp_path / "landing", CONTRACT)
    slots = [landing.add(each) for each in islice(snapshots(StationNetwork(FIRST, 5)), 6 * hours)]
    assert landing.objects == len([path for path in tmp_path.rglob("*") if path.is_file()])
    (slot,) = landing.manifest(slots[-1:], tmp_path / "lake").slots
    assert (slot.slot, slot.rows_in) == (slots[-1], 30)
    assert (len(slot.parts), len(slot.context)) == (6, 6)
    assert all(Path(uri.removeprefix("file://")).is_file() for uri in (*slot.parts, *slot.context))
