"""Find records and fields in a block of CSV bytes, without a loop if the block is regular.

A block is regular if every CSV reader reads it the same way: UTF-8 without NUL, line ends LF or CRLF,
quotes only around a whole field or doubled inside one, and records no longer than a bound. These
conditions are checked before the fields are found. The fields end at the first record that breaks a
condition; `slow_path` reads that record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.parsing import arrays
from functions.parsing.batch import BrokenRecord
from functions.parsing.csv import bits
from functions.parsing.csv.bits import Bytes, Places

Rows = npt.NDArray[np.intp]
"""Numbers of records in a grid."""

_LF, _CR, _QUOTE = 10, 13, 34


@dataclass(frozen=True)
class Grid:
    """The records of a block that have all their fields, and the others as broken."""

    data: bytes
    first: Rows
    """Number of each record's first field among the fields of the block."""
    lines: npt.NDArray[np.int64]
    """First physical line of each record."""
    width: int
    """Fields of a record."""
    end: int
    """How many bytes of the block the records take, broken and blank ones included."""
    next_line: int
    """Line after the last record."""
    broken: list[BrokenRecord] = field(default_factory=list)
    _bounds: Places = field(default_factory=lambda: np.zeros(1, np.int32))
    """Start and end of every field, quotes left out, in order, and the end again."""

    @property
    def rows(self) -> int:
        """Number of records that have all their fields."""
        return len(self.first)

    def moved(self, lines: int) -> Grid:
        """Return the same records with their line numbers raised."""
        return replace(
            self,
            lines=self.lines + lines,
            next_line=self.next_line + lines,
            broken=[replace(each, line=each.line + lines) for each in self.broken],
        )

    def text(self, row: int) -> str:
        """Return a record as it is in the block, its line end included."""
        at = 2 * int(self.first[row])
        begin, end = int(self._bounds[at]), int(self._bounds[at + 2 * self.width - 1])
        quoted = begin > 0 and self.data[begin - 1] == _QUOTE
        return self.data[begin - quoted : self.data.index(b"\n", end) + 1].decode()

    def columns(self, indices: Sequence[int], rows: Rows) -> list[pa.StringArray]:
        """Return the values of some fields, of some records in their order; null where empty.

        All are taken in one go: they are slices of one array.
        """
        count = len(rows)
        if not count or not indices:
            return [arrays.texts([]) for _ in indices]
        places = 2 * self.first[rows] + 2 * np.array(indices)[:, None]
        taken = pc.take(self._fields, arrays.integers(places.ravel()), boundscheck=False)
        _, bounds, data = taken.buffers()
        assert bounds is not None and data is not None  # noqa: S101, PT018 - texts have them
        whole = np.frombuffer(data, np.uint8)
        ends = np.frombuffer(bounds, np.int32, count * len(indices) + 1)
        filled = ends[1:] > ends[:-1]
        valid = None if filled.all() else pa.py_buffer(np.packbits(filled, bitorder="little"))
        found = pa.StringArray.from_buffers(count * len(indices), bounds, data, valid)
        columns = [found.slice(at * count, count) for at in range(len(indices))]
        if _has_quote(whole):
            for at, column in enumerate(columns):
                if _has_quote(whole[ends[at * count] : ends[(at + 1) * count]]):
                    columns[at] = pc.replace_substring(column, '""', '"')
        return columns

    def starts(self, index: int) -> Places:
        """Return the byte of the block at which the value of one field begins, for each record."""
        return self._bounds[2 * (self.first + index)]

    def lengths(self, index: int) -> Places:
        """Return the number of bytes of one field between its quotes, for each record."""
        places = 2 * (self.first + index)
        return self._bounds[places + 1] - self._bounds[places]

    @cached_property
    def bytes(self) -> Bytes:
        """The block as an array, without a copy."""
        return np.frombuffer(self.data, np.uint8)

    @cached_property
    def _fields(self) -> pa.StringArray:
        """Texts that alternate between a field and the bytes between two fields."""
        bounds = self._bounds
        return pa.StringArray.from_buffers(
            len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(self.data)
        )


def grid(data: bytes, separator: int, width: int, longest: int) -> Grid:
    """Return the records of a block up to the first that is irregular or has no line end.

    The block begins with a record, on line 0. `separator` is a byte of ASCII, `longest` the most
    bytes of a record. `end` is 0 where not even the first record is regular.
    """
    marks = _Marks.of(data, separator)
    ends = marks.ends
    sizes = np.diff(ends, prepend=-1)
    fault = min(_first_fault(data, marks), len(data))
    if len(ends) and sizes.max() > longest:
        at = int(np.argmax(sizes > longest))
        fault = min(fault, int(ends[at - 1]) + 1 if at else 0)
    regular = int(np.searchsorted(ends, fault))
    if not regular:
        return Grid(data[:0], np.empty(0, np.intp), np.empty(0, np.int64), width, 0, 0)
    end = int(ends[regular - 1]) + 1
    if end < len(data):
        return grid(data[:end], separator, width, longest)
    return _cut(data, marks, width)


