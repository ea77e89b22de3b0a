"""The made-up usage export through the step `split`: what was put in is what comes out."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import pytest

from catalog.contract import DATASETS, load
from catalog.records import Outcome
from functions.parsing.file_reader import FileReader
from local_cloud.generators.wifi.faults import Fault
from local_cloud.generators.wifi.layouts import ExportLayout
from local_cloud.generators.wifi.usage import Export, RowOrder, Tally, blocks
from tests.support.split_cloud import NOW, Desk

USAGE = load(DATASETS / "paris_wifi_usage.toml")


def test_parts_are_the_same_however_long_rows_wait(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = Export(1_500, 3, date(2024, 1, 1), date(2024, 12, 31))
    data = b"".join(piece.data for piece in blocks(export))
    monkeypatch.setattr(
        "functions.split.attempt.FileReader", partial(FileReader, block_bytes=16 << 10)
    )
    told = []
    bounds = [(1 << 30, 1 << 30), (80 << 10, 1 << 30), (80 << 10, 2 << 10), (0, 1 << 30)]
    for day, (waiting, group) in enumerate(bounds):
        monkeypatch.setattr("functions.split.part_writer._WAITING_BYTES", waiting)
        monkeypatch.setattr("functions.split.part_writer._GROUP_BYTES", group)
        record = desk.run_split(USAGE, data, at=NOW + timedelta(days=day))
        told.append({part.slot: (part.rows, part.hash) for part in record.parts})
        for part in record.parts:
            lines = [row["line"] for row in desk.rows(part)]
            assert len(lines) == part.rows
            assert lines == sorted(lines)
    assert all(each == told[0] for each in told)


@pytest.mark.parametrize("order", RowOrder)
@pytest.mark.parametrize("layout", ExportLayout)
def test_every_month_has_the_rows_it_was_given(
    desk: Desk, layout: ExportLayout, order: RowOrder
) -> None:
    export = Export(
        5_000, 3, date(2024, 1, 1), date(2024, 12, 31), order, layout,
        dict.fromkeys(Fault, 0.003),
    )  # fmt: skip
    pieces = list(blocks(export))
    tally = sum((piece.tally for piece in pieces), Tally())
    record = desk.run_split(USAGE, b"".join(piece.data for piece in pieces))
    assert record.outcome is Outcome.ACCEPTED, record.reason
    assert record.rows_in == tally.rows
    assert {part.slot: part.rows for part in record.parts} == dict(tally.months)
    assert sum(record.no_slot.values()) == tally.faults[Fault.UNREADABLE_START] > 0
    [report] = record.files
    assert report.unknown_columns == {}
    assert report.missing_columns == ()
