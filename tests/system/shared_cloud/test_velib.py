"""Vélib' through the whole chain: every sample, and snapshots that are wrong, by `try`.

Counts are those of the files themselves (`tests/data/velib/LICENCE.md` says where they are from).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.contract import load_all
from local_cloud.cli import trial
from local_cloud.cli.trial import Served
from local_cloud.cloud import REPOSITORY, LocalCloud
from tests.support.house import House

pytestmark = pytest.mark.timeout(600)

CONTRACT = load_all()["velib_stations"]
SAMPLES = REPOSITORY / "tests" / "data" / "velib"
V1 = SAMPLES / "2020-06-24_hosuaby_v1_records.json"
INFORMATION = SAMPLES / "gbfs_2024-11-19_banacchini_station_information.json"
STATUS = SAMPLES / "gbfs_2024-11-19_banacchini_station_status.json"
LABELS = SAMPLES / "2025-04-01_IF36_disponibilite.csv"
HOURLY = {
    "00:49": "004808", "02:09": "020356", "02:19": "020358", "02:29": "021045", "02:39": "021051",
    "03:09": "021051", "04:09": "040002", "05:09": "050003",
}  # fmt: skip
"""Time of a fetch on 5 June 2025 → the file's clock; that of 03:00:03 has the bytes of 02:10:51."""
EXAMPLE = SAMPLES / "v21_records_example_2026.json"
PAGE = b"<!DOCTYPE html><html><title>Attention Required!</title></html>"
SQL = """
SELECT slot_start, COUNT(*) AS rows_out, COUNT(lat) AS places, SUM(mechanical + ebike) AS kinds,
  SUM(numbikesavailable) AS bikes, SUM(ebike) AS ebikes, SUM(numdocksavailable) AS docks, COUNTIF(is_stale) AS stale,
  COUNTIF(is_closed) AS closed, COUNTIF(has_no_capacity) AS no_capacity, COUNTIF(counts_disagree) AS disagree,
  MIN(lat) AS south, MAX(lon) AS east, COUNTIF(is_installed) AS installed
FROM lake.velib_observations WHERE slot_start >= '2012-01-01' GROUP BY 1
"""
CODES = "SELECT stationcode FROM lake.velib_observations WHERE slot_start = '2025-04-01 15:00:00+00' AND stationcode LIKE '13118%' ORDER BY 1"
LEDGER = "SELECT slot, revised FROM ops.loads WHERE dataset = 'velib_stations'"


def disagreeing(folder: Path) -> tuple[Path, Path]:
    """The pair of 2024 of which three stations have no state, two no name, one another code."""
    made = []
    for path, lost in ((INFORMATION, slice(0, 2)), (STATUS, slice(10, 13))):
        document = json.loads(path.read_bytes())
        stations = document["data"]["stations"]
        del stations[lost]
        if path is STATUS:
            stations[20]["stationCode"] = "0"
        made.append(folder / path.name)
        made[-1].write_text(json.dumps(document))
    return made[0], made[1]


def misplaced() -> bytes:
    """The export of 2025 in which the first station is at 0, 0 and the next two lie exchanged."""
    head, first, second, third, *rest = LABELS.read_bytes().splitlines(keepends=True)
    lines = [first.replace(b"48.865983, 2.275725", b"0, 0")]
    for line in (second, third):
        fields = line.split(b";")
        north, _, east = fields[11].partition(b", ")
        lines.append(b";".join([*fields[:11], east + b", " + north, *fields[12:]]))
    return b"".join([head, *lines, *rest])


def served(folder: Path) -> list[Served]:
    """Every run with its time: the samples, and after them what is wrong."""

    def body(name: str, given: bytes) -> Path:
        path = folder / name
        path.write_bytes(given)
        return path

    lines = LABELS.read_bytes().splitlines(keepends=True)
    runs: list[tuple[str, tuple[Path, ...]]] = [
        ("2020-06-24T11:29", (V1,)),
        ("2024-11-19T08:29", (INFORMATION, STATUS)),
        ("2024-11-19T09:09", disagreeing(folder)),
        ("2025-04-01T15:59", (LABELS,)),
        ("2025-04-01T16:09", (body("hundred.csv", b"".join(lines[:101])),)),
        ("2025-04-01T16:19", (body("half.csv", b"".join(lines[:736])),)),
        ("2025-04-01T16:29", (body("misplaced.csv", misplaced()),)),
        *(
            (f"2025-06-05T{clock}", (SAMPLES / f"velib_20250605_{name}.csv",))
            for clock, name in HOURLY.items()
        ),
        ("2026-04-02T07:39", (EXAMPLE,)),
        ("2026-04-02T07:49", (EXAMPLE,)),
        ("2026-04-02T07:59", (body("page.json", PAGE),)),
        ("2026-04-02T08:09", (body("error.json", b'{"error_code": "ODSQLError", "message": "no"}'),)),
    ]  # fmt: skip
    return [Served(paths, datetime.fromisoformat(time).replace(tzinfo=UTC)) for time, paths in runs]


