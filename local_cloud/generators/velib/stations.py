"""The stations of a made-up bike share network: real ones, and as many more as needed.

The real ones are the publisher's of 24 June 2020, with the bikes and free docks they had then. A
further station repeats a real one under its own code and close to it: nobody rides there.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any

_SNAPSHOT = (
    Path(__file__).parents[3] / "tests" / "data" / "velib" / "2020-06-24_hosuaby_v1_records.json"
)

_CODES = 1_000
"""Codes of an area: its number and three digits."""

_APART_DEGREES = 0.0003
"""How far a further station lies from the one it repeats: 33 m."""


@dataclass(frozen=True)
class Station:
    """A station as the publisher shows it, with its bikes and docks at that time."""

    code: str
    name: str
    area: str
    latitude: float
    longitude: float
    capacity: int
    mechanical: int
    ebike: int
    docks: int
    """Free docks: with the bikes all places that can be used, which need not be the capacity."""
    installed: bool
    renting: bool
    returning: bool


def stations(count: int) -> tuple[Station, ...]:
    """Build `count` stations in order of their code; raise ValueError if codes run out."""
    real = _real()
    found = list(real[:count])
    real_codes = {station.code for station in real}
    free = {area: _free_codes(area, real_codes) for area in {_area(each.code) for each in real}}
    used: Counter[str] = Counter()
    for station in islice(cycle(real), len(real) * _CODES):
        if len(found) >= count:
            break
        codes, at = free[_area(station.code)], used[_area(station.code)]
        if at < len(codes):
            found.append(_neighbour(station, codes[at], at + 1))
            used[_area(station.code)] += 1
    if len(found) < count:
        raise ValueError(f"{count} stations: {len(found)} is all that codes of three digits give")
    return tuple(sorted(found, key=lambda station: int(station.code)))


@cache
def _real() -> tuple[Station, ...]:
    """Read the stations of the snapshot, in order of their code."""
    records = json.loads(_SNAPSHOT.read_bytes())
    return tuple(sorted((_station(r["fields"]) for r in records), key=lambda s: int(s.code)))


def _station(fields: dict[str, Any]) -> Station:
    """Convert a record to a station."""
    latitude, longitude = fields["coordonnees_geo"]
    return Station(
        code=fields["stationcode"], name=fields["name"],
        area=fields["nom_arrondissement_communes"], latitude=latitude, longitude=longitude,
        capacity=fields["capacity"], mechanical=fields["mechanical"], ebike=fields["ebike"],
        docks=fields["numdocksavailable"], installed=fields["is_installed"] == "OUI",
        renting=fields["is_renting"] == "OUI", returning=fields["is_returning"] == "OUI",
    )  # fmt: skip


def _area(code: str) -> str:
    """Cut the last three digits off a code."""
    return code[:-3]


def _free_codes(area: str, real_codes: set[str]) -> list[str]:
    """List the codes of an area that no real station has, in order."""
    codes = (f"{area}{number:03}" for number in range(_CODES))
    return [code for code in codes if code not in real_codes]


def _neighbour(station: Station, code: str, number: int) -> Station:
    """Repeat a station under another code and a little further north."""
    return replace(
        station,
        code=code,
        name=f"{station.name} ({number})",
        latitude=round(station.latitude + _APART_DEGREES, 10),
    )
