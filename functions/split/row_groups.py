"""Write a Parquet file row group by row group, with little memory for each open file.

Arrow's writer keeps 20 KB of metadata for each row group of twenty columns, and its work buffers,
until its file is closed. With many files open at once, that outgrows the rows themselves. So each
row group has its own writer. Of its footer only the 2 KB that describe the row group are kept, with
the offsets changed to its place in the file. A footer is a Thrift struct of the compact protocol;
its fields are numbered as in
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_ROWS, _GROUPS, _ORDINAL = 0x3, 0x4, 0x47
"""Fields of a footer, a digit for each struct around them: rows, row groups, number of a group."""
_OFFSETS = frozenset({0x45, 0x4139, 0x413A, 0x413B})
"""Places in the file: of a row group, of the pages of a column."""
_WANTED = _OFFSETS | {_ROWS, _GROUPS, _ORDINAL}
_NUMBERS = (4, 5, 6)
"""Kinds of 16, 32 and 64 bits."""
_BINARY, _STRUCT = 8, 12
_SIZES = {1: 0, 2: 0, 3: 1, 7: 8}
"""Kinds of a fixed size: truths, a byte, a number with a point. All others are lists."""
_LOW = 127
"""The greatest number of 7 bits."""
_SHORT = 15
"""A list of fewer items says how many they are in its first byte."""


class Sink(Protocol):
    """What takes the bytes of a file."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take bytes that follow those before."""


class RowGroups:
    """A file of Parquet that grows by row groups."""

    def __init__(self, sink: Sink, schema: pa.Schema, **options: Any) -> None:
        """Write nothing yet. `options` are those of `ParquetWriter`."""
        self._sink = sink
        self._schema = schema
        self._options = options
        self._size = 0
        self._rows = 0
        self._groups: list[bytes] = []
        self._frame: _Footer | None = None

    def write(self, rows: pa.RecordBatch) -> None:
        """Write rows as a row group."""
        whole = memoryview(self._file(rows))
        end = len(whole) - len(_MAGIC) - 4
        begin = end - int.from_bytes(whole[end : end + 4], "little")
        before = len(_MAGIC) if self._size else 0  # the file has one magic number
        footer = _footer(bytes(whole[begin:end]), self._size - before, len(self._groups))
        self._sink.write(whole[before:begin])
        self._size += begin - before
        self._rows += rows.num_rows
        self._groups.append(footer.group)
        self._frame = self._frame or footer

    def finish(self) -> None:
        """Write the footer; a file without a row group has no rows."""
        if self._frame is None:
            self._sink.write(memoryview(self._file(None)))
            return
        count = len(self._groups)
        head = bytes([min(count, _SHORT) << 4 | _STRUCT])
        footer = b"".join([
            self._frame.before, _varint(2 * self._rows),
            self._frame.between, head, b"" if count < _SHORT else _varint(count), *self._groups,
            self._frame.after,
        ])  # fmt: skip
        self._sink.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)

    def _file(self, rows: pa.RecordBatch | None) -> pa.Buffer:
        """Build a file of one row group, or of none."""
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, self._schema, store_schema=False, **self._options) as writer:
            if rows is not None:
                writer.write_batch(rows, row_group_size=rows.num_rows)
        return sink.getvalue()


class _Footer(NamedTuple):
    """The footer of a file of one row group: the bytes of the row group, and those around them."""

    before: bytes
    """Up to the number of rows."""
    between: bytes
    """Up to the list of row groups."""
    group: bytes
    after: bytes


class _Value(NamedTuple):
    """A wanted value: its field, and where its bytes are."""

    field: int
    begin: int
    end: int


def _footer(data: bytes, further: int, ordinal: int) -> _Footer:
    """Split a footer; move its row group by `further` bytes and number it `ordinal`."""
    seen: list[_Value] = []
    _pass_struct(data, 0, 0, seen)
    rows = next(value for value in seen if value.field == _ROWS)
    groups = next(value for value in seen if value.field == _GROUPS)
    pieces = []
    done = groups.begin + 1
    for field, begin, end in seen:
        if field == _ORDINAL or field in _OFFSETS:
            told = 2 * ordinal if field == _ORDINAL else _number(data, begin)[0] + 2 * further
            pieces += [data[done:begin], _varint(told)]
            done = end
    return _Footer(
        before=data[: rows.begin],
        between=data[rows.end : groups.begin],
        group=b"".join([*pieces, data[done : groups.end]]),
        after=data[groups.end :],
    )


def _pass_struct(data: bytes, at: int, path: int, seen: list[_Value]) -> int:
    """Return where the struct that begins at byte `at` ends.

    Appends the wanted values in it to `seen`, in order of their ends.
    """
    field = 0
    while head := data[at]:
        # In Parquet, field numbers rise by less than 16.
        field += head >> 4
        own, begin = path << 4 | field, at + 1
        at = _pass_value(data, begin, head & 15, own, seen)
        if own in _WANTED:
            seen.append(_Value(own, begin, at))
    return at + 1


def _pass_value(data: bytes, at: int, kind: int, path: int, seen: list[_Value]) -> int:
    """Return where a value of a kind ends."""
    if kind in _NUMBERS:
        while data[at] > _LOW:
            at += 1
        return at + 1
    if kind == _STRUCT:
        return _pass_struct(data, at, path, seen)
    if kind == _BINARY:
        size, at = _number(data, at)
        return at + size
    if kind in _SIZES:
        return at + _SIZES[kind]
    head = data[at]
    count, at = (head >> 4, at + 1) if head >> 4 < _SHORT else _number(data, at + 1)
    for _ in range(count):
        at = _pass_value(data, at, head & 15, path, seen)
    return at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte, lowest bits first; a signed number is doubled.

    Returns the number and where it ends.
    """
    found = shift = 0
    while (byte := data[at]) > _LOW:
        found |= (byte & _LOW) << shift
        shift += 7
        at += 1
    return found | byte << shift, at + 1


def _varint(number: int) -> bytes:
    """Write a number with 7 bits a byte, lowest bits first."""
    found = bytearray()
    while number > _LOW:
        found.append(number & _LOW | _LOW + 1)
        number >>= 7
    found.append(number)
    return bytes(found)
