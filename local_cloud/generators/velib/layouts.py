"""Snapshots as publishers print them: the export of API v2.1, the pair of GBFS, and as rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from local_cloud.generators.velib.snapshots import Flags, Snapshot
from local_cloud.generators.velib.stations import Station

_PARIS = "Paris"
_PARIS_CODE = "75056"
_IDS = 213_688_169
"""The first `station_id`: a number that is no station's code, as in the feed."""


def export(snapshot: Snapshot) -> bytes:
    """Print the snapshot as `exports/json` of API v2.1 does: an array of records."""
    records = (_record(*row) for row in _each(snapshot))
    return json.dumps(list(records), ensure_ascii=False).encode()


def gbfs(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """Print the snapshot as `station_information` and `station_status`, joined on `station_id`."""
    numbered = list(enumerate(_each(snapshot), _IDS))
    descriptions = [_information(number, row[0], row[1]) for number, row in numbered]
    states = [_status(number, *row) for number, row in numbered]
    seconds = int(snapshot.tick.timestamp())
    information, status = (
        json.dumps({"lastUpdatedOther": seconds, "ttl": 3600, "data": {"stations": each}}).encode()
        for each in (descriptions, states)
    )
    return information, status


def rows(snapshot: Snapshot, columns: Sequence[str]) -> pa.RecordBatch:
    """Build the rows that `split` cuts from the export, without parsing it: text except `line`.

    `columns` are the contract's; raises KeyError for one that the export does not have.
    """
    places = snapshot.stations
    bikes = snapshot.mechanical + snapshot.ebike
    instants = pa.array(snapshot.reported, pa.timestamp("s"))
    texts: dict[str, Any] = {
        "stationcode": [each.code for each in places],
        "name": [each.name for each in places],
        "is_installed": _words(snapshot.installed),
        "is_renting": _words(snapshot.installed & np.array([each.renting for each in places])),
        "is_returning": _words(snapshot.installed & np.array([each.returning for each in places])),
        "capacity": _texts(snapshot.capacity),
        "numdocksavailable": _texts(snapshot.docks),
        "numbikesavailable": _texts(bikes),
        "mechanical": _texts(snapshot.mechanical),
        "ebike": _texts(snapshot.ebike),
        "duedate": pc.strftime(instants, "%Y-%m-%dT%H:%M:%S+00:00"),
        "lat": [repr(each.latitude) for each in places],
        "lon": [repr(each.longitude) for each in places],
        "area": [each.area for each in places],
        "insee": [_PARIS_CODE if each.area == _PARIS else None for each in places],
    }
    arrays = [pa.array(texts[name], pa.string()) for name in columns]
    line = pa.array(range(1, len(places) + 1), pa.int64())
    return pa.record_batch([*arrays, line], names=[*columns, "line"])


def _each(snapshot: Snapshot) -> Iterator[tuple[Station, int, bool, int, int, int, int]]:
    """Iterate station, capacity, whether in service, bikes by kind, free docks, last report."""
    return zip(
        snapshot.stations, snapshot.capacity.tolist(), snapshot.installed.tolist(),
        snapshot.mechanical.tolist(), snapshot.ebike.tolist(), snapshot.docks.tolist(),
        snapshot.reported.tolist(), strict=True,
    )  # fmt: skip


def _record(
    station: Station, capacity: int, installed: bool, mechanical: int, ebike: int, docks: int,
    reported: int,
) -> dict[str, Any]:  # fmt: skip
    """Build a record of the export, its fields in the publisher's order."""
    return {
        "stationcode": station.code,
        "name": station.name,
        "is_installed": _word(installed),
        "capacity": capacity,
        "numdocksavailable": docks,
        "numbikesavailable": mechanical + ebike,
        "mechanical": mechanical,
        "ebike": ebike,
        "is_renting": _word(installed and station.renting),
        "is_returning": _word(installed and station.returning),
        "duedate": datetime.fromtimestamp(reported, UTC).isoformat(),
        "coordonnees_geo": {"lon": station.longitude, "lat": station.latitude},
        "nom_arrondissement_communes": station.area,
        "code_insee_commune": _PARIS_CODE if station.area == _PARIS else None,
        "station_opening_hours": None,
    }


def _information(number: int, station: Station, capacity: int) -> dict[str, Any]:
    return {
        "station_id": number, "stationCode": station.code, "name": station.name,
        "lat": station.latitude, "lon": station.longitude, "capacity": capacity,
    }  # fmt: skip


def _status(
    number: int, station: Station, _: int, installed: bool, mechanical: int, ebike: int,
    docks: int, reported: int,
) -> dict[str, Any]:  # fmt: skip
    """Build a station of `station_status`, with both spellings of its counts."""
    bikes = mechanical + ebike
    return {
        "station_id": number, "num_bikes_available": bikes, "numBikesAvailable": bikes,
        "num_bikes_available_types": [{"mechanical": mechanical}, {"ebike": ebike}],
        "num_docks_available": docks, "numDocksAvailable": docks, "is_installed": int(installed),
        "is_returning": int(installed and station.returning),
        "is_renting": int(installed and station.renting), "last_reported": reported,
        "stationCode": station.code,
    }  # fmt: skip


def _word(value: bool) -> str:
    """Print a truth value as the export does."""
    return "OUI" if value else "NON"


def _words(values: Flags) -> list[str]:
    """Print truth values as the export does."""
    return [_word(value) for value in values.tolist()]


def _texts(values: Any) -> Any:
    """Print whole numbers as text."""
    return pa.array(values).cast(pa.string())
