"""Records of a CSV file as readers give them where a block is regular: a grid, and its columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from functions import arrays
from functions.columns import Place
from functions.grid import Grid, Rows
from functions.reading import Batch, Broken, item_of


@dataclass(frozen=True)
class Block:
    """The records of a regular block; `places` has one entry for each of the contract's columns."""

    grid: Grid
    places: tuple[Place | None, ...]

    @property
    def count(self) -> int:
        """Number of records, broken ones included."""
        return self.grid.rows + len(self.grid.broken)

    @property
    def broken(self) -> list[Broken]:
        """The records that are no rows."""
        return self.grid.broken

    def column(self, at: int, rows: Rows) -> pa.StringArray:
        """The values of a column of the contract, of some records in their order; null where empty."""
        place = self.places[at]
        if place is None:
            return pa.nulls(len(rows), pa.string())
        values = self.grid.column(place.index, rows)
        return values if place.item is None else _items(values, place.item)

    def batch(self, rows: Rows) -> Batch:
        """Some of the records as a batch."""
        columns = (self.column(at, rows).to_pylist() for at in range(len(self.places)))
        return Batch(
            lines=self.grid.lines[rows].tolist(),
            columns=[[value or "" for value in values] for values in columns],
            texts=[self.grid.text(int(row)) for row in rows],
        )

    def whole(self) -> Batch:
        """All of the records as a batch."""
        batch = self.batch(np.arange(self.grid.rows))
        batch.broken = self.broken
        return batch


def _items(values: pa.StringArray, item: int) -> pa.StringArray:
    """One item of each text; null where there is none."""
    found = values.dictionary_encode()
    items = [item_of(value, item) or None for value in found.dictionary.to_pylist()]
    items.append(None)
    return arrays.texts(items).take(arrays.integers(arrays.codes(found, len(items) - 1)))
