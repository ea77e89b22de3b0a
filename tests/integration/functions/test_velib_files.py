"""Every sample of Vélib' through `split`: names, types, places and repairs of seven years."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.contract import DATASETS, load
from catalog.records import Outcome, SplitRecord
from tests.support.split_cloud import NOW, Desk

VELIB = Path(__file__).parents[2] / "data" / "velib"
CONTRACT = load(DATASETS / "velib_stations.toml")
INFORMATION = VELIB / "gbfs_2024-11-19_banacchini_station_information.json"
STATUS = VELIB / "gbfs_2024-11-19_banacchini_station_status.json"
V1 = VELIB / "2020-06-24_hosuaby_v1_records.json"
LABELS = VELIB / "2025-04-01_IF36_disponibilite.csv"
HOURLY = VELIB / "velib_20250605_020356.csv"
EXAMPLE = VELIB / "v21_records_example_2026.json"
Row = dict[str, Any]


def split(desk: Desk, *bodies: bytes) -> tuple[SplitRecord, list[Row]]:
    """The record of a run of these bodies, later than every sample, and its rows."""
    record = desk.run_split(CONTRACT, *bodies, at=NOW.replace(year=2026))
    return record, [row for part in record.parts for row in desk.rows(part)]


def of(rows: Sequence[Row], code: str) -> Row:
    """The one row of a station, without what is empty."""
    [found] = [row for row in rows if row["stationcode"] == code]
    return {
        name: value
        for name, value in found.items()
        if value is not None and name not in ("run", "line")
    }


FILES = [
    # files, rows, how many of them tell each column, a row
    ([V1], 1398, {"capacity": 1398, "lat": 1398, "ebike": 1398, "insee": 0},
     {"stationcode": "12109", "name": "Mairie du 12ème", "is_installed": "OUI", "is_renting": "OUI",
      "is_returning": "OUI", "capacity": "30", "numdocksavailable": "25", "numbikesavailable": "4",
      "mechanical": "2", "ebike": "2", "duedate": "2020-06-24T12:56:28+02:00",
      "lat": "48.8408553118", "lon": "2.38755494356", "area": "Paris"}),
    ([INFORMATION, STATUS], 1485, {"capacity": 1485, "lat": 1485, "mechanical": 1485, "ebike": 1485, "name": 1485, "area": 0},
     {"stationcode": "44015", "name": "Rouget de L'isle - Watteau", "is_installed": "1", "is_renting": "1",
      "is_returning": "1", "capacity": "20", "numdocksavailable": "15", "numbikesavailable": "5",
      "mechanical": "1", "ebike": "4", "duedate": "1732001953", "lat": "48.778192750803", "lon": "2.3963020229163"}),
    ([STATUS, INFORMATION], 1485, {"capacity": 1485, "lat": 1485, "name": 1485}, None),
    ([STATUS], 1485, {"capacity": 0, "lat": 0, "name": 0, "mechanical": 1485}, None),
    ([LABELS], 1471, {"capacity": 1471, "lat": 1471, "insee": 1471},
     {"stationcode": "16107", "name": "Benjamin Godard - Victor Hugo", "is_installed": "OUI",
      "is_renting": "OUI", "is_returning": "OUI", "capacity": "0", "numdocksavailable": "26",
      "numbikesavailable": "5", "mechanical": "2", "ebike": "3", "duedate": "2025-04-01T17:54:42+02:00",
      "lat": "48.865983", "lon": "2.275725", "area": "Paris", "insee": "75056"}),
    ([HOURLY], 1000, {"capacity": 0, "lat": 0, "ebike": 1000, "duedate": 1000}, None),
    ([EXAMPLE], 2, {"capacity": 2, "lat": 2, "insee": 2},
     {"stationcode": "12507", "name": "Hippodrome de Paris Vincennes", "is_installed": "OUI",
      "is_renting": "NON", "is_returning": "NON", "capacity": "105", "numdocksavailable": "97",
      "numbikesavailable": "3", "mechanical": "2", "ebike": "1", "duedate": "2026-02-22T18:30:40+00:00",
      "lat": "48.820484866661", "lon": "2.4502807724015", "area": "Paris", "insee": "75056"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "count", "told", "row"),
    FILES,
    ids=["v1", "GBFS", "GBFS turned", "status alone", "labels", "hourly", "v2.1"],
)
def test_every_sample_is_taken_whole(
    desk: Desk, files: list[Path], count: int, told: dict[str, int], row: Row | None
) -> None:
    record, rows = split(desk, *(file.read_bytes() for file in files))
    assert record.outcome is Outcome.ACCEPTED, record.reason
    assert (record.rows_in, len(rows), record.quarantine) == (count, count, None)
    assert {name: sum(row[name] is not None for row in rows) for name in told} == told
    assert all(not report.unknown_columns for report in record.files)
    if row:
        assert of(rows, row["stationcode"]) == row


def test_names_that_were_decoded_wrongly_are_mended_and_counted(desk: Desk) -> None:
    record, rows = split(desk, INFORMATION.read_bytes(), STATUS.read_bytes())
    assert record.repaired == {"name: mojibake": 519}
    names = {row["stationcode"]: row["name"] for row in rows}
    assert not [name for name in names.values() if re.search("[ÃÂƒ�]", name)]
    assert "Jules Guesde - Pont du Port à l'Anglais" in names.values()
    assert any("Charléty" in name for name in names.values())


ERAS: list[tuple[str, bytes, Row]] = [
    ("2018, API v1", json.dumps({"nhits": 1, "records": [{"datasetid": "velib", "fields": {
        "station_state": "Operative", "creditcard": "no", "station_code": "16107", "nbedock": 35,
        "station_name": "Benjamin Godard", "nbbike": 4, "nbebike": 1, "nbfreeedock": 30, "nbdock": 0,
        "nbfreedock": 0, "densitylevel": "1", "geo": [48.865983, 2.275725],
        "duedate": "2018-11-02T10:15:00+00:00"}}]}).encode(),
     {"is_installed": "true", "capacity": "35", "mechanical": "4", "ebike": "1",
      "numdocksavailable": "30", "duedate": "2018-11-02T10:15:00+00:00", "name": "Benjamin Godard"}),
    ("2018, the site's own", json.dumps([{"station": {"gps": {"latitude": 48.865983, "longitude": 2.275725},
        "state": "Close", "name": "Benjamin Godard", "code": "16107", "dueDate": 1541153700},
        "nbBike": 4, "nbEbike": 1, "nbFreeEDock": 30, "nbEDock": 35}]).encode(),
     {"is_installed": "false", "capacity": "35", "mechanical": "4", "ebike": "1",
      "numdocksavailable": "30", "duedate": "1541153700", "name": "Benjamin Godard"}),
    ("2019, xy", json.dumps([{"fields": {"stationcode": "16107", "capacity": 35, "numbikesavailable": 5,
        "last_reported": 1571153700, "xy": [48.865983, 2.275725], "numdocksavailable": 30, "is_installed": 1}}]).encode(),
     {"is_installed": "1", "capacity": "35", "numbikesavailable": "5", "numdocksavailable": "30",
      "duedate": "1571153700"}),
    ("API v2.0", json.dumps({"total_count": 1, "records": [{"record": {"id": "x", "fields": {
        "stationcode": "16107", "numbikesavailable": 5, "numdocksavailable": 30, "is_renting": "yes",
        "duedate": "2021-11-19T07:35:04+00:00", "coordonnees_geo": {"lat": 48.865983, "lon": 2.275725}}}}]}).encode(),
     {"numbikesavailable": "5", "numdocksavailable": "30", "is_renting": "true",
      "duedate": "2021-11-19T07:35:04+00:00"}),
    ("written from a data frame", (b"stationcode;is_installed;numdocksavailable;numbikesavailable;duedate;"
     b"coordonnees_geo\n16107.0;1.0;30.0;5.0;2021-11-19 07:35:04+00:00;\"{'lon': 2.275725, 'lat': 48.865983}\"\n"),
     {"is_installed": "true", "numbikesavailable": "5.0", "numdocksavailable": "30.0",
      "duedate": "2021-11-19 07:35:04+00:00"}),
    ("camelCase", json.dumps([{"stationCode": "16107", "numBikesAvailable": 5, "numDocksAvailable": 30,
        "isInstalled": True, "isRenting": False, "lastReported": "2024-11-19", "lat": 2.275725, "lon": 48.865983,
        "numBikesAvailableTypes": [{"ebike": 1}, {"mechanical": 4}]}]).encode(),
     {"is_installed": "true", "is_renting": "false", "numbikesavailable": "5", "mechanical": "4",
      "ebike": "1", "numdocksavailable": "30", "duedate": "2024-11-19"}),
    ("GBFS as its standard says", json.dumps({"data": {"stations": [{"station_id": "16107", "is_installed": True,
        "num_bikes_available": 5, "num_bikes_available_types": {"mechanical": 4, "ebike": 1},
        "num_docks_available": 30, "last_reported": "2024-11-19T07:35:04Z", "lat": 48.865983, "lon": 2.275725}]}}).encode(),
     {"is_installed": "true", "numbikesavailable": "5", "mechanical": "4", "ebike": "1",
      "numdocksavailable": "30", "duedate": "2024-11-19T07:35:04Z"}),
    ("GeoJSON", json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature",
        "geometry": {"type": "Point", "coordinates": [2.275725, 48.865983]},
        "properties": {"stationcode": "16107", "numbikesavailable": 5, "numdocksavailable": 30,
        "duedate": "2024-11-19T08:35:04+01:00", "coordonnees_geo": [2.275725, 48.865983]}}]}).encode(),
     {"numbikesavailable": "5", "numdocksavailable": "30", "duedate": "2024-11-19T08:35:04+01:00"}),
    ("API names, CSV", (b"stationcode;name;is_installed;capacity;numdocksavailable;numbikesavailable;"
     b"mechanical;ebike;is_renting;is_returning;duedate;coordonnees_geo;nom_arrondissement_communes;"
     b"code_insee_commune\r\n16107;Benjamin Godard;OUI;35;30;5;4;1;OUI;NON;2024-11-19 07:35:04;"
     b"48.865983, 2.275725;Paris;75056.0\r\n"),
     {"is_installed": "OUI", "is_renting": "OUI", "is_returning": "NON", "capacity": "35",
      "mechanical": "4", "ebike": "1", "numbikesavailable": "5", "numdocksavailable": "30",
      "duedate": "2024-11-19 07:35:04", "area": "Paris", "insee": "75056", "name": "Benjamin Godard"}),
]  # fmt: skip


LABELS_2019 = (
    "Nombre de bornes disponibles;Nombre vélo en PARK+;Nombres de bornes en station;PARK + activation;"
    "densityLevel;Achat possible en station (CB);maxBikeOverflow;Etat du Totem;nbFreeDock;Nombre de "
    "vélo mécanique;PARK +;nbDock;Nombre vélo électrique;Nombre vélo en PARK+;Code de la station;Nom "
    "de la station;Etat des stations;Type de stations;geo;duedate\n"
    '28;0;35;no;1;no;0;yes;2;5;no;3;2;0;16107;Benjamin Godard;Operative;yes;"48.865983, 2.275725";2018-07-15\n'
)
"""The label CSV as a public README of 2019 prints it, with docks without current put in by hand."""

OF_LABELS_2019 = {
    "is_installed": "true", "capacity": "38", "mechanical": "5", "ebike": "2", "name": "Benjamin Godard",
    "numdocksavailable": "30", "duedate": "2018-07-15",
}  # fmt: skip

JCDECAUX = {
    "number": 16107, "name": "16107 - BENJAMIN GODARD", "address": "2 RUE B. GODARD - 75116 PARIS",
    "banking": True, "bonus": False, "status": "OPEN", "contract_name": "Paris", "bike_stands": 35,
    "available_bike_stands": 30, "available_bikes": 5,
}  # fmt: skip
"""A station of the operator until 2017, by hand after what public clients print of its answers."""

OF_JCDECAUX = {
    "name": "16107 - BENJAMIN GODARD", "is_installed": "true", "capacity": "35",
    "numdocksavailable": "30", "numbikesavailable": "5",
}  # fmt: skip

ERAS += [
    ("2018, docks without current", json.dumps({"records": [{"fields": {
        "station_state": "Work in progress", "station_code": "16107", "nbedock": 1, "nbdock": 22, "nbbike": 0,
        "nbebike": 1, "nbfreeedock": 1, "nbfreedock": 21, "geo": [48.865983, 2.275725], "duedate": "2018-03-15",
        "dist": "82.07", "station": '{"code": "16107", "dueDate": 1521154800}'}}]}).encode(),
     {"is_installed": "false", "capacity": "23", "mechanical": "0", "ebike": "1",
      "numdocksavailable": "22", "duedate": "2018-03-15"}),
    ("2018, the site's own, whole", json.dumps([{"station": {"gps": {"latitude": 48.865983, "longitude": 2.275725},
        "state": "Operative", "name": "B", "code": "16107", "type": "yes", "dueDate": 1516230038.268},
        "nbBike": 8, "nbEbike": 1, "nbFreeDock": 3, "nbFreeEDock": 19, "creditCard": "no", "nbDock": 4,
        "nbEDock": 28, "nbBikeOverflow": 0, "nbEBikeOverflow": 0, "kioskState": "no", "overflow": "yes",
        "overflowActivation": "yes", "maxBikeOverflow": 28, "densityLevel": 1}]).encode(),
     {"is_installed": "true", "capacity": "32", "mechanical": "8", "ebike": "1", "name": "B",
      "numdocksavailable": "22", "duedate": "1516230038.268"}),
    ("2019, labels", LABELS_2019.encode(), OF_LABELS_2019),
    ("2019, labels, Windows-1252", LABELS_2019.encode("cp1252"), OF_LABELS_2019),
    ("2019, labels, UTF-16", LABELS_2019.encode("utf-16"), OF_LABELS_2019),
    ("2019, labels, gzip", gzip.compress(LABELS_2019.encode()), OF_LABELS_2019),
    ("2019, labels, tabs", LABELS_2019.replace(";", "\t").encode(), OF_LABELS_2019),
    ("2019, labels, commas", LABELS_2019.replace(";", ",").encode(), OF_LABELS_2019),
    ("until 2017, the operator's API", json.dumps([JCDECAUX | {"last_update": 1457640392000,
        "position": {"lat": 48.865983, "lng": 2.275725}}]).encode(), OF_JCDECAUX | {"duedate": "1457640392000"}),
    ("until 2017, API v1", json.dumps({"nhits": 1, "records": [{"fields": JCDECAUX | {
        "banking": "True", "last_update": "2017-04-15T12:14:25+00:00", "position": [48.865983, 2.275725]}}]}).encode(),
     OF_JCDECAUX | {"duedate": "2017-04-15T12:14:25+00:00"}),
    ("until 2017, CSV", (b"number;name;address;position;banking;bonus;status;contract_name;bike_stands;"
     b"available_bike_stands;available_bikes;last_update\n16107;16107 - BENJAMIN GODARD;2 RUE;48.865983, 2.275725;"
     b"True;True;CLOSED;Paris;35;30;5;2016-01-19T22:04:25+01:00\n"),
     OF_JCDECAUX | {"is_installed": "false", "duedate": "2016-01-19T22:04:25+01:00"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "row"), [era[1:] for era in ERAS], ids=[era[0] for era in ERAS])
def test_other_eras_do_as_well(desk: Desk, body: bytes, row: Row) -> None:
    record, rows = split(desk, body)
    assert record.outcome is Outcome.ACCEPTED, record.reason
    place = {"lat": "48.865983", "lon": "2.275725"}
    assert of(rows, "16107") == {"stationcode": "16107", **place, **row}
    assert record.files[0].unknown_columns == {}


def test_gbfs_3_tells_the_sum_of_its_vehicles(desk: Desk) -> None:
    """By hand after the standard: kinds stand by ids of a file that is not fetched, so they are null."""
    station = {"station_id": "213688169", "stationCode": "16107"}
    told = {"name": [{"text": "Godard", "language": "fr"}], "lat": 48.865983, "lon": 2.275725}
    state = {
        "num_vehicles_available": 5, "num_docks_available": 30, "is_installed": True, "is_renting": True,
        "is_returning": False, "last_reported": "2024-11-19T08:35:04+01:00",
        "vehicle_types_available": [{"vehicle_type_id": "a", "count": 4}, {"vehicle_type_id": "b", "count": 1}],
    }  # fmt: skip
    bodies = [
        json.dumps({"version": "3.0", "data": {"stations": [station | more]}}).encode()
        for more in (told, state)
    ]
    record, rows = split(desk, *bodies)
    assert of(rows, "16107") == {
        "stationcode": "16107", "name": "Godard", "lat": "48.865983", "lon": "2.275725",
        "numbikesavailable": "5", "numdocksavailable": "30", "is_installed": "true",
        "is_renting": "true", "is_returning": "false", "duedate": "2024-11-19T08:35:04+01:00",
    }  # fmt: skip
    assert [list(report.unknown_columns) for report in record.files] == [
        [],
        ["vehicle_types_available"],
    ]


def test_ids_in_place_of_codes_are_refused(desk: Desk) -> None:
    """Else a pair without codes would be a network of other stations."""
    bodies = []
    for path in (INFORMATION, STATUS):
        document = json.loads(path.read_bytes())
        for station in document["data"]["stations"]:
            station.pop("stationCode", None)
        bodies.append(json.dumps(document).encode())
    made, _ = split(desk, *bodies)
    assert made.outcome is Outcome.REFUSED
    assert "stationcode: not of the pattern" in (made.reason or "")


REFUSED = [
    ("no total and no kind", {"stationcode": "1", "duedate": "2024-11-19", "numdocksavailable": 1, "velos": 3},
     "none of the columns numbikesavailable, mechanical is there"),
    ("no docks", {"stationcode": "1", "duedate": "2024-11-19", "numbikesavailable": 1, "bornettes": 3},
     '(numdocksavailable) is missing; the header has 4 columns: stationcode, duedate'),
    ("no time", {"stationcode": "1", "maj": "2024-11-19", "numbikesavailable": 1, "numdocksavailable": 1},
     '(duedate) is missing'),
    ("no code", {"id": "1", "duedate": "2024-11-19", "numbikesavailable": 1, "numdocksavailable": 1},
     '(stationcode) is missing'),
    ("one kind", {"stationcode": "1", "duedate": "2024-11-19", "ebike": 1, "numdocksavailable": 1},
     "none of the columns numbikesavailable, mechanical is there"),
    ("the operator's API v3", {"number": 1, "lastUpdate": "2019-04-08T12:23:34Z", "totalStands": "{}"},
     '(numdocksavailable) is missing; the header has 3 columns: number, lastUpdate, totalStands'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (0, "duedate: not a timestamp (1485)"),
        (None, "duedate: empty (1485)"),
        ("None", "duedate: not a timestamp (1485)"),
        ("2031-01-01T00:00:00Z", "duedate: in the future (1485)"),
    ],
)
def test_no_era_without_a_time_is_taken(desk: Desk, time: object, said: str) -> None:
    stations = json.loads(STATUS.read_bytes())["data"]["stations"]
    body = json.dumps([station | {"last_reported": time} for station in stations])
    made, _ = split(desk, body.encode())
    assert made.outcome is Outcome.REFUSED
    assert (
        f"1485 of 1485 rows are rejected, more than the contract allows (a share of 0.05): {said}"
        in (made.reason or "")
    )


@pytest.mark.parametrize(("record", "said"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
@pytest.mark.parametrize("form", ["JSON", "CSV"])
def test_an_unknown_layout_is_refused_by_the_columns_name(
    desk: Desk, record: Row, said: str, form: str
) -> None:
    lines = [";".join(record), ";".join(map(str, record.values()))]
    body = json.dumps([record]) if form == "JSON" else "\n".join(lines) + "\n"
    made, _ = split(desk, body.encode())
    assert made.outcome is Outcome.REFUSED
    assert said in (made.reason or "")
