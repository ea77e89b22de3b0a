"""Values that are mended before they are checked: misread text, exchanged places, words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.contract import DATASETS, load
from catalog.records import Outcome
from functions.repairs import meant
from tests.functions.split_cloud import Desk

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
    assert meant(wrong) == meant(text)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ("CharlÃƒÂ©ty", "Charléty"), ("CharlÃ©ty", "Charléty"), ("Charléty", "Charléty"),
        ("Pont du Port Ãƒ  l'Anglais", "Pont du Port à l'Anglais"), ("SÃO PAULO", "SÃO PAULO"),
        ("Charléty CharlÃ©ty", "Charléty CharlÃ©ty"), ("Łódź", "Łódź"), ("", ""), ("abc", "abc"),
    ],
)  # fmt: skip
def test_known_names(seen: str, said: str) -> None:
    assert meant(seen) == said


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
    record = desk.taken(CONTRACT, station(lat=seen[0], lon=seen[1]))
    assert record.outcome is Outcome.ACCEPTED, record.reason
    [row] = desk.rows(record.parts[0])
    assert ((row["lat"], row["lon"]), record.repaired) == (kept, told)


def test_a_place_is_mended_in_csv_as_in_json(desk: Desk) -> None:
    body = b"stationcode;name;duedate;numbikesavailable;numdocksavailable;geo\n" + b"".join(
        f"{n};CharlÃ©ty;1571153700;1;1;2.35,48.86\n".encode() for n in range(500)
    )
    record = desk.taken(CONTRACT, body)
    assert record.repaired == {"lat, lon: exchanged": 500, "name: mojibake": 500}
    rows = desk.rows(record.parts[0])
    assert {(row["lat"], row["lon"], row["name"]) for row in rows} == {
        ("48.86", "2.35", "Charléty")
    }


def test_a_word_stands_for_its_value_in_any_case(desk: Desk) -> None:
    record = desk.taken(CONTRACT, station(station_state="OPERATIVE"))
    assert desk.rows(record.parts[0])[0]["is_installed"] == "true"
