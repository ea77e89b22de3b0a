"""CSV as publishers write it: quoted separators and line breaks, any line end, a cut end."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from catalog.contract import Contract
from functions.parsing.batch import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    SAMPLE_CHARACTERS,
    Batch,
    Broken,
    Seen,
    item_of,
    sum_of,
)
from functions.parsing.csv.blocks import Block
from functions.parsing.csv.grid import Grid, grid
from functions.parsing.csv.record_blocks import Supply
from functions.parsing.header import (
    Layout,
    Place,
    RunRefused,
    layout,
    refuse_lacking,
    refuse_missing,
    shown,
)

_BAD = re.compile("[\0\ud800-\udfff]")
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_FIELDS_A_LINE = 8

BLOCK_BYTES = 2 << 20
"""Bytes of a block: enough for the work on it to outweigh its beginning."""

_AHEAD = 2
_PIECE_BYTES = 1 << 16
_STRETCH = 1 << 15
_LONGEST_STRETCH = 4 << 20
"""How many characters are read one by one before blocks are tried again: at first, at most."""


class CsvReader:
    """Reads one CSV file by the contract's separator.

    Regular blocks are given as they are, their records found side by side (`grid`); from a place
    that is not regular, records are read one by one by Python's own reader, for a stretch.
    """

    def __init__(
        self, contract: Contract, where: str, pool: Executor, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """`where` names the file in sentences; blocks are looked through in `pool`.

        With `block_bytes` of 0 all records are read one by one.
        """
        self.seen = Seen(shape="csv")
        self._contract = contract
        self._where = where
        self._pool = pool
        self._block_bytes = block_bytes if _is_ascii(contract.source.separator) else 0
        self._least = 0

    def batches(self, pieces: Iterator[bytes]) -> Iterator[Batch | Block]:
        """The records of the file below its header; `pieces` are UTF-8.

        Raises RunRefused for a header that misses a required column, another separator, and a last
        record that is cut.
        """
        first = next(pieces, b"")
        self._contract = _separated(self._contract, first)
        supply = Supply(chain((first,), pieces), self._block_bytes)
        stretch = Stretch(supply, self._contract, self._where, 1)
        head = next((record.fields for record in stretch.records if record.fields), None)
        if head is None:
            raise RunRefused(f"{self._where}: the file has no header")
        found = self._layout(head)
        width = len(head)
        if any(place is not None and place.plus for place in found.places):
            self._block_bytes = 0  # blocks are taken as they are, and a sum is made
        while True:
            yield from self._slowly(stretch, found, width)
            if stretch.ended:
                return
            line = yield from self._blocks(supply, found, width, stretch.stop())
            stretch = Stretch(supply, self._contract, self._where, line)

    def _slowly(self, stretch: Stretch, found: Layout, width: int) -> Iterator[Batch]:
        """Records one by one, until a place from which blocks may be tried."""
        rows: list[_Row] = []
        size = total = 0
        while not (self._block_bytes and total >= self._least and stretch.settled):
            record = next(stretch.records, None)
            if record is None:
                break
            total += len(record.text)
            if record.fields is not None and not record.fields:
                continue
            rows.append(self._row(record, width))
            size += len(record.text)
            if len(rows) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
                yield self._batch(rows, found)
                rows, size = [], 0
        if rows:
            yield self._batch(rows, found)

    def _blocks(
        self, supply: Supply, found: Layout, width: int, line: int
    ) -> Generator[Block, None, int]:
        """Regular blocks, up to a place that is not regular; gives the line there."""
        ahead: deque[tuple[bytes, Future[Grid]]] = deque()
        separator = ord(self._contract.source.separator)
        longest = self._contract.bounds.field_bytes_max
        taken = 0
        while True:
            while len(ahead) < _AHEAD and (data := supply.block()):
                ahead.append((data, self._pool.submit(grid, data, separator, width, longest)))
            if not ahead:
                break
            data, future = ahead.popleft()
            block = Block(future.result().moved(line), found.places)
            line = block.grid.next_line
            taken += block.grid.end
            if block.count:
                self._sample(block, found)
                yield block
            if block.grid.end < len(data):
                supply.give_back(data[block.grid.end :], *(each for each, _ in ahead))
                break
        # Where faults are thick, looking through a block for a few records does not pay.
        self._least = _STRETCH if taken >= self._least else min(2 * self._least, _LONGEST_STRETCH)
        return line

    def _sample(self, block: Block, found: Layout) -> None:
        """Keep the first value of each unknown column."""
        for name, at in found.unknown.items():
            if self.seen.unknown[name]:
                continue
            filled = np.flatnonzero(block.grid.lengths(at))[:1]
            for value in block.grid.columns([at], filled)[0].to_pylist():
                self.seen.unknown[name] = (value or "")[:SAMPLE_CHARACTERS]

    def _layout(self, header: list[str]) -> Layout:
        self.seen.header = [name.strip() for name in header]
        self._refuse_separator(header)
        try:
            found = layout(self._contract, header)
        except RunRefused as error:
            raise RunRefused(f"{self._where}: {error}") from error
        self.seen.aliases = found.aliases
        self.seen.missing = [column.name for column in found.missing]
        self.seen.unknown = dict.fromkeys(found.unknown, "")
        refuse_missing(found.missing, self.seen.header, self._where, list(found.unknown))
        refuse_lacking(self._contract, found.missing, self.seen.header, self._where)
        return found

    def _refuse_separator(self, header: list[str]) -> None:
        """Raise RunRefused where another separator would cut the only column of the header."""
        source = self._contract.source
        wanted = (source.separator, *source.separators)
        if len(header) > 1:
            return
        for other, name in _SEPARATORS.items():
            if other not in wanted and header[0].count(other) > 0:
                known = " or ".join(_SEPARATORS.get(each, repr(each)) for each in wanted)
                raise RunRefused(
                    f"{self._where}: fields are separated by {name}, the contract says {known}: "
                    f"the header is {shown(header)!r}; correct source.separator if the publisher "
                    "has changed it, or add it to source.separators"
                )

    def _row(self, record: _Record, width: int) -> _Row:
        if record.fields is None:
            return Broken(record.line, record.reason, record.text)
        if len(record.fields) != width:
            if record.last and len(record.fields) < width:
                raise RunRefused(
                    f"{self._where}: the file is cut: line {record.line}, its last, has "
                    f"{len(record.fields)} of {width} fields and no line end; fetch it again"
                )
            return Broken(record.line, "wrong number of fields", record.text)
        return record

    def _batch(self, rows: list[_Row], found: Layout) -> Batch:
        good = [row for row in rows if isinstance(row, _Record)]
        seen = list(zip(*(row.fields for row in good if row.fields), strict=True))
        for name, at in found.unknown.items():
            if seen and not self.seen.unknown[name]:
                sample = next((value for value in seen[at] if value), "")
                self.seen.unknown[name] = sample[:SAMPLE_CHARACTERS]
        return Batch(
            lines=[row.line for row in good],
            columns=[_column(place, seen, len(good)) for place in found.places],
            texts=[row.text for row in good],
            broken=[row for row in rows if isinstance(row, Broken)],
        )


class _Record(NamedTuple):
    """A record; `fields` is None where it is broken, `last` where the file ends with it, cut."""

    line: int
    fields: list[str] | None
    text: str
    reason: str = ""
    last: bool = False


_Row = _Record | Broken


def _separated(contract: Contract, head: bytes) -> Contract:
    """The contract with that of its separators which the header has most; `head` begins the file."""
    source = contract.source
    header = head.lstrip()[:_PIECE_BYTES].partition(b"\n")[0].decode("utf-8", "replace")
    found = max((source.separator, *source.separators), key=header.count)
    return msgspec.structs.replace(
        contract, source=msgspec.structs.replace(source, separator=found)
    )


def _is_ascii(separator: str) -> bool:
    return separator.isascii() and separator not in '\r\n"'


def _column(place: Place | None, seen: list[tuple[str, ...]], count: int) -> list[str]:
    if place is None or not seen:
        return [""] * count
    if place.plus:
        fields = (seen[at] for at in (place.index, *place.plus))
        return [sum_of(values) for values in zip(*fields, strict=True)]
    if place.item is None:
        return list(seen[place.index])
    return [item_of(value, place.item) for value in seen[place.index]]


class Stretch:
    """Records of a file read one by one, from a record's begin at the place that is come to."""

    def __init__(self, supply: Supply, contract: Contract, where: str, line: int) -> None:
        """`line` is the number of the first line."""
        self.ended = False
        """Whether the file ends with the last record."""
        self.records = self._read(contract, where)
        """In order; a blank line is a record without fields."""
        self._supply = supply
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._lines = _Lines(self._texts(), contract.bounds.field_bytes_max * _FIELDS_A_LINE, line)

    @property
    def settled(self) -> bool:
        """Whether what was read ahead can be given back."""
        return self._lines.settled

    def stop(self) -> int:
        """Give back what was read ahead; gives the number of the next line."""
        unread = self._lines.unread.encode("utf-8", "surrogateescape")
        self._supply.give_back(unread, self._decoder.getstate()[0])
        return self._lines.number + 1

    def _read(self, contract: Contract, where: str) -> Iterator[_Record]:
        yield from _records(self._lines, contract, where)
        self.ended = True

    def _texts(self) -> Iterator[str]:
        while piece := self._supply.piece(_PIECE_BYTES):
            if text := self._decoder.decode(piece):
                yield text
        if rest := self._decoder.decode(b"", final=True):
            yield rest


