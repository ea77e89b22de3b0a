"""Split a batch of records into slots; check each row, and reject it with a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from catalog.contract import Contract
from catalog.runs import Run
from functions.core.contracts import is_slot, own_slot
from functions.parsing import arrays
from functions.parsing.batch import TextBatch
from functions.validation.repairs import Repairs
from functions.validation.values import ColumnCheck, checks, instant

QUARTER_SECONDS = 900
"""Since 1973 the offsets of all zones are multiples of this."""

_MOST_SLOTS = 100_000

_OFFSETS_ARE_QUARTERS = datetime(1973, 1, 1, tzinfo=UTC).timestamp()

LATE = "later than late_until"
"""The reason for a row that comes too long after its slot."""


@dataclass(frozen=True)
class RejectedRow:
    """A rejected row; `slot` is None if the row has none."""

    line: int
    reason: str
    slot: str | None
    text: str


@dataclass
class SlottedBatch:
    """A batch by slot: rows of text columns and `line`, and the newest event time of each."""

    tables: dict[str, pa.RecordBatch] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    """Slot → seconds since 1970."""
    rejects: list[RejectedRow] = field(default_factory=list)
    """In order of line."""
    repaired: Counter[str] = field(default_factory=Counter)
    """How many values were repaired, by column and repair."""
    bytes: int = 0
    """The memory of all the tables together."""


class RowSlotter:
    """Splits the batches of one run into slots, record by record."""

    def __init__(self, contract: Contract, run: Run) -> None:
        """`run` gives the slot of kinds with one slot for each run, and decides what is late."""
        self._contract = contract
        self._run = run
        self.checks = checks(contract, run)
        """The checks of each column of the contract."""
        self.repairs = Repairs(contract)
        """The repairs of values before they are checked."""
        names = [column.name for column in contract.columns]
        self._names = names
        self.time = names.index(contract.time_column) if contract.time_column else None
        """Index of the time column, if there is one."""
        self.fixed_slot = own_slot(contract, run)
        """The slot of every row, for kinds with one slot for each run; else None."""
        self._requested_slot = run.requested_slot if is_slot(contract, run.requested_slot) else None
        self._slots: dict[int, str] = {}
        self._slot_faults: dict[str, str | None] = {}

    def cut(self, batch: TextBatch) -> SlottedBatch:
        """Split a batch into rows by slot, and its rejects."""
        cleaned = [c.clean(v) for c, v in zip(self.checks, batch.columns, strict=True)]
        columns, repaired = self.repairs.apply(cleaned)
        faults, untimed = _faults(self.checks, columns, self.time)
        instants = self._instants(columns, untimed)
        rejects = [RejectedRow(b.line, b.reason, self.fixed_slot, b.text) for b in batch.broken]
        rows: dict[str, list[int]] = {}
        newest: dict[str, float] = {}
        for at, line in enumerate(batch.lines):
            second = instants[at]
            slot = self.fixed_slot or (None if second is None else self.slot(second))
            fault = faults.get(at) if faults else None
            if slot is None:
                fault = fault or "no slot"
            elif late := self.slot_fault(slot):
                fault, slot = fault or late, None
            if fault is not None:
                rejects.append(RejectedRow(line, fault, slot, batch.texts[at]))
                continue
            assert slot is not None  # noqa: S101 - else it has a fault
            rows.setdefault(slot, []).append(at)
            if second is not None and second > newest.get(slot, float("-inf")):
                newest[slot] = second
        rejects.sort(key=lambda reject: reject.line)
        tables = self._tables(columns, batch.lines, rows)
        return SlottedBatch(
            tables=tables,
            bytes=sum(table.nbytes for table in tables.values()),
            newest=newest,
            rejects=rejects,
            repaired=repaired,
        )

    def _instants(self, columns: list[list[str | None]], untimed: set[int]) -> list[float | None]:
        """Return each row's event time in seconds since 1970; None if missing or wrong."""
        count = len(columns[0]) if columns else 0
        if self.time is None:
            return [None] * count
        zone = self._contract.calendar.zone
        found: list[float | None] = []
        for at, text in enumerate(columns[self.time]):
            moment = instant(text, zone) if text is not None and at not in untimed else None
            found.append(None if moment is None else moment.timestamp())
        return found

    def slot(self, second: float) -> str:
        """Return the slot of an instant, cached by quarter of an hour, which no offset splits."""
        moment = datetime.fromtimestamp(second, UTC)
        if second < _OFFSETS_ARE_QUARTERS:
            return self._contract.calendar.slot(moment)
        quarter = int(second // QUARTER_SECONDS)
        found = self._slots.get(quarter)
        if found is None:
            if len(self._slots) >= _MOST_SLOTS:
                self._slots.clear()
            found = self._slots[quarter] = self._contract.calendar.slot(moment)
        return found

    def slot_fault(self, slot: str) -> str | None:
        """Return why this run may have no row of a slot; None if it may."""
        if slot not in self._slot_faults:
            fault = None
            if self._requested_slot is not None and slot != self._requested_slot:
                fault = "outside the asked slot"
            elif self._contract.too_late(slot, self._run):
                fault = LATE
            self._slot_faults[slot] = fault
        return self._slot_faults[slot]

    def _tables(
        self, columns: list[list[str | None]], lines: list[int], rows: dict[str, list[int]]
    ) -> dict[str, pa.RecordBatch]:
        texts = [arrays.texts(values) for values in columns]
        whole = pa.record_batch(
            [*texts, arrays.integers(np.array(lines, np.int64))], names=[*self._names, "line"]
        )
        if len(rows) == 1 and len(next(iter(rows.values()))) == len(lines):
            return dict.fromkeys(rows, whole)
        return {
            slot: whole.take(arrays.integers(np.array(at, np.int64))) for slot, at in rows.items()
        }


def _faults(
    column_checks: tuple[ColumnCheck, ...], columns: list[list[str | None]], time: int | None
) -> tuple[dict[int, str], set[int]]:
    """Map each row to its first fault by column; also return the rows with a wrong time."""
    faults: dict[int, str] = {}
    untimed: set[int] = set()
    for at, (check, values) in enumerate(zip(column_checks, columns, strict=True)):
        found = check.faults(values)
        if at == time:
            untimed.update(found)
        for row, fault in found.items():
            faults.setdefault(row, fault)
    return faults, untimed