@pytest.fixture(scope="module")
def document(system_cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Report what `try` says of them all; the cloud's clock is past the first of them."""
    House(system_cloud).fresh()
    runs = served(tmp_path_factory.mktemp("velib"))
    return trial.try_files(system_cloud, CONTRACT, runs, [SQL, CODES, LEDGER])


def counts(document: dict[str, Any]) -> list[tuple[str, Any]]:
    """Outcome and counts of each run's slot."""
    return [
        (
            file["outcome"],
            next((tuple(slot.values()) for slot in file["slots"].values()), file["reason"]),
        )
        for file in document["files"]
    ]


APART = {
    "station_id: in gbfs_2024-11-19_banacchini_station_information.json alone": 3,
    "station_id: not in gbfs_2024-11-19_banacchini_station_information.json": 2,
    "stationCode: the files disagree": 1,
}


def test_every_run_is_taken_whole_or_refused_with_a_reason(document: dict[str, Any]) -> None:
    assert document["failures"] == []
    found = counts(document)
    refused = {at: told for at, (outcome, told) in enumerate(found) if outcome == "refused"}
    assert {at: told for at, told in enumerate(found) if at not in refused} == {
        0: ("accepted", (1398, 1398, {}, 0)),
        1: ("accepted", (1485, 1485, {}, 0)),
        2: ("accepted", (1485, 1479, APART, 0)),
        3: ("accepted", (1471, 1471, {}, 0)),
        6: ("accepted", (1471, 1471, {}, 0)),
        7: ("accepted", (1000, 1000, {}, 0)),
        **{at: ("accepted", (4000, 3040, {}, 960)) for at in (8, 9, 10, 11)},
        **{at: ("accepted", (1000, 1000, {}, 0)) for at in (12, 13, 14)},
        15: ("accepted", (4, 2, {}, 2)),
        16: ("accepted", (4, 2, {}, 2)),
    }
    said = {
        4: "100 rows after 1471", 5: "735 rows after 1471", 17: "an HTML page",
        18: "an object without records (error_code: ODSQLError; message: no)",
    }  # fmt: skip
    assert refused.keys() == said.keys()
    assert [text for at, text in said.items() if text not in refused[at]] == []


def test_what_was_mended_is_told(document: dict[str, Any]) -> None:
    told = {at: file["repaired"] for at, file in enumerate(document["files"]) if file["repaired"]}
    assert told == {
        1: {"name: mojibake": 519},
        2: {"name: mojibake": 516},
        6: {"lat, lon: exchanged": 2, "lat, lon: outside the box": 1},
    }


def test_the_lake_has_every_type_as_it_was_meant(document: dict[str, Any]) -> None:
    columns, rows = (document["queries"][0][name] for name in ("columns", "rows"))
    found = {str(row[0])[:13]: dict(zip(columns, row, strict=True)) for row in rows}
    assert all(slot["kinds"] == slot["bikes"] for slot in found.values())
    placed = {slot: (each["rows_out"], each["places"]) for slot, each in found.items()}
    assert placed == {
        "2020-06-24 11": (1398, 1398), "2024-11-19 08": (1485, 1485), "2024-11-19 09": (1479, 1479),
        "2025-04-01 15": (1471, 1471), "2025-04-01 16": (1471, 1470), "2025-06-05 00": (1000, 0),
        "2025-06-05 02": (3040, 0), "2025-06-05 03": (1000, 0), "2025-06-05 04": (1000, 0),
        "2025-06-05 05": (1000, 0), "2026-04-02 07": (2, 2),
    }  # fmt: skip
    assert all(
        each["south"] > 48.7 and each["east"] < 2.6 for each in found.values() if each["places"]
    )
    assert found["2020-06-24 11"]["installed"] == 1398 - 26
    assert found["2024-11-19 08"]["installed"] == 1485 - 27
    assert document["queries"][1]["rows"] == [["13118"], ["13118_relais"]]


BY_HAND = {
    # reckoned from the files without the pipeline: bikes, electric ones, free docks; stale, closed,
    # without capacity, bikes and docks that are not the capacity
    "2020-06-24 11": (14880, 5068, 28352, 39, 26, 21, 258),
    "2024-11-19 08": (15626, 5319, 29291, 42, 27, 12, 769),
    "2025-04-01 15": (14179, 4508, 30539, 26, 13, 1367, 1456),
    "2025-06-05 00": (11502, 4023, 19417, 14, 0, 0, 0),
}


def test_v6_sums_and_flags_are_those_of_the_files(document: dict[str, Any]) -> None:
    columns, rows = (document["queries"][0][name] for name in ("columns", "rows"))
    names = ("bikes", "ebikes", "docks", "stale", "closed", "no_capacity", "disagree")
    found = {str(row[0])[:13]: dict(zip(columns, row, strict=True)) for row in rows}
    told = {slot: tuple(each[name] for name in names) for slot, each in found.items()}
    assert {slot: told[slot] for slot in BY_HAND} == BY_HAND


def test_counts_that_differ_under_one_key_are_revised(document: dict[str, Any]) -> None:
    told = dict(document["queries"][2]["rows"])
    assert {slot: n for slot, n in told.items() if n} == {"2025-06-05T02": 193}
