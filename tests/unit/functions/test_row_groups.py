"""Files written row group by row group are those that Arrow's own writer makes of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.split.row_groups import RowGroups
from tests.support.examples import examples

SCHEMA = pa.schema([("site", pa.string()), ("bytes", pa.string()), ("line", pa.int64())])
OPTIONS = {"compression": "zstd", "use_dictionary": ["site"], "write_statistics": False}


def rows(first: int, count: int) -> pa.RecordBatch:
    """Rows with a null now and then."""
    lines = range(first, first + count)
    sites = [None if line % 7 == 0 else f"PW{line % 5}" for line in lines]
    return pa.record_batch(
        [pa.array(sites), pa.array([str(line**3) for line in lines]), pa.array(lines)], SCHEMA
    )


def groups(counts: Sequence[int]) -> list[pa.RecordBatch]:
    """Batches of so many rows, their lines going on."""
    return [rows(sum(counts[:at]), count) for at, count in enumerate(counts)]


def shipped(batches: Sequence[pa.RecordBatch]) -> bytes:
    file = io.BytesIO()
    writer = RowGroups(file, SCHEMA, **OPTIONS)
    for batch in batches:
        writer.write(batch)
    writer.finish()
    return file.getvalue()


def arrow(batches: Sequence[pa.RecordBatch]) -> bytes:
    file = io.BytesIO()
    with pq.ParquetWriter(file, SCHEMA, store_schema=False, **OPTIONS) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file.getvalue()


@examples(40)
@given(st.lists(st.integers(1, 400), max_size=20))
def test_same_bytes_as_by_one_writer(counts: list[int]) -> None:
    assert shipped(groups(counts)) == arrow(groups(counts))


@pytest.mark.parametrize("count", [0, 1, 14, 15, 200])
def test_any_number_of_row_groups(count: int) -> None:
    batches = groups([50] * count)
    file = pq.ParquetFile(io.BytesIO(shipped(batches)))
    assert file.metadata.num_row_groups == count
    assert file.metadata.num_rows == 50 * count
    assert file.read().equals(pa.Table.from_batches(batches, SCHEMA))
    for at in reversed(range(count)):
        assert file.read_row_group(at).equals(pa.Table.from_batches([batches[at]]))
