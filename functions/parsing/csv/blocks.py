"""Return the records of a regular block of CSV as columns or as a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from functions.parsing import arrays
from functions.parsing.batch import BrokenRecord, TextBatch, item_of
from functions.parsing.csv.grid import Grid, Rows
from functions.parsing.header import FieldPosition


@dataclass(frozen=True)
class Block:
    """The records of a regular block; `places` has one entry for each of the contract's columns."""

    grid: Grid
    places: tuple[FieldPosition | None, ...]

    @property
    def count(self) -> int:
        """Number of records, broken ones included."""
        return self.grid.rows + len(self.grid.broken)

    @property
    def broken(self) -> list[BrokenRecord]:
        """The records that are no rows."""
        return self.grid.broken

    def columns(self, rows: Rows, wanted: Sequence[int] | None = None) -> list[pa.StringArray]:
        """Return columns of some records, in the order of `rows`; null where empty."""
        places = self.places if wanted is None else [self.places[at] for at in wanted]
        indices = [place.index for place in places if place is not None]
        taken = iter(self.grid.columns(indices, rows))
        found = []
        for place in places:
            if place is None:
                found.append(arrays.nothing(len(rows)))
            else:
                values = next(taken)
                found.append(values if place.item is None else _items(values, place.item))
        return found

    def batch(self, rows: Rows) -> TextBatch:
        """Return some of the records as a batch."""
        columns = (column.to_pylist() for column in self.columns(rows))
        return TextBatch(
            lines=self.grid.lines[rows].tolist(),
            columns=[[value or "" for value in values] for values in columns],
            texts=[self.grid.text(int(row)) for row in rows],
        )

    def whole(self) -> TextBatch:
        """Return all the records as a batch."""
        batch = self.batch(np.arange(self.grid.rows))
        batch.broken = self.broken
        return batch


def _items(values: pa.StringArray, item: int) -> pa.StringArray:
    """One item of each text; null where there is none."""
    found = values.dictionary_encode()
    values_seen = found.dictionary.to_pylist()
    items = [item_of(value or "", item) or None for value in [*values_seen, None]]
    return arrays.texts(items).take(arrays.integers(arrays.codes(found, len(items) - 1)))
