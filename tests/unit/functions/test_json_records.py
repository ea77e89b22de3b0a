"""Records of JSON with any number of fields: what is remembered of their names is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalog.contract import DATASETS, load
from functions.parsing import header
from functions.parsing.batch import Seen
from functions.parsing.json import flatten
from functions.parsing.json.flatten import FlatRecord, Records

CONTRACT = load(DATASETS / "paris_wifi_usage.toml")
NAMED = load(DATASETS / "paris_wifi_sites.toml")
SITE = next(at for at, column in enumerate(CONTRACT.columns) if column.name == "site_code")


def records(shapes: int, fields: int) -> Iterator[dict[str, object]]:
    """Two records of each shape, the second of them after all the first; the site among them."""
    for _ in range(2):
        for shape in range(shapes):
            yield {f"k{shape}_{field}": 1 for field in range(fields - 1)} | {"Code Site": "PW1"}


@pytest.mark.parametrize(
    ("shapes", "fields", "kept"),
    [(3, 10, 3), (2, 2_000, 0), (210, 100, 200), (30, 500, 30), (45, 500, 40)],
    ids=["few", "wide", "many", "as wide as may be", "many of them"],
)
def test_layouts_are_kept_by_their_names(shapes: int, fields: int, kept: int) -> None:
    made = Records(CONTRACT, "x", Seen(shape="json"))
    most = 0
    for line, record in enumerate(records(shapes, fields)):
        row = made.row(line, "", record)
        assert isinstance(row, FlatRecord)
        assert row.values[SITE] == "PW1"
        most = max(most, sum(map(len, made._layouts.by_names)))
    assert most == kept * fields
    for remembered in (header.normalize_name, header.parse_alias):
        assert remembered.cache_info().currsize <= header._NAMES


def test_the_newest_layout_is_known_however_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of wide records that are all alike is laid out once."""
    laid: list[int] = []
    layout = flatten.map_header

    def seen(*given: object) -> header.HeaderMapping:
        laid.append(1)
        return layout(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(flatten, "map_header", seen)
    made = Records(CONTRACT, "x", Seen(shape="json"))
    for line, record in enumerate(records(1, 2_000)):
        made.row(line, "", record)
    assert len(laid) == 1


LOCALIZED = [
    ([{"text": "Mairie", "language": "fr"}, {"text": "Town hall", "language": "en"}], "Mairie"),
    ([{"language": "fr", "text": "Mairie"}], "Mairie"),
    ([{"text": "", "language": "fr"}], ""),
    ([], "[]"),
    ([{"text": "Mairie"}], '[{"text": "Mairie"}]'),
    ([{"text": "Mairie", "language": "fr"}, "x"], '[{"text": "Mairie", "language": "fr"}, "x"]'),
    ({"text": "Mairie", "language": "fr"}, '{"text": "Mairie", "language": "fr"}'),
]


@pytest.mark.parametrize(("value", "text"), LOCALIZED)
def test_a_text_by_language_is_its_first(value: object, text: str) -> None:
    """As GBFS 3 writes names; anything else stays the JSON that it is."""
    made = Records(NAMED, "x", Seen(shape="json"))
    row = made.row(1, "", {"nom_site": value})
    assert isinstance(row, FlatRecord)
    at = next(at for at, column in enumerate(NAMED.columns) if column.name == "name")
    assert row.values[at] == text
