"""Values that are mended before they are checked: misread text, exchanged places, words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.contract import DATASETS, Contract, load
from catalog.records import Outcome
from functions.validation.repairs import fix_mojibake, normalize_decimal
from tests.support.split_cloud import Desk, use

CONTRACT = load(DATASETS / "velib_stations.toml")
FRENCH = "àâäæçéèêëîïôöœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ’–«»°"


def misread(text: str) -> str:
    """UTF-8 read as Windows-1252, whose five bytes without a letter are read as controls."""
    return "".join(
        bytes([byte]).decode("cp1252") if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(byte)
        for byte in text.encode()
    )


@given(st.text(alphabet=FRENCH + "abc -'.", min_size=1), st.integers(1, 3))
def test_what_was_misread_so_often_is_read_as_it_was_meant(text: str, times: int) -> None:
    wrong = text
    for _ in range(times):
        wrong = misread(wrong)
    assert fix_mojibake(wrong) == fix_mojibake(text)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("CharlÃƒÂ©ty", "Charléty"), ("CharlÃ©ty", "Charléty"), ("Charléty", "Charléty"),
        ("Pont du Port Ãƒ  l'Anglais", "Pont du Port à l'Anglais"), ("SÃO PAULO", "SÃO PAULO"),
        ("Charléty CharlÃ©ty", "Charléty CharlÃ©ty"), ("Łódź", "Łódź"), ("", ""), ("abc", "abc"),
    ],
)  # fmt: skip
def test_known_names(seen: str, said: str) -> None:
    assert fix_mojibake(seen) == said


PLACES = [
    # latitude and longitude given, kept, told
    (("48.86", "2.35"), ("48.86", "2.35"), {}),
    (("2.35", "48.86"), ("48.86", "2.35"), {"lat, lon: exchanged": 1}),
    (("0", "0"), (None, None), {"lat, lon: outside the box": 1}),
    (("48.86", "-2.35"), (None, None), {"lat, lon: outside the box": 1}),
    (("48.86", None), ("48.86", None), {}),
]


def station(**fields: object) -> bytes:
    """One good record with other fields."""
    good = {
        "stationcode": "1",
        "duedate": 1571153700,
        "numbikesavailable": 1,
        "numdocksavailable": 1,
    }
    return json.dumps([good | fields]).encode()


@pytest.mark.parametrize(("seen", "kept", "told"), PLACES)
def test_places(
    desk: Desk, seen: tuple[str, str], kept: tuple[str | None, str | None], told: dict[str, int]
) -> None:
    record = desk.run_split(CONTRACT, station(lat=seen[0], lon=seen[1]))
    assert record.outcome is Outcome.ACCEPTED, record.reason
    [row] = desk.rows(record.parts[0])
    assert ((row["lat"], row["lon"]), record.repaired) == (kept, told)


def test_a_place_is_mended_in_csv_as_in_json(desk: Desk) -> None:
    body = b"stationcode;name;duedate;numbikesavailable;numdocksavailable;geo\n" + b"".join(
        f"{n};CharlÃ©ty;1571153700;1;1;2.35,48.86\n".encode() for n in range(500)
    )
    record = desk.run_split(CONTRACT, body)
    assert record.repaired == {"lat, lon: exchanged": 500, "name: mojibake": 500}
    rows = desk.rows(record.parts[0])
    assert {(row["lat"], row["lon"], row["name"]) for row in rows} == {
        ("48.86", "2.35", "Charléty")
    }


def test_a_word_stands_for_its_value_in_any_case(desk: Desk) -> None:
    record = desk.run_split(CONTRACT, station(station_state="OPERATIVE"))
    assert desk.rows(record.parts[0])[0]["is_installed"] == "true"


NUMBERS = [
    ("18,1", "18.1"), ("-0,5", "-0.5"), ("+3,", "+3."), (",5", ".5"), (" 1,5 ", "1.5"),
    ("1 234,5", "1234.5"), ("1\u202f234\u202f567", "1234567"), ("12\u00a0345,6", "12345.6"),
    ("1\u2009000", "1000"), ("1,5E3", "1.5E3"),
    # what is written with a point already, and what is no such number, stays
    ("18.1", "18.1"), ("18", "18"), (" 18 ", " 18 "), ("1e3", "1e3"), ("", ""), (",", ","),
    ("1.234,5", "1.234,5"), ("1,234,5", "1,234,5"), ("12 34,5", "12 34,5"), ("1 2345", "1 2345"),
    ("1  234", "1  234"), ("18,1 km/h", "18,1 km/h"), ("1,5 + 2", "1,5 + 2"), ("١,٥", "١,٥"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "said"), NUMBERS)
def test_a_decimal_comma_is_read_as_a_point(seen: str, said: str) -> None:
    assert normalize_decimal(seen) == said


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_written_with_a_comma_is_itself(number: float) -> None:
    assert float(normalize_decimal(repr(number).replace(".", ","))) == number


TRAFFIC = """
dataset = "road_counts"
title = "Roads: counts"
description = "Invented, for a test"
publisher = "Nobody"
homepage = "https://data.example.fr/roads"
licence = "CC0-1.0"
licence_url = "https://creativecommons.org/publicdomain/zero/1.0/"
attribution = "Source: made up"
system = "roads"
kind = "full_export"
zone = "Europe/Paris"
slot_unit = "month"
schedule = "23 5 * * *"
freshness_hours = 50
time_column = "counted_at"
key = ["road", "counted_at"]
source = { hosts = ["data.example.fr"], shapes = [{ name = "list" }], fetch = [{ name = "a", urls = ["https://data.example.fr/a"] }] }
bounds = { bytes_max = 1_000_000, rows_max = 1_000 }
tables = [{ name = "road_counts", description = "Counts", base = true, columns = [] }]

