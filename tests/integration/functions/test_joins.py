"""Two files of a run that are one table: what either lacks, tells otherwise or tells twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from catalog.contract import DATASETS, load
from catalog.records import Outcome
from tests.support.split_cloud import NOW, Desk, changed

CONTRACT = changed(load(DATASETS / "velib_stations.toml"), bounds__rejected_share=1.0)
Record = dict[str, Any]


def files(count: int = 4) -> tuple[list[Record], list[Record]]:
    """What is told of some stations, and their states."""
    told = [
        {"station_id": n, "stationCode": f"1{n}", "name": f"N{n}", "capacity": 20}
        for n in range(count)
    ]
    states = [
        {"station_id": n, "stationCode": f"1{n}", "last_reported": 1732001704, "num_docks_available": n,
         "num_bikes_available": n}
        for n in range(count)
    ]  # fmt: skip
    return told, states


def bodies(told: list[Record], states: list[Record]) -> tuple[bytes, bytes]:
    first, second = (json.dumps({"data": {"stations": each}}).encode() for each in (told, states))
    return first, second


Change = Callable[[list[Record], list[Record]], Any]
CASES: list[tuple[str, Change, int, list[tuple[int, str]]]] = [
    # how the two differ, rows taken, rejects by record
    ("agree", lambda told, states: None, 4, []),
    ("a state alone", lambda told, states: told.pop(1), 3, [(2, "station_id: not in data0")]),
    ("a name alone", lambda told, states: states.pop(1), 3, [(2, "station_id: in data0 alone")]),
    ("told twice", lambda told, states: told.append(told[0]), 4, [(5, "station_id: twice in data0")]),
    ("codes differ", lambda told, states: told[2].update(stationCode="99"), 3, [(3, "stationCode: the files disagree")]),
    ("one has no code", lambda told, states: [each.pop("stationCode") for each in states], 4, []),
    ("by the code alone", lambda told, states: [each.pop("station_id") for each in told], 4, []),
    ("a null says nothing", lambda told, states: told[0].update(stationCode=None), 4, []),
    ("a number as text", lambda told, states: told[0].update(station_id="0"), 4, []),
    ("no object", lambda told, states: told.append("x"), 4, [(5, "not an object")]),
    ("no field to join by", lambda told, states: told.append({"name": "x"}), 4, [(5, "station_id: missing")]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "rows", "rejects"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
def test_every_record_of_both_files_is_accounted_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, change: Change, rows: int,
    rejects: list[tuple[int, str]], turned: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr("functions.split.step.contract_of", lambda _: CONTRACT)
    told, states = files()
    change(told, states)
    given = bodies(told, states)
    record = desk.run_split(CONTRACT, *(given[::-1] if turned else given), at=NOW)
    assert record.outcome is Outcome.ACCEPTED, record.reason
    beside = "data1" if turned else "data0"
    assert [(r["line"], r["reason"]) for r in desk.rejects(record)] == [
        (line, reason.replace("data0", beside)) for line, reason in rejects
    ]
    [part] = record.parts
    assert (part.rows, sum(part.rejected.values())) == (rows, len(rejects))
    assert record.rows_in == rows + len(rejects)
    kept = desk.rows(part)
    assert all(row["capacity"] == "20" and row["name"] for row in kept)
    assert {row["stationcode"] for row in kept} <= {f"1{n}" for n in range(4)}


def test_files_that_are_whole_each_are_not_joined(desk: Desk) -> None:
    _, states = files()
    record = desk.run_split(CONTRACT, *bodies(states[:2], states[2:]))
    assert (record.rows_in, record.quarantine) == (4, None)


def test_names_alone_are_refused_by_the_column_they_lack(desk: Desk) -> None:
    told, _ = files()
    record = desk.run_split(CONTRACT, *bodies(told, told))
    assert record.outcome is Outcome.REFUSED
    assert "(numdocksavailable) is missing" in (record.reason or "")
