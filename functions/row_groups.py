"""A Parquet file written row group by row group, of which little is kept in memory meanwhile.

Arrow's writer keeps 20 KB of notes for each row group of twenty columns, and what it worked with,
until its file is closed: with many files open at once that outgrows the rows themselves. So each row
group has a writer of its own, and of its footer stay the bytes that tell of the row group, 2 KB, moved
to where it begins. A footer is a Thrift struct of the compact protocol, its fields numbered as in
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_ROWS, _GROUPS, _ORDINAL = (3,), (4,), (4, 7)
"""Fields of a footer: all rows, all row groups, the number of a row group."""
_OFFSETS = frozenset({(4, 5), (4, 1, 3, 9), (4, 1, 3, 10), (4, 1, 3, 11)})
"""Places in the file: of a row group, of the pages of a column."""
_WANTED = _OFFSETS | {_ROWS, _GROUPS, _ORDINAL}
_NUMBERS = (4, 5, 6)
"""Kinds of 16, 32 and 64 bits."""
_BINARY, _LIST, _SET, _STRUCT = 8, 9, 10, 12
_SIZES = {1: 0, 2: 0, 3: 1, 7: 8}
"""Kinds of a fixed size: truths, a byte, a number with a point."""
_SHORT = 15
"""A list of fewer items says how many they are in its first byte."""


class Sink(Protocol):
    """What takes the bytes of a file."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take bytes that follow those before."""


class RowGroups:
    """A file of Parquet that grows by row groups."""

    def __init__(self, sink: Sink, schema: pa.Schema, **options: Any) -> None:
        """Nothing is written yet. `options` are those of `ParquetWriter`."""
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
        before = len(_MAGIC) if self._size else 0  # one magic stands for all
        footer = _footer(bytes(whole[begin:end]), self._size - before, len(self._groups))
        self._sink.write(whole[before:begin])
        self._size += begin - before
        self._rows += rows.num_rows
        self._groups.append(footer.group)
        self._frame = self._frame or footer

    def finish(self) -> None:
        """Write the footer; without a row group the file is that of no rows."""
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
        """A file of one row group, or of none."""
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, self._schema, store_schema=False, **self._options) as writer:
            if rows is not None:
                writer.write_batch(rows, row_group_size=rows.num_rows)
        return sink.getvalue()


class _Footer(NamedTuple):
    """The footer of a file of one row group: what tells of that, and what stands around it."""

    before: bytes
    """Up to the number of rows."""
    between: bytes
    """Up to the list of row groups."""
    group: bytes
    after: bytes


class _Value(NamedTuple):
    """A wanted value: its field, as a path, and where its bytes are."""

    path: tuple[int, ...]
    begin: int
    end: int


def _footer(data: bytes, further: int, ordinal: int) -> _Footer:
    """Take a footer apart; its row group lies so many bytes `further`, as the `ordinal`th."""
    scan = _Scan(data)
    scan.struct(())
    rows = next(value for value in scan.seen if value.path == _ROWS)
    groups = next(value for value in scan.seen if value.path == _GROUPS)
    pieces = []
    done = groups.begin + 1
    for path, begin, end in scan.seen:
        if path == _ORDINAL or path in _OFFSETS:
            told = 2 * ordinal if path == _ORDINAL else _Scan(data, begin).number() + 2 * further
            pieces += [data[done:begin], _varint(told)]
            done = end
    return _Footer(
        before=data[: rows.begin],
        between=data[rows.end : groups.begin],
        group=b"".join([*pieces, data[done : groups.end]]),
        after=data[groups.end :],
    )


class _Scan:
    """Finds the wanted values of a struct."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        """Begin at a byte."""
        self.seen: list[_Value] = []
        """In order of their ends."""
        self._data = data
        self._at = at

    def struct(self, path: tuple[int, ...]) -> None:
        """Pass over the fields of a struct."""
        field = 0
        while head := self._data[self._at]:
            self._at += 1
            # Fields rise by less than 16 in all that Parquet tells.
            field += head >> 4
            own, begin = (*path, field), self._at
            self._value(head & 15, own)
            if own in _WANTED:
                self.seen.append(_Value(own, begin, self._at))
        self._at += 1

    def number(self) -> int:
        """Pass over a number: 7 bits a byte, the least first; twice its value where it has a sign."""
        found = shift = 0
        while (byte := self._data[self._at]) > 127:
            found |= (byte & 127) << shift
            shift += 7
            self._at += 1
        self._at += 1
        return found | byte << shift

    def _value(self, kind: int, path: tuple[int, ...]) -> None:
        if kind in _NUMBERS:
            self.number()
        elif kind == _BINARY:
            size = self.number()
            self._at += size
        elif kind == _STRUCT:
            self.struct(path)
        elif kind in (_LIST, _SET):
            self._list(path)
        else:
            self._at += _SIZES[kind]

    def _list(self, path: tuple[int, ...]) -> None:
        head = self._data[self._at]
        self._at += 1
        count = head >> 4
        for _ in range(self.number() if count == _SHORT else count):
            self._value(head & 15, path)


def _varint(number: int) -> bytes:
    """A number, 7 bits a byte, the least first."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)