[[columns]]
name = "road"
type = "text"
description = "Name"
required = true

[[columns]]
name = "counted_at"
type = "timestamp"
description = "When"
time_format = "%d/%m/%Y %H:%M"
required = true
minimum = "2010-01-01"

[[columns]]
name = "opened_on"
type = "date"
description = "Day"
time_format = "%d/%m/%Y"

[[columns]]
name = "mean_speed"
type = "float"
description = "Mean"
decimal = ","
maximum = 130
"""


def roads_of(folder: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> Contract:
    """A data set with times in a form, and numbers in the French way."""
    path = folder / "road_counts.toml"
    path.write_text(TRAFFIC.replace("%d/%m/%Y %H:%M", form), encoding="utf-8")
    made = load(path)
    use(monkeypatch, made)
    return made


@pytest.fixture
def roads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Contract:
    """The data set with the times in the French way, too."""
    return roads_of(tmp_path, monkeypatch, "%d/%m/%Y %H:%M")


NAMES = ("road", "counted_at", "opened_on", "mean_speed")
COUNTS = [
    # as the publisher writes it, as a part keeps it, or why not
    (("A6", "05/06/2024 10:30", "1/2/1960", "18,1"),
     ("2024-06-05T10:30:00", "1960-02-01", "18.1"), ""),
    (("A6", "5/6/2024 9:05", "", "1\u202f30,5"), None, "mean_speed: not a number"),
    (("A6", "05/06/2024 11:30", "01/02/1960", "131,5"), None, "mean_speed: above 130.0"),
    (("A6", "06/13/2024 10:30", "", "18,1"), None, "counted_at: not a timestamp"),
    (("A6", "05/06/2009 10:30", "", "18,1"), None, "counted_at: before 2010-01-01"),
    (("A6", "31/03/2024 02:30", "", "18,1"), None, "counted_at: not a timestamp"),
    (("A6", "05/06/2024 12:30", "30/02/1960", "18,1"), None, "opened_on: not a date"),
    (("A6", "2024-06-05T13:30:00Z", "1960-02-01", "18.1"),
     ("2024-06-05T13:30:00Z", "1960-02-01", "18.1"), ""),
]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize(("written", "kept", "fault"), COUNTS)
def test_times_and_numbers_as_they_are_written(
    desk: Desk, roads: Contract, form: str, written: tuple[str, ...],
    kept: tuple[str, ...] | None, fault: str,
) -> None:  # fmt: skip
    """From CSV and from JSON a part has the same, and the count is the same."""
    rows = [written, ("A7", "01/06/2024 00:00", "", "1,5")]
    body = json.dumps([dict(zip(NAMES, row, strict=True)) for row in rows])
    if form == "csv":
        body = "".join(";".join(row) + "\n" for row in (NAMES, *rows))
    record = desk.run_split(roads, body.encode())
    assert record.outcome is Outcome.ACCEPTED, record.reason
    assert record.rejected == ({fault: 1} if fault else {})
    [part] = record.parts
    found = [tuple(row[name] for name in NAMES[1:]) for row in desk.rows(part)]
    assert found == [*([kept] if kept else []), ("2024-06-01T00:00:00", None, "1.5")]
    assert part.slot == "2024-06"
    commas = sum(row[3] != "18.1" and "\u202f" not in row[3] for row in rows)
    assert record.repaired == {"mean_speed: decimal comma": commas}


@pytest.mark.parametrize(("form", "good"), [
    ("%Y%m%d%H%M", "202406051030"), ("%Y%m%d %H%M", "20240605 1030"),
])  # fmt: skip
def test_digits_that_are_not_of_the_form_are_no_seconds(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, good: str
) -> None:
    """Twelve digits are milliseconds of 1976 where no form is said."""
    made = roads_of(tmp_path, monkeypatch, form)
    record = desk.run_split(made, f"road;counted_at\nA6;{good}\nA6;202413051030\n".encode())
    assert record.rejected == {"counted_at: not of the form": 1}
    assert desk.rows(record.parts[0])[0]["counted_at"] == "2024-06-05T10:30:00"


def test_a_form_near_iso_is_read_in_blocks_too(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = roads_of(tmp_path, monkeypatch, "%d-%m-%Y %H:%M:%S%z")
    body = "".join(f"A{n};05-06-2024 10:30:00+02:00;;18.1\n" for n in range(900))
    record = desk.run_split(made, (";".join(NAMES) + "\n" + body).encode())
    assert record.repaired == {}
    found = {tuple(row[name] for name in NAMES[1:]) for row in desk.rows(record.parts[0])}
    assert found == {("2024-06-05T10:30:00+02:00", None, "18.1")}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("A6;soon;;18,1", "first data0 2: A6;soon;;18,1, correct the contract and replay"),
        ("A6;2024-06-05;12/6;1", "first data0 2: A6;2024-06-05;12/6;1, correct the contract and"),
        ("A6;2024-06-05;;many", "many, correct the contract and replay"),
    ],
)
def test_a_refusal_names_a_row(desk: Desk, roads: Contract, row: str, said: str) -> None:
    record = desk.run_split(roads, (";".join(NAMES) + f"\n{row}\n").encode())
    assert said in (record.reason or "")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("A6;05/06/2024;;1", '(of counted_at, time_format = "%d/%m/%Y" or the like reads what is not ISO)'),
        ("A6;2024-06-05;05/06/2024;1", '(of opened_on, time_format = "%d/%m/%Y" or the like'),
        ("A6;2024-06-05;;18,1", '18,1, correct the contract (of mean_speed, decimal = "," reads'),
        ("A6;1999-06-05;;18", '1999-06-05;;18, correct the contract and replay the run'),
        ("A6;soon;;" + "9" * 120, '9 …, correct the contract (of counted_at'),
    ],
)  # fmt: skip
def test_a_refusal_names_what_a_contract_may_say(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, said: str
) -> None:
    plain = re.sub(r"(?m)^(time_format|decimal) = .*\n", "", TRAFFIC)
    path = tmp_path / "road_counts.toml"
    path.write_text(plain, encoding="utf-8")
    made = load(path)
    use(monkeypatch, made)
    record = desk.run_split(made, (";".join(NAMES) + f"\n{row}\n").encode())
    assert said in (record.reason or "")
