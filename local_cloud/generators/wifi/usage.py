"""A Paris Wi-Fi usage export, made up: of any size, seeded, written as a stream.

Its numbers say nothing about Paris: whoever serves it declares the origin `synthetic`. The same
`Export` gives the same bytes on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import BinaryIO

import numpy as np

from local_cloud.generators.rng import Draws, Integers
from local_cloud.generators.wifi.faults import Fault, with_fault
from local_cloud.generators.wifi.layouts import ExportLayout, Printer, Sessions
from local_cloud.generators.wifi.population import (
    BYTES_IN,
    LIMIT_SECONDS,
    LONGEST_SECONDS,
    Population,
    population,
)

BLOCK_ROWS = 8192
"""Rows of a block: all that is ever in memory."""


class RowOrder(StrEnum):
    """The order of an export's rows."""

    RANDOM = "random"
    TIME = "time"
    """By the instant a session starts."""


@dataclass(frozen=True)
class Export:
    """A made-up export. `rows` counts every row but the header, faulty ones and duplicates too.

    Sessions start on the local days from `first` to `last`, both included, the years as in
    `population.VOLUMES` to each other. `faults` gives the share of rows that have each. Raises
    ValueError for what cannot be made.
    """

    rows: int
    seed: int = 1
    first: date = date(2019, 1, 1)
    last: date = date(2024, 12, 31)
    order: RowOrder = RowOrder.RANDOM
    layout: ExportLayout = ExportLayout.LABELS
    faults: Mapping[Fault, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shares = self.faults.values()
        if self.rows < 0 or not 0 <= self.seed < 2**64:
            raise ValueError(f"rows {self.rows}, seed {self.seed}: neither may be negative")
        if self.first > self.last:
            raise ValueError(f"{self.first} to {self.last}: the first day comes after the last")
        if any(share < 0 for share in shares) or sum(shares) > 1:
            raise ValueError(f"shares of faults {dict(self.faults)}: give 1 at most in all")

    def sized(self, size: int) -> Export:
        """Return this export with rows for about `size` bytes, estimated from one block."""
        head, block = blocks(replace(self, rows=BLOCK_ROWS))
        body = max(0, size - len(head.data))
        return replace(self, rows=body * BLOCK_ROWS // len(block.data))


@dataclass(frozen=True)
class Tally:
    """The content of an export: rows, bytes, rows by local month of a readable start, faults."""

    rows: int = 0
    bytes: int = 0
    months: Counter[str] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rows + other.rows, self.bytes + other.bytes,
            self.months + other.months, self.faults + other.faults,
        )  # fmt: skip


@dataclass(frozen=True)
class RowBlock:
    """A piece of an export: whole lines, and what is in them."""

    data: bytes
    tally: Tally


def write(export: Export, sink: BinaryIO) -> Tally:
    """Write an export; return what is in it."""
    tally = Tally()
    for block in blocks(export):
        sink.write(block.data)
        tally += block.tally
    return tally


def generate_rows(export: Export) -> bytes:
    """Build the bytes of a small export."""
    return b"".join(block.data for block in blocks(export))


def blocks(export: Export) -> Iterator[RowBlock]:
    """Generate an export in pieces: the header, then `BLOCK_ROWS` rows a piece."""
    head = export.layout.head.encode()
    yield RowBlock(head, Tally(bytes=len(head)))
    drawn_from = population(export.first, export.last)
    printer = Printer(export.layout, drawn_from)
    for number, begin in enumerate(range(0, export.rows, BLOCK_ROWS)):
        count = min(BLOCK_ROWS, export.rows - begin)
        draws = Draws(export.seed, number)
        sessions = _sessions(export, drawn_from, draws, begin, count)
        faults = _faults(export, draws, count)
        origins = _origins(export.order, draws, faults)
        lines = _lines(printer.lines(sessions), export.layout, faults, origins)
        data = "".join(lines).encode()
        months = _months(drawn_from.hours.month[sessions.hour[origins]], faults)
        yield RowBlock(data, Tally(count, len(data), months, Counter(f for f in faults if f)))


def _sessions(
    export: Export, drawn_from: Population, draws: Draws, begin: int, count: int
) -> Sessions:
    """Draw the sessions of `count` rows from row `begin` on."""
    hours = drawn_from.hours
    moment = _moments(export, hours.weight, draws, begin, count)
    hour = np.searchsorted(hours.before, moment, side="right") - 1
    width = hours.before[hour + 1] - hours.before[hour]
    second = (moment - hours.before[hour]) * 3600 // width
    year = hours.year[hour]
    site, language, device = draws.choices(count, 3)
    at_limit = draws.fractions(count) < drawn_from.at_limit[year, hours.kind[hour]]
    over = LONGEST_SECONDS - LIMIT_SECONDS + 1
    short = drawn_from.short.draw(draws, count)
    bytes_in = BYTES_IN.draw(draws, count)
    bytes_out = bytes_in // (2 + draws.below(18, count))
    return Sessions(
        hour=hour,
        second=second,
        duration=np.where(at_limit, LIMIT_SECONDS + draws.below(over, count), short),
        site=drawn_from.site[site],
        device=drawn_from.device[year, device],
        language=drawn_from.language[year, language],
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        packets_in=bytes_in // (500 + draws.below(900, count)) + 1,
        packets_out=bytes_out // (60 + draws.below(400, count)) + 1,
    )


def _moments(export: Export, weight: int, draws: Draws, begin: int, count: int) -> Integers:
    """Draw the rows' starts as positions in the weight of all hours.

    In order of time the weight is cut into as many strips as there are rows, and each row gets a
    random position in its own strip: the rows are sorted, and nothing has to be stored.
    """
    place = draws.fractions(count)
    if export.order is RowOrder.TIME:
        place = (np.arange(begin, begin + count) + place) / export.rows
    return np.minimum((place * weight).astype(np.int64), weight - 1)


def _faults(export: Export, draws: Draws, count: int) -> list[Fault | None]:
    """Draw each row's fault."""
    kinds = [kind for kind in Fault if kind in export.faults]
    if not kinds:
        return [None] * count
    ends = np.cumsum([export.faults[kind] for kind in kinds])
    places = np.searchsorted(ends, draws.fractions(count), side="right").tolist()
    return [kinds[at] if at < len(kinds) else None for at in places]


def _origins(order: RowOrder, draws: Draws, faults: list[Fault | None]) -> Integers:
    """Find the row of the block to print: the row itself, or for a duplicate one before it.

    In order of time that is the row before. One that has a fault itself is not taken twice; where
    none is left the duplicate is struck from `faults`.
    """
    origins = np.arange(len(faults))
    for at in [at for at, fault in enumerate(faults) if fault is Fault.DUPLICATE]:
        chosen = at - 1 if order is RowOrder.TIME else int(draws.below(max(at, 1), 1)[0])
        if at > 0 and faults[chosen] is None:
            origins[at] = chosen
        else:
            faults[at] = None
    return origins


def _lines(
    lines: list[str], layout: ExportLayout, faults: Sequence[Fault | None], origins: Integers
) -> list[str]:
    """Print the lines with their faults."""
    for at, fault in enumerate(faults):
        if fault is Fault.DUPLICATE:
            lines[at] = lines[int(origins[at])]
        elif fault:
            lines[at] = with_fault(lines[at], fault, layout, at)
    return lines


def _months(months: Integers, faults: Sequence[Fault | None]) -> Counter[str]:
    """Count rows by local month, without those that have no readable start."""
    readable = [fault is not Fault.UNREADABLE_START for fault in faults]
    found, counts = np.unique(months[np.array(readable, dtype=bool)], return_counts=True)
    return Counter(
        {
            f"{month // 12}-{month % 12 + 1:02}": n
            for month, n in zip(found.tolist(), counts.tolist(), strict=True)
        }
    )
