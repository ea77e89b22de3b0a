"""CSV as publishers write it: quoted separators and line breaks, any line end, a cut end."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from catalog.contract import Contract
from functions.columns import Layout, Place, RunRefused, layout, refuse_missing, shown
from functions.reading import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    SAMPLE_CHARACTERS,
    Batch,
    Broken,
    Seen,
    item_of,
)

_BAD = re.compile("[\0\ud800-\udfff]")
_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_FIELDS_A_LINE = 8


class CsvReader:
    """Reads one CSV file by the contract's separator."""

    def __init__(self, contract: Contract, where: str) -> None:
        """`where` names the file in sentences."""
        self.seen = Seen(shape="csv")
        self._contract = contract
        self._where = where

    def batches(self, texts: Iterator[str]) -> Iterator[Batch]:
        """The records of the file below its header.

        Raises RunRefused for a header that misses a required column, another separator, and a last
        record that is cut.
        """
        records = _records(texts, self._contract, self._where)
        head = next((record for record in records if record.fields), None)
        if head is None or head.fields is None:
            raise RunRefused(f"{self._where}: the file has no header")
        found = self._layout(head.fields)
        rows: list[_Row] = []
        size = 0
        for record in records:
            rows.append(self._row(record, len(head.fields)))
            size += len(record.text)
            if len(rows) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
                yield self._batch(rows, found)
                rows, size = [], 0
        if rows:
            yield self._batch(rows, found)

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
        refuse_missing(found.missing, self.seen.header, self._where)
        return found

    def _refuse_separator(self, header: list[str]) -> None:
        """Raise RunRefused where another separator would cut the only column of the header."""
        wanted = self._contract.source.separator
        if len(header) > 1:
            return
        for other, name in _SEPARATORS.items():
            if other != wanted and header[0].count(other) > 0:
                raise RunRefused(
                    f"{self._where}: fields are separated by {name}, the contract says "
                    f"{_SEPARATORS.get(wanted, repr(wanted))}: the header is "
                    f"{shown(header)!r}; correct source.separator if the publisher has changed it"
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


def _column(place: Place | None, seen: list[tuple[str, ...]], count: int) -> list[str]:
    if place is None or not seen:
        return [""] * count
    if place.item is None:
        return list(seen[place.index])
    return [item_of(value, place.item) for value in seen[place.index]]


def _records(texts: Iterator[str], contract: Contract, where: str) -> Iterator[_Record]:
    """The records of a file, header included, blank lines left out.

    A quote that never closes costs the line it stands on: the lines it would swallow are read
    again.
    """
    longest = contract.bounds.field_bytes_max
    if csv.field_size_limit() < longest:
        csv.field_size_limit(longest)
    lines = _Lines(texts, longest * _FIELDS_A_LINE)
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
        if fields is None or fields:
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

    def __init__(self, texts: Iterator[str], longest: int) -> None:
        """Lines of more than `longest` characters are cut, and told as faults."""
        self.number = 0
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
