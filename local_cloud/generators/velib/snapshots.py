"""Snapshots of a made-up bike share network: real stations, seeded movement, any length.

Whoever serves them declares the origin `synthetic`. The same `Network` gives the same snapshots on
every machine; one is in memory at a time. Bikes are neither made nor lost: what has left a station
is under way until it finds a free dock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from local_cloud.generators.rng import Draws, Integers
from local_cloud.generators.velib.stations import Station, stations

TICK = timedelta(minutes=10)
"""From one snapshot to the next: six an hour."""

TICKS_A_DAY = 144

PARIS = ZoneInfo("Europe/Paris")

_HOURS = (4, 2, 2, 1, 1, 2, 5, 12, 22, 16, 12, 13, 16, 15, 14, 15, 18, 26, 28, 22, 16, 12, 9, 6)
"""How many of a hundred tries to take a bike succeed, by the local hour: made up."""

_TRIES = 2
"""How many times in a tick somebody tries to take a bike of each kind at a station."""

_SILENT = 0.125
"""Share of the stations that show their last report again."""

_REVISED = 0.02
"""Share of the silent stations that show other counts under the same time, as in June 2025."""

_STALE_DAYS = 400

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Faults:
    """Shares of the stations that have a fault from the first snapshot on."""

    no_capacity: float = 0.01
    stale: float = 0.02
    """No report for days."""
    closed: float = 0.02


@dataclass(frozen=True)
class StationNetwork:
    """A network to be made up. Raises ValueError for what cannot be made."""

    first: datetime
    """The tick of the first snapshot, aware."""
    stations: int = 1_500
    seed: int = 1
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if self.stations < 1 or not 0 <= self.seed < 2**64:
            raise ValueError(f"stations {self.stations}, seed {self.seed}: too few, or negative")
        if self.first.utcoffset() is None:
            raise ValueError(f"{self.first}: the first tick needs an offset")


@dataclass(frozen=True)
class Snapshot:
    """What the publisher shows at a tick, a number for each station."""

    tick: datetime
    stations: tuple[Station, ...]
    capacity: Integers
    installed: Flags
    mechanical: Integers
    ebike: Integers
    docks: Integers
    reported: Integers
    """Seconds since 1970 of each station's last report."""
    standing: int
    """Bikes at the stations at the tick, reported or not: not published, nor is the next."""
    under_way: int


def snapshots(network: StationNetwork) -> Iterator[Snapshot]:
    """Generate the snapshots of a network, from its first tick on, without an end."""
    network_stations = stations(network.stations)
    moving = _Moving(network, network_stations)
    tick, number = network.first, 0
    while True:
        number += 1
        moving.step(tick, Draws(network.seed, number))
        yield moving.snapshot(tick)
        tick += TICK


class _Moving:
    """Where the bikes are, and what each station reported last."""

    def __init__(self, network: StationNetwork, network_stations: tuple[Station, ...]) -> None:
        """Start as the real snapshot had it, with the faults of the network."""
        self._stations = network_stations
        count, chance = len(network_stations), Draws(network.seed, 0)
        faults = network.faults
        closed, stale, bare = (
            chance.fractions(count) < share
            for share in (faults.closed, faults.stale, faults.no_capacity)
        )
        self._installed = np.array([each.installed for each in network_stations]) & ~closed
        capacity = np.array([each.capacity for each in network_stations], dtype=np.int64)
        self._capacity = np.where(bare, 0, capacity)
        self._used = self._installed & ~stale
        self._bikes = [
            np.array([getattr(each, kind) for each in network_stations], dtype=np.int64)
            for kind in ("mechanical", "ebike")
        ]
        self._docks = np.array([each.docks for each in network_stations], dtype=np.int64)
        self._under_way = [0, 0]
        begin = int((network.first - TICK).timestamp())
        days = np.where(stale, 2 + chance.below(_STALE_DAYS, count), 0)
        self._reported = begin - chance.below(600, count) - 86_400 * days
        self._last_counts = [*self._bikes, self._docks]

    def step(self, tick: datetime, chance: Draws) -> None:
        """Move the bikes of the ten minutes before a tick, and let stations report."""
        hour = _HOURS[tick.astimezone(PARIS).hour] / 100
        for kind in (0, 1):
            self._leave(kind, hour, chance)
            self._arrive(kind, chance)
        count = len(self._stations)
        silent = chance.fractions(count) < _SILENT
        reports = self._used & ~silent
        revised = self._used & silent & (chance.fractions(count) < _REVISED)
        when = int(tick.timestamp()) - chance.below(600, count)
        self._reported = np.where(reports, when, self._reported)
        now = (*self._bikes, self._docks)
        self._last_counts = [
            np.where(reports | revised, new, old)
            for new, old in zip(now, self._last_counts, strict=True)
        ]

    def snapshot(self, tick: datetime) -> Snapshot:
        """Build the snapshot of a tick."""
        mechanical, ebike, docks = self._last_counts
        return Snapshot(
            tick, self._stations, self._capacity, self._installed, mechanical, ebike, docks,
            self._reported, sum(int(each.sum()) for each in self._bikes), sum(self._under_way),
        )  # fmt: skip

    def _leave(self, kind: int, hour: float, chance: Draws) -> None:
        """Take bikes of a kind from the stations in use."""
        count = len(self._stations)
        wanted = np.zeros(count, dtype=np.int64)
        for _ in range(_TRIES):
            wanted += chance.fractions(count) < hour
        left = np.where(self._used, np.minimum(wanted, self._bikes[kind]), 0)
        self._bikes[kind] = self._bikes[kind] - left
        self._docks = self._docks + left
        self._under_way[kind] += int(left.sum())

    def _arrive(self, kind: int, chance: Draws) -> None:
        """Bring half of what is under way to a station each, where it finds a free dock."""
        count = len(self._stations)
        to = chance.below(count, self._under_way[kind] // 2)
        room = np.where(self._used, self._docks, 0)
        came = np.minimum(np.bincount(to, minlength=count), room)
        self._bikes[kind] = self._bikes[kind] + came
        self._docks = self._docks - came
        self._under_way[kind] -= int(came.sum())
