"""Hash the rows of a slot, however they are divided into batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from functions.parsing.csv.bits import Bytes, Places


class RowsHash:
    """Hash of rows in order, the same however they are divided into batches.

    A column that is null in every row does not count, so a new column of the contract changes no
    hash before it has a value. No text is empty: a part has null instead.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._texts = {name: hashlib.sha256() for name in columns}
        self._lengths = {name: hashlib.sha256() for name in columns}
        self._filled: set[str] = set()
        self._rejects = hashlib.sha256()
        self._rows = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows to the hash, in order."""
        self._rows += rows.num_rows
        for at, (name, text) in enumerate(self._texts.items()):
            lengths, data = _buffers(rows.column(at))
            if len(data):
                self._filled.add(name)
            self._lengths[name].update(lengths)
            text.update(data)

    def reject(self, reason: str, text: str) -> None:
        """Add a rejected row to the hash."""
        self._rejects.update(f"{reason}\0{text}\0".encode("utf-8", "surrogatepass"))

    def hexdigest(self) -> str:
        """Return the hash of all rows so far, as hex digits."""
        whole = hashlib.sha256(f"{self._rows}\n".encode())
        for name in sorted(self._filled):
            whole.update(name.encode() + b"\0")
            whole.update(self._lengths[name].digest() + self._texts[name].digest())
        whole.update(self._rejects.digest())
        return whole.hexdigest()


def _buffers(column: pa.Array[Any]) -> tuple[Places, Bytes]:
    """Return the lengths of a column's texts, 0 for null, and all the texts as one array."""
    _, offsets, data = column.buffers()
    if offsets is None or data is None or not len(column):
        return np.zeros(len(column), np.int32), np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return bounds[1:] - bounds[:-1], np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
