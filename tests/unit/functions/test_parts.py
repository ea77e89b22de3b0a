"""What waits for a row group keeps no more memory than it says."""

from __future__ import annotations

import pyarrow as pa
import pytest

from functions.split.part_writer import _copied

WHOLE = pa.record_batch({"site": [f"PW{at:04}" for at in range(10_000)], "line": range(10_000)})


@pytest.mark.parametrize("cuts", [[(7, 2)], [(7, 2), (500, 1)], [(0, 1)]])
def test_rows_that_wait_leave_their_block(cuts: list[tuple[int, int]]) -> None:
    """A slice of a block keeps the whole of it: a stray row a block would add up to the export."""
    slices = [WHOLE.slice(begin, count) for begin, count in cuts]
    copied = _copied(slices)
    assert copied.to_pylist() == [row for each in slices for row in each.to_pylist()]
    buffers = [buffer for column in copied.columns for buffer in column.buffers() if buffer]
    shared = {buffer.address for column in WHOLE.columns for buffer in column.buffers() if buffer}
    assert all(buffer.size < 200 for buffer in buffers)
    assert not shared & {buffer.address for buffer in buffers}
