"""Indexes of GBFS in the form of each version, by hand after the standard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from functions.download.feed_index import NoFeedError, feeds

NAMES = ("station_information", "station_status")
INDEX = "https://bikes.example.fr/gbfs.json?key=1"


def listed(folder: str, *names: str) -> list[dict[str, str]]:
    """Feeds of a folder as an index lists them."""
    return [
        {"name": name, "url": f"https://bikes.example.fr/{folder}/{name}.json"} for name in names
    ]


VERSIONS: list[tuple[str, dict[str, Any]]] = [
    ("1.0", {"data": {"en": {"feeds": listed("a", "system_information", *NAMES)}}}),
    ("1.1, status first", {"version": "1.1", "data": {"fr": {"feeds": listed("a", *reversed(NAMES))}}}),
    ("2.3, two languages", {"version": "2.3", "data": {
        "fr": {"feeds": listed("a", *NAMES)}, "en": {"feeds": listed("b", *NAMES)}}}),
    ("3.0", {"version": "3.0", "last_updated": "2024-11-19T08:40:00+01:00", "data": {
        "feeds": listed("a", "gbfs", "vehicle_types", *NAMES)}}),
]  # fmt: skip


@pytest.mark.parametrize("body", [each[1] for each in VERSIONS], ids=[each[0] for each in VERSIONS])
def test_every_version_tells_its_feeds_in_the_order_asked(body: dict[str, Any]) -> None:
    found = feeds(json.dumps(body).encode(), NAMES, INDEX)
    assert found == [f"https://bikes.example.fr/a/{name}.json" for name in NAMES]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps({"data": {"feeds": listed("a", "station_status")}}),
         "the index has no feed 'station_information'; it has station_status"),
        (json.dumps({"data": {}}), "the index has no feed 'station_information'; it has none"),
        ("<html><title>Maintenance</title></html>", "the index is no JSON, but a page or an error"),
        ("[" * 100_000, "the index is no JSON"),
    ],
    ids=["one feed", "no feed", "a page", "nested"],
)  # fmt: skip
def test_an_index_without_the_feeds_says_which_it_has(body: str, said: str) -> None:
    with pytest.raises(NoFeedError) as raised:
        feeds(body.encode(), NAMES, INDEX)
    assert said in str(raised.value)
    assert "key=1" not in str(raised.value)
