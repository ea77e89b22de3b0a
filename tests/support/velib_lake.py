"""A small lake of Vélib': five stations and five hours, in the tables the job makes of them.

Areas are summed here from the stations, so that every layer says the same; what the reports must
make of them is calculated by hand in the tests.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.wifi_lake import Row

MINUTE = 60_000
PARIS = ZoneInfo("Europe/Paris")
_ZEROS = (
    "ahead_observations", "no_capacity_observations", "counts_disagree_observations",
    "kinds_disagree_observations", "full_ms", "empty_ms", "unusable_ms",
)  # fmt: skip
_NAMED = ("slot_start", "neighbourhood", "local_day", "local_hour")


@dataclass(frozen=True)
class StationHour:
    """What a station did in an hour: some minutes with one state, open unless it is closed."""

    hour: str
    """Such as `2025-06-05T02`."""
    station: str
    neighbourhood: str
    minutes: int
    mechanical: int
    ebikes: int
    docks: int
    observations: int = 6
    closed: bool = False
    stale: bool = False
    report_age: float = 2.0
    """Minutes from its newest report to the fetch that shows it."""
    fetched_minute: int = 59
    """Minute of the fetch that shows it last."""
    moved: tuple[int, int] = (0, 0)
    odd: int = 0
    """By how many bikes the published sum is above the kinds, in each observation."""

    def row(self) -> Row:
        """Its row of `velib_station_hours`."""
        begin = datetime.fromisoformat(f"{self.hour}:00:00+00:00").astimezone(UTC)
        covered = 0 if self.stale else self.minutes * MINUTE
        is_open = 0 if self.closed else covered
        bikes = self.mechanical + self.ebikes
        fetched = begin + timedelta(minutes=self.fetched_minute)
        state = {(True, False): "empty_ms", (False, True): "full_ms", (True, True): "unusable_ms"}
        lacking = state.get((bikes == 0, self.docks == 0))
        return dict.fromkeys(_ZEROS, 0) | ({lacking: is_open} if lacking else {}) | {
            "slot_start": begin.isoformat(),
            "stationcode": self.station,
            "neighbourhood": self.neighbourhood,
            "local_day": begin.astimezone(PARIS).date().isoformat(),
            "local_hour": begin.astimezone(PARIS).hour,
            "observations": self.observations,
            "stale_observations": self.observations if self.stale else 0,
            "closed_observations": self.observations if self.closed else 0,
            "kinds_disagree_observations": self.observations if self.odd else 0,
            "bikes_seen": self.observations * (bikes + self.odd),
            "kinds_seen": self.observations * bikes,
            "covered_ms": covered,
            "open_ms": is_open,
            "bike_ms": is_open * bikes,
            "mechanical_ms": is_open * self.mechanical,
            "ebike_ms": is_open * self.ebikes,
            "dock_ms": is_open * self.docks,
            "bikes_min": bikes if is_open else None,
            "bikes_max": bikes if is_open else None,
            "ebikes_min": self.ebikes if is_open else None,
            "ebikes_max": self.ebikes if is_open else None,
            "differences": 5,
            "departures": self.moved[0],
            "arrivals": self.moved[1],
            "last_reported_at": (fetched - timedelta(minutes=self.report_age)).isoformat(),
            "last_fetched_at": fetched.isoformat(),
            "last_mechanical": self.mechanical,
            "last_ebike": self.ebikes,
            "last_docks": self.docks,
            "last_is_closed": self.closed,
        }  # fmt: skip


def area_rows(hours: Iterable[StationHour]) -> list[Row]:
    """The rows of `velib_area_hours` that those of the stations add up to."""
    sums: dict[tuple[Any, ...], dict[str, int]] = {}
    for each in hours:
        row = each.row()
        total = sums.setdefault(tuple(row[name] for name in _NAMED), defaultdict(int))
        total["stations"] += int(each.observations > 0)
        total["open_stations"] += int(row["open_ms"] > 0)
        for name, value in row.items():
            if name not in (*_NAMED, "stationcode") and not name.startswith(
                ("last_", "bikes_m", "ebikes_m")
            ):
                total[name] += value
    return [dict(zip(_NAMED, key, strict=True)) | dict(total) for key, total in sums.items()]


def change(hour: str, station: str, neighbourhood: str, **facts: Any) -> Row:
    """A row of `velib_station_changes`, seen at the hour's first fetch."""
    return {
        "slot_start": f"{hour}:00:00+00:00",
        "seen_at": f"{hour}:09:00+00:00",
        "stationcode": station,
        "neighbourhood": neighbourhood,
        "name": f"Place {station}",
        "capacity": 30,
        "lat": 48.85,
        "lon": 2.35,
        "area_is_told": True,
    } | facts


def accepted(
    run: str,
    outcome: str = "accepted",
    *header: str,
    unknown: str = "",
    layout: str = "export v2.1",
) -> Row:
    """An event of a split, with layout and header of its one file."""
    file = {
        "shape": layout,
        "header": header,
        "unknown": {unknown: 'as "stationcode": 1'} if unknown else {},
    }
    return {
        "event_id": f"{run} {outcome}",
        "at": datetime.strptime(run, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).isoformat(),
        "step": "split",
        "outcome": outcome,
        "dataset": "velib_stations",
        "run": run,
        "detail": json.dumps({"files": [file]}, ensure_ascii=False),
    }
