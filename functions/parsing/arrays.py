"""Arrow arrays made of what numpy and Python hold, by their buffers.

`pa.array` and `to_numpy` would import pandas, which takes half a second and 40 MB of a function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def integers(values: npt.NDArray[np.integer]) -> pa.Int64Array:
    """Whole numbers, without a copy where they have 64 bits."""
    whole = np.ascontiguousarray(values, np.int64)
    made = pa.Array.from_buffers(pa.int64(), len(whole), [None, pa.py_buffer(whole)])
    assert isinstance(made, pa.Int64Array)  # noqa: S101 - its type says so
    return made


def flags(mask: Mask) -> pa.BooleanArray:
    """Truths."""
    packed = pa.py_buffer(np.packbits(mask, bitorder="little"))
    made = pa.Array.from_buffers(pa.bool_(), len(mask), [None, packed])
    assert isinstance(made, pa.BooleanArray)  # noqa: S101 - its type says so
    return made


def texts(values: Sequence[str | None]) -> pa.StringArray:
    """Texts and nulls; lone surrogates are no text and raise UnicodeEncodeError."""
    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum(list(map(len, encoded)), out=ends[1:])
    valid = np.fromiter((value is not None for value in values), np.bool_, len(encoded))
    return pa.StringArray.from_buffers(
        len(encoded),
        pa.py_buffer(ends),
        pa.py_buffer(b"".join(encoded)),
        None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little")),
    )


def nothing(count: int) -> pa.StringArray:
    """Nulls alone."""
    return texts([None] * count)


def repeated(text: str, count: int) -> pa.StringArray:
    """One text over and over."""
    encoded = text.encode()
    ends = np.arange(count + 1, dtype=np.int32) * np.int32(len(encoded))
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(encoded * count))


def codes(found: pa.DictionaryArray[Any, Any], null: int) -> npt.NDArray[np.int32]:
    """Return the place in its dictionary of each value, `null` for a null."""
    indices = found.indices
    data = indices.buffers()[1]
    if data is None or not len(indices):
        return np.empty(0, np.int32)
    whole = np.frombuffer(data, np.int32)[indices.offset : indices.offset + len(indices)]
    return np.where(nulls(indices), np.int32(null), whole) if indices.null_count else whole


def nulls(column: pa.Array[Any]) -> Mask:
    """Which values are null."""
    valid = column.buffers()[0]
    if valid is None or not column.null_count:
        return np.zeros(len(column), np.bool_)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    found: Mask = bits[column.offset : column.offset + len(column)] == 0
    return found
