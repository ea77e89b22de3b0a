"""Columns that several fields tell together: sums, found by name and reckoned as text."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.contract import DATASETS, Contract, load
from functions.parsing.batch import sum_of
from functions.parsing.header import FieldPosition, map_header
from tests.support.split_cloud import changed

VELIB = load(DATASETS / "velib_stations.toml")


def docks(*aliases: str) -> Contract:
    """A contract of one column, the free docks, under other names."""
    (column,) = (c for c in VELIB.columns if c.name == "numdocksavailable")
    column = msgspec.structs.replace(column, aliases=aliases)
    return changed(VELIB, columns=(column,), ignored=("overflow",))


FOUND = [
    # header, aliases, place, what is told of it, what is not known
    (["a", "b"], ["a + b"], FieldPosition(0, plus=(1,)), "a + b", []),
    (["c", "B", "a"], ["a + b"], FieldPosition(2, plus=(1,)), "a + B", ["c"]),
    (["a", "b", "c"], ["a + b + c"], FieldPosition(0, plus=(1, 2)), "a + b + c", []),
    (["a", "overflow"], ["a + b"], None, None, ["a"]),
    (["a"], ["a + b", "a"], FieldPosition(0), "a", []),
    (["A", "b"], ["a + b", "a"], FieldPosition(0, plus=(1,)), "A + b", []),
    (["a + b", "a", "b"], ["a + b"], FieldPosition(0), "a + b", ["a", "b"]),
    (["n", "n"], ["n + n@2"], FieldPosition(0, plus=(1,)), "n + n@2", []),
]  # fmt: skip


@pytest.mark.parametrize(("header", "aliases", "place", "told", "unknown"), FOUND)
def test_a_sum_stands_where_all_of_its_fields_do(
    header: list[str],
    aliases: list[str],
    place: FieldPosition | None,
    told: str | None,
    unknown: list[str],
) -> None:
    found = map_header(docks(*aliases), header)
    assert found.places == (place,)
    assert found.aliases.get("numdocksavailable") == told
    assert list(found.unknown) == unknown


@pytest.mark.parametrize(
    ("texts", "total"),
    [
        (["21", "0"], "21"), (["21.0", " 1 "], "22.0"), (["-1", "+3"], "2"), (["", "3"], ""),
        (["3", " "], ""), (["a", "3"], "a + 3"), (["1e3", "2"], "1e3 + 2"), (["NaN", "2"], "NaN + 2"),
    ],
)  # fmt: skip
def test_a_sum_guesses_nothing(texts: list[str], total: str) -> None:
    assert sum_of(texts) == total


@given(st.lists(st.decimals(-(10**9), 10**9, places=3), min_size=1, max_size=5))
def test_a_sum_loses_nothing(numbers: list[Decimal]) -> None:
    assert Decimal(sum_of([format(number, "f") for number in numbers])) == sum(numbers)
