"""Values against the types of a contract, one row of a table each."""

from __future__ import annotations

from datetime import UTC

import pytest

from catalog.contract import DATASETS, Column, load
from catalog.runs import Run
from functions.parsing.header import RunRefusedError, map_header
from functions.validation.values import ColumnCheck, instant
from tests.support.split_cloud import NOW, changed

CONTRACT = load(DATASETS / "paris_wifi_usage.toml")
ZONE = CONTRACT.calendar.zone

GOOD = {
    "text": ["é", "-", " a "],
    "code": ["75001", "75001.0", "2A004"],
    "integer": ["0", "-7", "+7", "2.0", "2.", "9223372036854775807", " 5 "],
    "float": ["0", "-1.5", ".5", "1e-3", "2."],
    "boolean": ["OUI", "non", "1", "0", "true", "False"],
    "date": ["2024-02-29"],
    "timestamp": [
        "2019-09-05T15:59:00+02:00", "2019-09-05 15:59", "2019-09-05T13:59:00Z",
        "2019-09-05T13:59:00.123456789Z", "2019-09-05T15:59:00+0200", "1567691940", "2019-09-05",
        "1567691940123",
        "2019-10-27T02:30:00",
    ],
}  # fmt: skip
WRONG = {
    "integer": ["2.5", "1 000", "1,0", "0x1", "9223372036854775808", "many", "--1", "١"],
    "float": ["1,5", "nan", "inf", "1e999", "--", "1_0"],
    "boolean": ["yes", "2"],
    "date": ["2023-02-29", "29/02/2024", "20240229", "2024-02-29T00:00:00"],
    "timestamp": [
        "2019-02-30T10:00:00Z", "2019-03-31T02:30:00", "05/09/2019 15:59", "20190905T155900",
        "2019-09-05T25:00:00Z", "now", "2019-W36-4", "123",
    ],
}  # fmt: skip


def check(kind: str, **facts: object) -> ColumnCheck:
    column = Column(name="c", type=kind, description="x", **facts)  # type: ignore[arg-type]
    return ColumnCheck(column, CONTRACT, Run.at(NOW))


@pytest.mark.parametrize("kind", GOOD)
def test_good_values(kind: str) -> None:
    tried = check(kind)
    assert tried.faults(tried.clean(GOOD[kind])) == {}


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k in WRONG for v in WRONG[k]])
def test_wrong_values(kind: str, value: str) -> None:
    tried = check(kind)
    assert list(tried.faults(tried.clean(["", value]))) == [1]


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("text", ["", "  ", "-", "x"], [None, None, "-", "x"]),
        ("timestamp", ["-", "", " - "], [None, None, None]),
        ("code", ["75001.0", "75001.00", "075.0", "7.5"], ["75001", "75001", "075", "7.5"]),
        ("integer", ["2.0", ""], ["2.0", None]),
    ],
)
def test_what_a_part_keeps(kind: str, given: list[str], kept: list[str | None]) -> None:
    assert check(kind).clean(given) == kept


@pytest.mark.parametrize(
    ("tried", "values", "faults"),
    [
        (check("text", nullable=False), ["a", ""], {1: "c: empty"}),
        (check("text", allowed=("a", "b")), ["a", "c", "b", "c"],
         {1: "c: not an allowed value", 3: "c: not an allowed value"}),
        (check("code", pattern=r"\d{5}"), ["75001.0", "7500"], {1: "c: not of the pattern"}),
        (check("integer", minimum=0, maximum=9), ["-1", "0", "9", "10"],
         {0: "c: below 0", 3: "c: above 9"}),
        (check("timestamp", minimum="2012-01-01"), ["2011-12-31T23:59:00+01:00", "2012-01-01"],
         {0: "c: before 2012-01-01"}),
        (check("date", maximum="2024-01-01"), ["2024-01-01", "2024-01-02"],
         {1: "c: after 2024-01-01"}),
    ],
)  # fmt: skip
def test_facets(tried: ColumnCheck, values: list[str], faults: dict[int, str]) -> None:
    assert tried.faults(tried.clean(values)) == faults


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2019-10-27T02:30:00", "2019-10-27T00:30:00+00:00"),
        ("2019-10-27T02:30:00+01:00", "2019-10-27T01:30:00+00:00"),
        ("2019-07-01", "2019-06-30T22:00:00+00:00"),
        ("0", None),
    ],
)
def test_instants(text: str, utc: str | None) -> None:

    found = instant(text, ZONE)
    assert (found.astimezone(UTC).isoformat() if found else None) == utc


LAYOUTS = [
    (["site_code", "started_at", "postal_code"], {}, []),
    (["Code Site", "datetime", "cp"], {"site_code": "Code Site"}, []),
    (["CODE-SITE", "DATE HEURE DEBUT", "cp"], {"started_at": "DATE HEURE DEBUT"}, []),
    (["Code Site", "datetime", "cp", "geo_shape", "x"], {}, ["x"]),
    (["Code Site", "datetime", "cp", "Code postal"], {"postal_code": "Code postal"}, ["cp"]),
    (["Code Site", "datetime", "cp", "Code postal", "Code postal"], {}, ["cp"]),
    (["Code Site", "datetime", "cp", ""], {}, ["column 4"]),
]


@pytest.mark.parametrize(("header", "aliases", "unknown"), LAYOUTS)
def test_layouts(header: list[str], aliases: dict[str, str], unknown: list[str]) -> None:
    found = map_header(CONTRACT, header)
    assert aliases.items() <= found.aliases.items()
    assert list(found.unknown) == unknown
    places = dict(zip((c.name for c in CONTRACT.columns), found.places, strict=True))
    assert places["site_code"] is not None
    assert places["site_code"].index == 0


def test_doubled_names_are_refused() -> None:
    with pytest.raises(RunRefusedError, match='"cp" more than once'):
        map_header(CONTRACT, ["Code Site", "datetime", "cp", "cp"])


def test_items_share_a_field() -> None:
    sites = changed(load(DATASETS / "paris_wifi_sites.toml"))
    found = map_header(sites, ["idpw", "nom_site", "cp", "geo_point_2d"])
    places = {c.name: p for c, p in zip(sites.columns, found.places, strict=True)}
    assert [(p.index, p.item) for n in ("latitude", "longitude") if (p := places[n])] == [
        (3, 0), (3, 1),
    ]  # fmt: skip