def _records(lines: _Lines, contract: Contract, where: str) -> Iterator[_Record]:
    """The records of a file, header and blank lines included.

    A quote that never closes costs the line it stands on: the lines it would swallow are read
    again.
    """
    longest = contract.bounds.field_bytes_max
    if csv.field_size_limit() < longest:
        csv.field_size_limit(longest)
    reader = csv.reader(lines, delimiter=contract.source.separator, strict=True)
    while True:
        first = lines.begin()
        fields: list[str] | None = None
        reason = ""
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if lines.starved and lines.unended:
                raise RunRefused(
                    f"{where}: the file is cut: a quote that opens on line {first} never closes, "
                    "and the last line has no end; fetch it again"
                ) from error
            fields, reason = _mended(lines, contract.source.separator)
        text = lines.taken[0] if len(lines.taken) == 1 else "".join(lines.taken)
        fault = lines.fault(first)
        if not fault and fields and len(text) > longest and max(map(len, fields)) > longest:
            fault = "a field above the bound"
        if fault:
            fields, reason = None, fault
        yield _Record(first, fields, text, reason, lines.last)


def _mended(lines: _Lines, separator: str) -> tuple[list[str] | None, str]:
    """What stands for a record with a quote out of place: its fields, or why there are none.

    Text after a closing quote on the same line is taken as it is. A quote that went on over line
    ends was none: the lines that it swallowed are given back.
    """
    if len(lines.taken) > 1 or lines.starved:
        lines.rewind()
        return None, "a quote never closes"
    try:
        fields = next(csv.reader(lines.taken, delimiter=separator))
    except csv.Error:
        return None, "a field above the bound"
    if fields[-1].endswith(("\r", "\n")):
        return None, "a quote never closes"
    return fields, ""


