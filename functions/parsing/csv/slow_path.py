"""Read the records of a CSV file one by one, where the fast path cannot."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from catalog.contract import Contract
from functions.parsing.batch import BrokenRecord
from functions.parsing.csv.record_blocks import RecordBlockReader
from functions.parsing.header import RunRefusedError

_BAD = re.compile("[\0\ud800-\udfff]")

_FIELDS_A_LINE = 8

PIECE_BYTES = 1 << 16


class CsvRecord(NamedTuple):
    """A record; `fields` is None if it is broken; `last` if the file ends with it, unterminated."""

    line: int
    fields: list[str] | None
    text: str
    reason: str = ""
    last: bool = False


Row = CsvRecord | BrokenRecord


class SlowPathReader:
    """Reads records one by one, from the record that begins at the current place of a file."""

    def __init__(
        self, blocks: RecordBlockReader, contract: Contract, where: str, line: int
    ) -> None:
        """`line` is the number of the first line."""
        self.ended = False
        """Whether the file ends with the last record."""
        self.records = self._read(contract, where)
        """In order; a blank line is a record without fields."""
        self._blocks = blocks
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._lines = _Lines(self._texts(), contract.bounds.field_bytes_max * _FIELDS_A_LINE, line)

    @property
    def can_resume_fast_path(self) -> bool:
        """Whether the text that was read ahead can be given back, so that blocks can be tried."""
        return self._lines.is_clean

    def stop(self) -> int:
        """Give back the text that was read ahead; return the number of the next line."""
        unread = self._lines.pending_text.encode("utf-8", "surrogateescape")
        self._blocks.unread(unread, self._decoder.getstate()[0])
        return self._lines.number + 1

    def _read(self, contract: Contract, where: str) -> Iterator[CsvRecord]:
        yield from _records(self._lines, contract, where)
        self.ended = True

    def _texts(self) -> Iterator[str]:
        while piece := self._blocks.piece(PIECE_BYTES):
            if text := self._decoder.decode(piece):
                yield text
        if rest := self._decoder.decode(b"", final=True):
            yield rest


def _records(lines: _Lines, contract: Contract, where: str) -> Iterator[CsvRecord]:
    """Yield the records of a file, header and blank lines included.

    A quote that never closes makes its own line broken; the lines that it would swallow are read
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
                raise RunRefusedError(
                    f"{where}: the file is cut: a quote that opens on line {first} never closes, "
                    "and the last line has no end; fetch it again"
                ) from error
            fields, reason = _reparse(lines, contract.source.separator)
        text = (
            lines.record_lines[0] if len(lines.record_lines) == 1 else "".join(lines.record_lines)
        )
        fault = lines.fault(first)
        if not fault and fields and len(text) > longest and max(map(len, fields)) > longest:
            fault = "a field above the bound"
        if fault:
            fields, reason = None, fault
        yield CsvRecord(first, fields, text, reason, lines.last)


def _reparse(lines: _Lines, separator: str) -> tuple[list[str] | None, str]:
    """Return the fields of a record with a misplaced quote, or why it has none.

    Text after a closing quote on the same line is accepted as it is. If a quote continues over line
    ends, it is not a quote: the lines that it swallowed are read again.
    """
    if len(lines.record_lines) > 1 or lines.starved:
        lines.rewind()
        return None, "a quote never closes"
    try:
        fields = next(csv.reader(lines.record_lines, delimiter=separator))
    except csv.Error:
        return None, "a field above the bound"
    if fields[-1].endswith(("\r", "\n")):
        return None, "a quote never closes"
    return fields, ""


class _Lines:
    """Physical lines, numbered from 1, and the lines of the current record."""

    def __init__(self, texts: Iterator[str], longest: int, first: int = 1) -> None:
        """Cut lines of more than `longest` characters and record a fault for each."""
        self.number = first - 1
        self.record_lines: list[str] = []
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
            self.starved = bool(self.record_lines)
            raise StopIteration
        line = self._ready.popleft()
        self.number += 1
        self.record_lines.append(line)
        return line

    def begin(self) -> int:
        """Begin a record; return the number of its first line."""
        self.record_lines = []
        return self.number + 1

    def rewind(self) -> None:
        """Give back every line of the record but its first."""
        self.starved = False
        self._ready.extendleft(reversed(self.record_lines[1:]))
        self.number -= len(self.record_lines) - 1
        del self.record_lines[1:]

    def fault(self, first: int) -> str:
        """Return what is wrong with the lines since line `first`; empty if nothing is."""
        if not self._faults:
            return ""
        found = [self._faults.pop(line, "") for line in range(first, self.number + 1)]
        return next((fault for fault in found if fault), "")

    @property
    def is_clean(self) -> bool:
        """Whether no line that was read ahead has a fault or is cut."""
        return not self._overlong and not self._faults

    @property
    def pending_text(self) -> str:
        """The text that was read ahead."""
        return "".join(self._ready) + self._tail

    @property
    def last(self) -> bool:
        """Whether the file ended with this record, without a line end."""
        return self.unended and not self._ready

    def _fill(self) -> bool:
        """Prepare the next lines; return False after the last."""
        while not self._ready:
            text = next(self._texts, None)
            if text is None:
                return self._finish()
            text = self._tail + text
            lines = io.StringIO(text, newline="").readlines()
            # A carriage return at the end may be half of a line end.
            self._tail = "" if lines[-1].endswith("\n") else lines.pop()
            self._enqueue(lines, _BAD.search(text))
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
        self._enqueue([line], _BAD.search(line))
        return True

    def _enqueue(self, lines: list[str], suspect: re.Match[str] | None) -> None:
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