@dataclass(frozen=True)
class _Marks:
    """The separators, line ends and quotes of a block."""

    whole: Bytes
    structure: Places
    """Separators and line ends outside quotes."""
    last: Rows
    """Which of them end a record."""
    inner: Places
    """Line ends inside quotes."""
    quoted: bool
    """Whether there are quotes."""
    fault: int
    """Place of the first quote that is neither around a whole field nor doubled, or of the first lone
    carriage return; the block's length if there is none."""

    @classmethod
    def of(cls, data: bytes, separator: int) -> _Marks:
        """Find the marks of a block that begins with a record."""
        whole = np.frombuffer(data, np.uint8)
        separators, lines, quotes = bits.words(whole, (separator, _LF, _QUOTE))
        (returns,) = bits.words(whole, (_CR,)) if b"\r" in data else (np.zeros_like(lines),)
        inside = bits.inside(quotes)
        beside = separators | lines | quotes
        wrong = returns & ~bits.earlier(lines)
        wrong |= quotes & inside & ~bits.later(beside)
        beside |= returns
        beside[len(whole) >> 6] |= np.uint64(1 << (len(whole) & 63))
        wrong |= quotes & ~inside & ~bits.earlier(beside)
        faults = bits.places(wrong)[:1].tolist()
        if inside[-1] >> 63:  # nothing closes the last quote
            faults += bits.places(quotes)[-1:].tolist()
        structure = bits.places((separators | lines) & ~inside)
        return cls(
            whole, structure, last=np.flatnonzero(whole.take(structure) == _LF),
            inner=bits.places(lines & inside), quoted=bool(quotes.any()),
            fault=min(faults, default=len(whole)),
        )  # fmt: skip

    @cached_property
    def ends(self) -> Places:
        """Line ends outside quotes."""
        return self.structure[self.last]


def _first_fault(data: bytes, marks: _Marks) -> int:
    """Place of the first byte that makes a block irregular, its length where there is none."""
    faults = [marks.fault]
    nul = data.find(b"\0")
    if nul >= 0:
        faults.append(nul)
    bounds = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.Array.from_buffers(pa.binary(), 1, [None, bounds, pa.py_buffer(data)]).cast(pa.string())
    except pa.ArrowInvalid:
        faults.append(_not_utf8(data))
    return min(faults)


def _not_utf8(data: bytes) -> int:
    """Place of the first byte that is not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(data)


def _cut(data: bytes, marks: _Marks, width: int) -> Grid:
    """Return the fields of a regular block that ends with a record."""
    last = marks.last
    bounds = np.empty(2 * len(marks.structure) + 1, np.int32)
    starts, ends = bounds[0:-1:2], bounds[1::2]
    bounds[0] = 0
    bounds[2::2] = marks.structure
    bounds[2::2] += 1
    ends[:] = marks.structure
    line_ends = marks.ends
    if b"\r" in data:  # a record's last field ends before it
        ends[last] = line_ends - (marks.whole[line_ends - 1] == _CR) * (line_ends > 0)
    begins = np.concatenate((np.zeros(1, np.int32), line_ends[:-1] + 1))
    filled = ends[last] > begins
    if marks.quoted:
        quoted = marks.whole[starts] == _QUOTE
        starts += quoted
        ends -= quoted
    lines = np.arange(len(begins)) + np.searchsorted(marks.inner, begins)
    counts = np.diff(last, prepend=-1)
    good = (counts == width) & filled
    return Grid(
        data=data,
        first=last[good] - (width - 1),
        lines=lines[good],
        width=width,
        end=len(data),
        next_line=len(line_ends) + len(marks.inner),
        broken=[
            BrokenRecord(
                int(lines[at]), "wrong number of fields", _text(data, begins[at], line_ends[at])
            )
            for at in np.flatnonzero((counts != width) & filled)
        ],
        _bounds=bounds,
    )


def _has_quote(data: Bytes) -> bool:
    return bool((data == _QUOTE).any())


def _text(data: bytes, begin: int, line_end: int) -> str:
    """Return a record with its line end."""
    return data[begin : line_end + 1].decode()
