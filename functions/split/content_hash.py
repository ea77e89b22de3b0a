"""Hash the rows of a slot, whatever cuts they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from functions.parsing.csv.bits import Bytes, Places


class RowsHash:
    """Hash of rows in order, the same however they are cut into batches.

    A column that is null in every row does not count: a column that joins the contract changes no
    hash before it has a value. No text is empty: a part has null in its place.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._texts = {name: hashlib.sha256() for name in columns}
        self._lengths = {name: hashlib.sha256() for name in columns}
        self._filled: set[str] = set()
        self._rejects = hashlib.sha256()
        self._rows = 0

    def add(self, rows: pa.RecordBatch) -> None:
        """Take rows into the hash, in order."""
        self._rows += rows.num_rows
        for at, (name, text) in enumerate(self._texts.items()):
            lengths, data = _buffers(rows.column(at))
            if len(data):
                self._filled.add(name)
            self._lengths[name].update(lengths)
            text.update(data)

    def reject(self, reason: str, text: str) -> None:
        """Take a rejected row into the hash."""
        self._rejects.update(f"{reason}\0{text}\0".encode("utf-8", "surrogatepass"))

    def hexdigest(self) -> str:
        """The hash of all that was taken, hex."""
        whole = hashlib.sha256(f"{self._rows}\n".encode())
        for name in sorted(self._filled):
            whole.update(name.encode() + b"\0")
            whole.update(self._lengths[name].digest() + self._texts[name].digest())
        whole.update(self._rejects.digest())
        return whole.hexdigest()


def _buffers(column: pa.Array[Any]) -> tuple[Places, Bytes]:
    """The lengths of a column's texts, 0 for null, and the texts end to end."""
    _, offsets, data = column.buffers()
    if offsets is None or data is None or not len(column):
        return np.zeros(len(column), np.int32), np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return bounds[1:] - bounds[:-1], np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