class _Lines:
    """Physical lines, numbered from 1, with those that the current record took."""

    def __init__(self, texts: Iterator[str], longest: int, first: int = 1) -> None:
        """Lines of more than `longest` characters are cut, and told as faults."""
        self.number = first - 1
        self.taken: list[str] = []
        self.starved = False
        """Whether a record asked for a line after the last one."""
        self.unended = False
        """Whether the last line had no end."""
        self._texts = texts
        self._longest = longest
        self._ready: deque[str] = deque()
        self._tail = ""
        self._overlong = False
        self._faults: dict[int, str] = {}

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._ready and not self._fill():
            self.starved = bool(self.taken)
            raise StopIteration
        line = self._ready.popleft()
        self.number += 1
        self.taken.append(line)
        return line

    def begin(self) -> int:
        """Begin a record; gives the number of its first line."""
        self.taken = []
        return self.number + 1

    def rewind(self) -> None:
        """Give back every line of the record but its first."""
        self.starved = False
        self._ready.extendleft(reversed(self.taken[1:]))
        self.number -= len(self.taken) - 1
        del self.taken[1:]

    def fault(self, first: int) -> str:
        """What is wrong with the lines of the record that began on line `first`; empty if nothing."""
        if not self._faults:
            return ""
        found = [self._faults.pop(line, "") for line in range(first, self.number + 1)]
        return next((fault for fault in found if fault), "")

    @property
    def settled(self) -> bool:
        """Whether no line that was read ahead has a fault, or lost its end."""
        return not self._overlong and not self._faults

    @property
    def unread(self) -> str:
        """What was read ahead."""
        return "".join(self._ready) + self._tail

    @property
    def last(self) -> bool:
        """Whether the file ended with this record, without a line end."""
        return self.unended and not self._ready

    def _fill(self) -> bool:
        """Make the next lines ready; False after the last."""
        while not self._ready:
            text = next(self._texts, None)
            if text is None:
                return self._finish()
            text = self._tail + text
            lines = io.StringIO(text, newline="").readlines()
            # A carriage return at the end may be half of a line end.
            self._tail = "" if lines[-1].endswith("\n") else lines.pop()
            self._take(lines, _BAD.search(text))
            if len(self._tail) > self._longest:
                self._overlong = True
                half = "\r" if self._tail.endswith("\r") else ""
                self._tail = self._tail[: self._longest] + half
        return True

    def _finish(self) -> bool:
        if not self._tail:
            return False
        line, self._tail = self._tail, ""
        self.unended = not line.endswith("\r")
        self._take([line], _BAD.search(line))
        return True

    def _take(self, lines: list[str], suspect: re.Match[str] | None) -> None:
        if not lines:
            return
        first = self.number + 1
        if self._overlong:
            self._faults[first] = "a line above the bound"
            self._overlong = False
        self._ready.extend(lines)
        if suspect is None:
            return
        for at, line in enumerate(lines):
            if _BAD.search(line):
                fault = "a NUL byte" if "\0" in line else "bytes that are not of the encoding"
                self._faults[first + at] = fault
