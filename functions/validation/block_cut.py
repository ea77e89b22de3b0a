"""Split a block into slots with vectorized checks; the result equals that of `slotting`.

Rows that are certainly valid are found here. Every reject, and every value in doubt, is decided by
the checks of `values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog.contract import Contract
from catalog.runs import Run
from functions.parsing import arrays
from functions.parsing.batch import TextBatch
from functions.parsing.csv.blocks import Block
from functions.parsing.csv.grid import Rows
from functions.validation.instants import Mask, instants
from functions.validation.proofs import Texts, doubts, is_plain_time
from functions.validation.slot_codes import Codes, SlotCodes
from functions.validation.slotting import RowSlotter, SlottedBatch
from functions.validation.values import ColumnCheck, instant, time_limits

_NO_SLOT = -1
_NO_LIMITS = (float("-inf"), float("inf"))


class BlockCutter:
    """Splits the records of one run into slots; safe to use from several threads."""

    def __init__(self, contract: Contract, run: Run) -> None:
        """`run` gives the slot of kinds with one slot for each run, and decides what is late."""
        self._cutter = RowSlotter(contract, run)
        self._zone = contract.calendar.zone
        self._codes = SlotCodes(contract.calendar)
        self._doubts = [doubts(check, contract, run) for check in self._cutter.checks]
        self._schema = pa.schema(
            [(column.name, pa.string()) for column in contract.columns] + [("line", pa.int64())]
        )
        time = self._cutter.time
        self._limits = (
            time_limits(contract.columns[time], contract, run) if time is not None else _NO_LIMITS
        )

    def cut(self, records: TextBatch | Block) -> SlottedBatch:
        """Split records into rows by slot, and the rejects among them."""
        if isinstance(records, TextBatch):
            return self._cutter.cut(records)
        if self._cutter.repairs.any:  # a value that needs one is not in doubt by its letters
            return self._cutter.cut(records.whole())
        times = self._times(records)
        codes = self._slots(times)
        order = np.flatnonzero(codes != _NO_SLOT)
        # Of 8 or 16 bits numpy sorts by counting, an eighth of the time.
        width = np.min_scalar_type(len(self._codes.names))
        order = order[np.argsort(codes[order].astype(width), kind="stable")]
        columns, good = self._columns(records, order, times.read)
        if not good.all():
            order = order[good]
            columns = [column.filter(arrays.flags(good)) for column in columns]
        taken = np.zeros(records.grid.rows, np.bool_)
        taken[order] = True
        told = self._told(records, np.flatnonzero(~taken))
        if told.tables:  # a row in doubt was good after all: keep the order of the file
            return self._cutter.cut(records.whole())
        return self._gathered(records, columns, order, codes[order], times.seconds[order], told)

    def _times(self, block: Block) -> _Times:
        """Return when each record happened."""
        time = self._cutter.time
        place = block.places[time] if time is not None else None
        rows = block.grid.rows
        if time is None or place is None:
            return _Times(np.full(rows, np.nan), np.zeros(rows, np.bool_), {})
        if place.item is not None:
            return self._doubted(block, np.full(rows, np.nan), np.zeros(rows, np.bool_))
        grid = block.grid
        seconds, read = instants(grid.bytes, grid.starts(place.index), grid.lengths(place.index))
        first, last = self._limits
        read &= (seconds >= first) & (seconds <= last)
        return self._doubted(block, np.where(read, seconds, np.nan), read)

    def _doubted(self, block: Block, seconds: npt.NDArray[np.float64], read: Mask) -> _Times:
        """Add the times that are not of the usual forms, as `values` parses them."""
        time = self._cutter.time
        assert time is not None  # noqa: S101 - else there are no times
        doubted = np.flatnonzero(~read)
        if not len(doubted):
            return _Times(seconds, read, {})
        found = block.columns(doubted, [time])[0].dictionary_encode()
        check = self._cutter.checks[time]
        texts = check.clean([text or "" for text in [*found.dictionary.to_pylist(), None]])
        wrong = check.faults(texts)
        moments: list[float] = []
        for at, text in enumerate(texts):
            moment = instant(text, self._zone) if text is not None and at not in wrong else None
            moments.append(float("nan") if moment is None else moment.timestamp())
        seconds[doubted] = np.array(moments)[arrays.codes(found, len(texts) - 1)]
        others = {
            int(row): second
            for row, second in zip(doubted, seconds[doubted], strict=True)
            if second == second
        }
        return _Times(seconds, read, others)

    def _slots(self, times: _Times) -> Codes:
        """Return the number of each record's slot; -1 if it has none or one that is not allowed."""
        own = self._cutter.fixed_slot
        if own is not None:
            codes = np.full(len(times.seconds), self._codes.code(own), np.int32)
        else:
            whole = np.where(times.read, times.seconds, 0).astype(np.int64)
            codes = self._codes.codes(whole, times.read)
            for row, second in times.others.items():
                codes[row] = self._codes.code(self._cutter.slot(second))
        for code in np.flatnonzero(np.bincount(codes[codes != _NO_SLOT])).tolist():
            if self._cutter.slot_fault(self._codes.names[code]):
                codes[codes == code] = _NO_SLOT
        return codes

    def _columns(self, block: Block, order: Rows, timed: Mask) -> tuple[list[pa.StringArray], Mask]:
        """Return columns of some records, and which have no fault; `timed` are proved."""
        good = np.ones(len(order), np.bool_)
        columns = []
        if not len(order):
            return [], good
        whole = block.columns(order)
        for at, check in enumerate(self._cutter.checks):
            texts = Texts.of(whole[at])
            known = at == self._cutter.time and is_plain_time(check.column)
            doubted = ~timed[order] & texts.filled if known else self._doubts[at](texts)
            column = texts.array
            if not check.column.nullable:
                good &= texts.filled
            if doubted.any():
                column, wrong = _decided(check, column, np.flatnonzero(doubted))
                good[wrong] = False
            columns.append(column)
        return columns, good

    def _told(self, block: Block, rows: Rows) -> SlottedBatch:
        """Return the rejects among records that were not accepted, and the broken ones."""
        if not len(rows) and not block.broken:
            return SlottedBatch()
        batch = block.batch(rows)
        batch.broken = block.broken
        return self._cutter.cut(batch)

    def _gathered(
        self, block: Block, columns: Sequence[pa.StringArray], order: Rows, codes: Codes,
        seconds: npt.NDArray[np.float64], told: SlottedBatch,
    ) -> SlottedBatch:  # fmt: skip
        """Build one table for each slot from rows in order of slot."""
        if not len(order):
            return told
        lines = arrays.integers(block.grid.lines[order])
        rows = pa.RecordBatch.from_arrays([*columns, lines], schema=self._schema)
        begins = np.flatnonzero(np.diff(codes, prepend=-1))
        counts = np.diff(begins, append=len(order))
        newest = np.fmax.reduceat(seconds, begins)
        cut = SlottedBatch(rejects=told.rejects, bytes=rows.nbytes)
        for begin, count, second in zip(begins.tolist(), counts.tolist(), newest, strict=True):
            slot = self._codes.names[codes[begin]]
            cut.tables[slot] = rows.slice(begin, count)
            if not np.isnan(second):
                cut.newest[slot] = float(second)
        return cut


@dataclass(frozen=True)
class _Times:
    """Seconds since 1970 of each record, not a number where it has none."""

    seconds: npt.NDArray[np.float64]
    read: Mask
    """Which are of the usual forms."""
    others: dict[int, float]
    """Record → seconds of the others that are times."""


def _decided(check: ColumnCheck, column: pa.StringArray, rows: Rows) -> tuple[pa.StringArray, Rows]:
    """Return the column as a part keeps some of its rows, and which of these are wrong."""
    every = len(rows) == len(column)
    found = (column if every else column.take(arrays.integers(rows))).dictionary_encode()
    values = [value or "" for value in [*found.dictionary.to_pylist(), None]]
    kept = check.clean(values)
    wrong = np.zeros(len(values), np.bool_)
    wrong[list(check.faults(kept))] = True
    codes = arrays.codes(found, len(values) - 1)
    if kept[:-1] != values[:-1]:
        told = arrays.texts(kept).take(arrays.integers(codes))
        mask = np.zeros(len(column), np.bool_)
        mask[rows] = True
        column = told if every else pc.replace_with_mask(column, arrays.flags(mask), told)
    return column, rows[wrong[codes]]
