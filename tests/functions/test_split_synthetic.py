"""The made-up usage export through the step `split`: what was put in is what comes out."""

from __future__ import annotations

from datetime import date

import pytest

from catalog.contract import DATASETS, load
from catalog.records import Outcome
from local_cloud.synthetic.faults import Fault
from local_cloud.synthetic.layouts import Layout
from local_cloud.synthetic.usage import Export, Order, Tally, blocks
from tests.functions.split_cloud import Desk

USAGE = load(DATASETS / "paris_wifi_usage.toml")


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("layout", Layout)
def test_every_month_has_the_rows_it_was_given(desk: Desk, layout: Layout, order: Order) -> None:
    export = Export(
        5_000, 3, date(2024, 1, 1), date(2024, 12, 31), order, layout,
        dict.fromkeys(Fault, 0.003),
    )  # fmt: skip
    pieces = list(blocks(export))
    tally = sum((piece.tally for piece in pieces), Tally())
    record = desk.taken(USAGE, b"".join(piece.data for piece in pieces))
    assert record.outcome is Outcome.ACCEPTED, record.reason
    assert record.rows_in == tally.rows
    assert {part.slot: part.rows for part in record.parts} == dict(tally.months)
    assert sum(record.no_slot.values()) == tally.faults[Fault.UNREADABLE_START] > 0
    [report] = record.files
    assert report.unknown_columns == {}
    assert report.missing_columns == ()
