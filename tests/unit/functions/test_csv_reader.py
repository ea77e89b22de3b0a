"""CSV records as properties: what a writer wrote is what is read, at its line, in any pieces."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.contract import DATASETS, load
from catalog.runs import Run
from functions.parsing.batch import item_of
from functions.parsing.csv.slow_path import _FIELDS_A_LINE, CsvRecord, _Lines, _records
from functions.parsing.file_reader import FileReader
from functions.validation.block_cut import BlockCutter
from tests.support.examples import examples
from tests.support.split_cloud import NOW

CONTRACT = load(DATASETS / "paris_wifi_usage.toml")
HOSTILE = st.text(alphabet='ab";,\r\n \u00e9\u2028\x0b\x1c\x85\x00', max_size=8)
ENDS = st.sampled_from(["\r\n", "\n", "\r"])


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def records(texts: Iterator[str]) -> list[CsvRecord]:
    """The records of a text but blank lines."""
    lines = _Lines(texts, CONTRACT.bounds.field_bytes_max * _FIELDS_A_LINE)
    return [r for r in _records(lines, CONTRACT, "x") if r.fields is None or r.fields]


@examples(300)
@given(
    st.lists(st.lists(HOSTILE, min_size=2, max_size=4), min_size=1, max_size=8),
    ENDS, st.integers(1, 9), st.booleans(),
)  # fmt: skip
def test_what_was_written_is_read(rows: list[list[str]], end: str, size: int, ended: bool) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=";", lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    text = out.getvalue() if ended else out.getvalue().removesuffix(end)
    found = records(pieces(text, size))
    assert [r.fields for r in found if r.fields] == [
        row for row in rows if not any("\0" in value for value in row)
    ]
    assert len(found) == len(rows)
    assert "".join(r.text for r in found) == text
    starts = [1]
    for record in found:
        starts.append(starts[-1] + len(io.StringIO(record.text, newline="").readlines()))
    assert [r.line for r in found] == starts[:-1]


@examples(300)
@given(st.lists(st.text(alphabet='ab";', max_size=9), max_size=12), st.integers(1, 9))
def test_every_line_of_any_text_ends_in_one_record(lines: list[str], size: int) -> None:
    text = "".join(line + "\n" for line in lines)
    found = records(pieces(text, size))
    told = "".join(r.text for r in found)
    assert [line for line in told.splitlines() if line] == [line for line in lines if line]


def test_a_stray_quote_costs_its_own_line() -> None:
    text = 'a;b\n1;"x\n2;y\n3;"z"\n4;v"w\n5;"u"t\n'
    found = records(iter([text]))
    assert [(r.line, r.fields, r.reason) for r in found] == [
        (1, ["a", "b"], ""),
        (2, None, "a quote never closes"),
        (3, ["2", "y"], ""),
        (4, ["3", "z"], ""),
        (5, ["4", 'v"w'], ""),
        (6, ["5", "ut"], ""),
    ]


TIMES = st.datetimes().map(lambda at: at.replace(year=2012 + at.year % 13, day=1).isoformat())
CELLS = st.tuples(
    st.sampled_from(["PW1", "PW2", ""]), TIMES, st.sampled_from(["75001", "75002.0"]), HOSTILE
)


@examples(100)
@given(st.lists(CELLS, min_size=1, max_size=20))
def test_split_then_put_together_is_what_came(rows: list[tuple[str, ...]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";")
    writer.writerow(["Code Site", "Date heure début", "Code postal", "Nom du site"])
    writer.writerows(rows)
    cutter = BlockCutter(CONTRACT, Run.at(NOW))
    slots: list[tuple[str, dict[str, Any]]] = []
    rejected = 0
    with ThreadPoolExecutor(1) as pool:
        file = FileReader("o", "x", CONTRACT, pool)
        for batch in file.batches(iter([out.getvalue().encode()])):
            cut = cutter.cut(batch)
            rejected += len(cut.rejects)
            slots += [(slot, row) for slot, t in cut.tables.items() for row in t.to_pylist()]
    told = Counter((r["site_code"], r["started_at"], r["site_name"] or "") for _, r in slots)
    good = [row for row in rows if row[0] and "\0" not in row[3]]
    blank = [(site, at, name if name.strip() else "") for site, at, _, name in good]
    assert told == Counter(blank)
    assert rejected == len(rows) - len(good)
    assert all(row["started_at"].startswith(slot) for slot, row in slots)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("48.8, 2.3", ["48.8", "2.3", ""]), ("[48.8, 2.3]", ["48.8", "2.3", ""]),
        ("{'lon': 2.3, 'lat': 48.8}", ["2.3", "48.8", ""]), ("10:30,11:30", ["10:30", "11:30", ""]),
        ('{"a": 1}', ["1", "", ""]), ("", ["", "", ""]), ("Paris: nord, x", ["Paris: nord", "x", ""]),
        ("Lyon (69), Paris", ["Lyon (69)", "Paris", ""]), ("x, Paris (75)", ["x", "Paris (75)", ""]),
    ],
)  # fmt: skip
def test_items_of_a_text(text: str, items: list[str]) -> None:
    assert [item_of(text, at) for at in range(3)] == items
