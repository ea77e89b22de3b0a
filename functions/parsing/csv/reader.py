"""Read CSV as publishers write it: quoted separators and line breaks, any line end."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future
from itertools import chain

import msgspec
import numpy as np

from catalog.contract import Contract
from functions.parsing.batch import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    SAMPLE_CHARACTERS,
    BrokenRecord,
    Seen,
    TextBatch,
    item_of,
    sum_of,
)
from functions.parsing.csv.blocks import Block
from functions.parsing.csv.grid import Grid, grid
from functions.parsing.csv.record_blocks import RecordBlockReader
from functions.parsing.csv.slow_path import PIECE_BYTES, CsvRecord, Row, SlowPathReader
from functions.parsing.header import (
    FieldPosition,
    HeaderMapping,
    RunRefusedError,
    map_header,
    preview,
    require_columns,
    require_one_of,
)

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}

BLOCK_BYTES = 2 << 20
"""Bytes of a block: large enough that the fixed costs of a block are small."""

_AHEAD = 2

_SLOW_CHARACTERS = 1 << 15

_MOST_SLOW_CHARACTERS = 4 << 20
"""How many characters the slow path reads before blocks are tried again: at first, at most."""


class CsvReader:
    """Reads one CSV file by the contract's separator.

    Regular blocks are read by the fast path, which finds all their records at once (`grid`). From
    an irregular place on, Python's own reader reads records one by one for a while.
    """

    def __init__(
        self, contract: Contract, where: str, pool: Executor, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """`where` names the file in error texts; `pool` searches blocks.

        If `block_bytes` is 0, all records are read one by one.
        """
        self.seen = Seen(shape="csv")
        self._contract = contract
        self._where = where
        self._pool = pool
        self._block_bytes = block_bytes if _is_ascii(contract.source.separator) else 0
        self._slow_characters = 0

    def batches(self, pieces: Iterator[bytes]) -> Iterator[TextBatch | Block]:
        """Yield the records of the file below its header; `pieces` are UTF-8.

        Raises RunRefusedError for a header that misses a required column, another separator, and a
        last record that is cut.
        """
        first = next(pieces, b"")
        self._contract = _separated(self._contract, first)
        blocks = RecordBlockReader(chain((first,), pieces), self._block_bytes)
        slow_path = SlowPathReader(blocks, self._contract, self._where, 1)
        head = next((record.fields for record in slow_path.records if record.fields), None)
        if head is None:
            raise RunRefusedError(f"{self._where}: the file has no header")
        found = self._layout(head)
        width = len(head)
        if any(place is not None and place.plus for place in found.places):
            self._block_bytes = 0  # blocks hold texts as they are, and a sum is calculated
        while True:
            yield from self._read_slowly(slow_path, found, width)
            if slow_path.ended:
                return
            line = yield from self._read_blocks(blocks, found, width, slow_path.stop())
            slow_path = SlowPathReader(blocks, self._contract, self._where, line)

    def _read_slowly(
        self, slow_path: SlowPathReader, found: HeaderMapping, width: int
    ) -> Iterator[TextBatch]:
        """Yield records read one by one, until a place from which blocks may be tried."""
        rows: list[Row] = []
        size = total = 0
        while not (
            self._block_bytes and total >= self._slow_characters and slow_path.can_resume_fast_path
        ):
            record = next(slow_path.records, None)
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

    def _read_blocks(
        self, blocks: RecordBlockReader, found: HeaderMapping, width: int, line: int
    ) -> Generator[Block, None, int]:
        """Yield regular blocks up to an irregular place; return the line there."""
        ahead: deque[tuple[bytes, Future[Grid]]] = deque()
        separator = ord(self._contract.source.separator)
        longest = self._contract.bounds.field_bytes_max
        size = 0
        while True:
            while len(ahead) < _AHEAD and (data := blocks.block()):
                ahead.append((data, self._pool.submit(grid, data, separator, width, longest)))
            if not ahead:
                break
            data, future = ahead.popleft()
            block = Block(future.result().moved(line), found.places)
            line = block.grid.next_line
            size += block.grid.end
            if block.count:
                self._sample(block, found)
                yield block
            if block.grid.end < len(data):
                blocks.unread(data[block.grid.end :], *(each for each, _ in ahead))
                break
        # If faults are frequent, searching a block for a few records costs more than it saves.
        self._slow_characters = (
            _SLOW_CHARACTERS
            if size >= self._slow_characters
            else min(2 * self._slow_characters, _MOST_SLOW_CHARACTERS)
        )
        return line

    def _sample(self, block: Block, found: HeaderMapping) -> None:
        """Store the first value of each unknown column."""
        for name, at in found.unknown.items():
            if self.seen.unknown[name]:
                continue
            filled = np.flatnonzero(block.grid.lengths(at))[:1]
            for value in block.grid.columns([at], filled)[0].to_pylist():
                self.seen.unknown[name] = (value or "")[:SAMPLE_CHARACTERS]

    def _layout(self, header: list[str]) -> HeaderMapping:
        self.seen.header = [name.strip() for name in header]
        self._refuse_separator(header)
        try:
            found = map_header(self._contract, header)
        except RunRefusedError as error:
            raise RunRefusedError(f"{self._where}: {error}") from error
        self.seen.aliases = found.aliases
        self.seen.missing = [column.name for column in found.missing]
        self.seen.unknown = dict.fromkeys(found.unknown, "")
        require_columns(found.missing, self.seen.header, self._where, list(found.unknown))
        require_one_of(self._contract, found.missing, self.seen.header, self._where)
        return found

    def _refuse_separator(self, header: list[str]) -> None:
        """Raise RunRefusedError if another separator would split the only column of the header."""
        source = self._contract.source
        wanted = (source.separator, *source.separators)
        if len(header) > 1:
            return
        for other, name in _SEPARATORS.items():
            if other not in wanted and header[0].count(other) > 0:
                declared = " or ".join(_SEPARATORS.get(each, repr(each)) for each in wanted)
                raise RunRefusedError(
                    f"{self._where}: fields are separated by {name}, the contract says {declared}: "
                    f"the header is {preview(header)!r}; correct source.separator if the publisher "
                    "has changed it, or add it to source.separators"
                )

    def _row(self, record: CsvRecord, width: int) -> Row:
        if record.fields is None:
            return BrokenRecord(record.line, record.reason, record.text)
        if len(record.fields) != width:
            if record.last and len(record.fields) < width:
                raise RunRefusedError(
                    f"{self._where}: the file is cut: line {record.line}, its last, has "
                    f"{len(record.fields)} of {width} fields and no line end; fetch it again"
                )
            return BrokenRecord(record.line, "wrong number of fields", record.text)
        return record

    def _batch(self, rows: list[Row], found: HeaderMapping) -> TextBatch:
        good = [row for row in rows if isinstance(row, CsvRecord)]
        seen = list(zip(*(row.fields for row in good if row.fields), strict=True))
        for name, at in found.unknown.items():
            if seen and not self.seen.unknown[name]:
                sample = next((value for value in seen[at] if value), "")
                self.seen.unknown[name] = sample[:SAMPLE_CHARACTERS]
        return TextBatch(
            lines=[row.line for row in good],
            columns=[_column(place, seen, len(good)) for place in found.places],
            texts=[row.text for row in good],
            broken=[row for row in rows if isinstance(row, BrokenRecord)],
        )


def _separated(contract: Contract, head: bytes) -> Contract:
    """Return the contract with the separator that its header uses; `head` begins the file."""
    source = contract.source
    header = head.lstrip()[:PIECE_BYTES].partition(b"\n")[0].decode("utf-8", "replace")
    found = max((source.separator, *source.separators), key=header.count)
    return msgspec.structs.replace(
        contract, source=msgspec.structs.replace(source, separator=found)
    )


def _is_ascii(separator: str) -> bool:
    return separator.isascii() and separator not in '\r\n"'


def _column(place: FieldPosition | None, seen: list[tuple[str, ...]], count: int) -> list[str]:
    if place is None or not seen:
        return [""] * count
    if place.plus:
        fields = (seen[at] for at in (place.index, *place.plus))
        return [sum_of(values) for values in zip(*fields, strict=True)]
    if place.item is None:
        return list(seen[place.index])
    return [item_of(value, place.item) for value in seen[place.index]]
