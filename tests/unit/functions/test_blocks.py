"""Blocks read side by side give what reading record by record gives: rows, lines, rejects, hashes."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalog.contract import DATASETS, Contract, Kind, load
from catalog.runs import Run
from functions.parsing.csv.blocks import Block
from functions.parsing.file_reader import FileReader
from functions.parsing.header import RunRefusedError
from functions.split.content_hash import RowsHash
from functions.validation.block_cut import BlockCutter
from functions.validation.slot_codes import SlotCodes
from functions.validation.slotting import RejectedRow
from tests.support.examples import examples
from tests.support.split_cloud import NOW, changed

USAGE = changed(load(DATASETS / "paris_wifi_usage.toml"), bounds__field_bytes_max=200)
HEADER = "Code Site;Date heure début;Date heure fin;Code postal;Nom du site;Temps de session en secondes;Donnée entrante (Octet);inconnu;Adresse\r\n"


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as made:
        yield made


@dataclass
class Outcome:
    """All that a file leaves."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    rejects: list[RejectedRow] = field(default_factory=list)
    refused: str = ""
    unknown: dict[str, str] = field(default_factory=dict)
    count: int = 0


def outcome(
    contract: Contract,
    body: bytes,
    pool: Executor,
    block_bytes: int,
    *,
    blocks: list[int] | None = None,
) -> Outcome:
    """What reading and cutting a file gives, with blocks of some size; 0 for record by record."""
    told = Outcome()
    cutter = BlockCutter(contract, Run.at(NOW))
    hashes: dict[str, RowsHash] = {}
    file = FileReader("o", "x", contract, pool, block_bytes)
    try:
        for batch in file.batches(body[at : at + 1000] for at in range(0, len(body), 1000)):
            if isinstance(batch, Block) and blocks is not None:
                blocks.append(batch.count)
            told.count += batch.count
            cut = cutter.cut(batch)
            for slot, rows in cut.tables.items():
                told.rows.setdefault(slot, []).extend(rows.to_pylist())
                hashes.setdefault(slot, RowsHash(rows.schema.names[:-1])).add(rows)
                told.newest[slot] = max(told.newest.get(slot, 0.0), cut.newest.get(slot, 0.0))
            told.rejects += cut.rejects
    except RunRefusedError as error:
        return Outcome(refused=str(error))
    report = file.report(1, "")
    assert report is not None
    told.unknown = report.unknown_columns
    told.hashes = {slot: made.hexdigest() for slot, made in sorted(hashes.items())}
    return told


SITES = st.sampled_from(
    [
        "PW1",
        "É2",
        "",
        " ",
        '"PW;3"',
        '"a\r\nb"',
        '"q""q"',
        'x"y',
        '"',
        "\u00a0",
        "\u2003z",
        "v" * 90,
    ]
)
TIMES = st.one_of(
    st.datetimes().map(lambda at: f"{2012 + at.year % 14}-{at:%m-%dT%H:%M:%S}+02:00"),
    st.datetimes().map(lambda at: f"{2012 + at.year % 13}-{at:%m-%d %H:%M:%S}Z"),
    st.sampled_from([
        "-", "", "2024-02-30T00:00:00+01:00", "2024-03-31T23:30:00Z", "2024-03-31T21:59:59Z",
        "2019-10-27T02:30:00", "2024-01-01", "1704067200", "2024-01-01T00:00:00.5Z", "n'importe quoi",
        "2024-01-01T00:00:00-23:59", "2024-01-01T24:00:00Z", "2030-01-01T00:00:00Z",
        "1960-01-01T00:00:00Z", "2011-12-31T23:00:00+00:00", '"2024-05-05T05:05:05+02:00"',
        " 2024-05-05T05:05:05Z", "2024-05-05T05:05:05+2:000", "２024-05-05T05:05:05Z",
    ]),
)  # fmt: skip
NUMBERS = st.sampled_from(
    [
        "1",
        "007",
        "",
        " ",
        "-5",
        "+5",
        "2.0",
        "2.",
        ".5",
        ".",
        "1.2.3",
        "1e5",
        "x",
        "٣",
        "9" * 18,
        "9" * 19,
        "9" * 21,
        '"12"',
        '"1""2"',
        "\u00a0",
        "12é",
    ]
)
CODES = st.sampled_from(["75001", "75001.0", "", "2A.0", '"75002.0"', " "])
FREE = st.text(alphabet='ab";\r\n \u00e9\u2028\x0b\x1c\x85\x00"', max_size=6)
ROWS = st.lists(
    st.tuples(SITES, TIMES, TIMES, CODES, SITES, NUMBERS, NUMBERS, st.one_of(NUMBERS, FREE), SITES)
    .map(";".join), max_size=12,
)  # fmt: skip
LINES = st.lists(st.one_of(ROWS.map("\r\n".join), FREE, ROWS.map("\n".join)), max_size=6)


@examples(150)
@given(
    LINES.map("\r\n".join),
    st.sampled_from(["", "\r\n", "\n", "\r"]),
    st.sampled_from([1, 64, 150, 400, 1 << 20]),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]),
)
@example('"\r\n"x;y', "\r\n", 64, "utf-8")
@example("PW1;2024-05-05T05:05:05Z;;75001;a\rb;1;1;;", "\r\n", 400, "utf-8")
@example('PW1;2024-05-05T05:05:05Z;;75001;x"y;1";1;;', "\r\n", 400, "utf-8")
def test_blocks_give_what_records_give(
    pool: Executor, text: str, end: str, size: int, encoding: str
) -> None:
    body = (HEADER + text + end).encode(encoding, "replace")
    assert outcome(USAGE, body, pool, size) == outcome(USAGE, body, pool, 0)


ONE = changed(
    USAGE,
    columns=tuple(c for c in USAGE.columns if c.name == "site_code"),
    time_column=None,
    kind=Kind.DAILY_DROP,
)
"""A list of one column, where a blank line is not told from a row by its number of fields."""


@examples(150)
@given(
    st.lists(
        st.one_of(st.sampled_from(["", "", "a", '""', '"b"', '"a\n\nb"', "\r"]), FREE), max_size=12
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\r\n", "\n", "\r"]),
    st.sampled_from([1, 8, 64, 1 << 20]),
)
@example(["1", "", "2", "", "3"], "\n", "\n", 1 << 20)
def test_blocks_of_one_column_give_what_records_give(
    pool: Executor, lines: list[str], between: str, end: str, size: int
) -> None:
    body = between.join(["Code Site", *lines, end]).encode()
    assert outcome(ONE, body, pool, size) == outcome(ONE, body, pool, 0)


def test_blank_lines_of_one_column_are_no_rows(pool: Executor) -> None:
    blocks: list[int] = []
    told = outcome(ONE, b"Code Site\n1\n\n2\n\r\n3\n", pool, 1 << 20, blocks=blocks)
    assert (told.count, blocks) == (3, [3])


WIDE = changed(load(DATASETS / "paris_wifi_usage.toml"))
"""With the contract's own bounds."""
FAKE = "x\r\nPW9;2024-09-09T09:09:09+02:00;;75009;fake;1;1;;\r\n" * 60
HOSTILE_FILES = [
    ("quoted", [("PW1", 3, 'a;b\r\nc"d"'), ("PW2", 4, "x"), ("PW3", 3, '"')]),
    ("fake record in a long field", [("PW1", 3, FAKE), ("PW2", 5, "x"), ("PW1", 3, "y")]),
    ("record larger than a block", [("PW1", 1, "v" * 100_000), ("PW2", 2, "w\n" * 20_000)]),
    ("many", [(f"PW{n}", 1 + n % 12, f"é;{n}\n" if n % 7 == 0 else str(n)) for n in range(900)]),
]


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "no last newline"])
@pytest.mark.parametrize(
    "rows", [rows for _, rows in HOSTILE_FILES], ids=[name for name, _ in HOSTILE_FILES]
)
def test_rows_by_month_are_those_of_pythons_reader(
    pool: Executor, rows: list[tuple[str, int, str]], ended: bool
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";")
    for site, month, name in rows:
        writer.writerow(
            [site, f"2024-{month:02d}-15T12:00:00+01:00", "", "75001", name, 1, 1, "", ""]
        )
    text = HEADER + (out.getvalue() if ended else out.getvalue().removesuffix("\r\n"))
    read = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))
    expected = Counter((r["Date heure début"][:7], r["Code Site"], r["Nom du site"]) for r in read)
    seen: list[int] = []
    told = outcome(WIDE, text.encode(), pool, 4_096, blocks=seen)
    found = Counter(
        (slot, row["site_code"], row["site_name"]) for slot, got in told.rows.items() for row in got
    )
    assert found == expected
    assert not told.rejects
    assert len(rows) < 900 or sum(seen) > 800, "most rows came in blocks"


def test_a_fault_costs_its_own_stretch_alone(pool: Executor) -> None:
    """Blocks are gone back to after a record that is not regular."""
    good = "PW1;2024-05-05T05:05:05Z;;75001;name;1;1;;\r\n" * 5_000
    body = (HEADER + good + 'PW1;2024-05-05T05:05:05Z;;75001;"na"me;1;1;;\r\n' + good).encode()
    seen: list[int] = []
    told = outcome(WIDE, body, pool, 1 << 16, blocks=seen)
    assert told.count == 10_001
    assert sum(seen) > 8_000
    assert told == outcome(WIDE, body, pool, 0)


def test_slots_over_both_clock_changes() -> None:
    """Every quarter of an hour around the ends of months and the changes of clocks."""
    calendar = WIDE.calendar
    codes = SlotCodes(calendar)
    days = ["2024-03-31", "2024-10-27", "2024-12-31", "2024-02-29", "1973-01-01", "2199-12-31"]
    begin = [int(datetime.fromisoformat(day + "T00:00Z").timestamp()) for day in days]
    seconds = np.array([at + 450 * n for at in begin for n in range(-96, 288)])
    known = seconds < datetime(2200, 1, 1, tzinfo=UTC).timestamp()
    found = codes.codes(seconds, known)
    for second, code, told in zip(seconds.tolist(), found.tolist(), known.tolist(), strict=True):
        slot = calendar.slot(datetime.fromtimestamp(second, UTC))
        assert (codes.names[code] if code >= 0 else None) == (slot if told else None)


@pytest.mark.parametrize("block_bytes", [0, 64])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_further_separators_are_told_by_the_header(
    pool: Executor, separator: str, block_bytes: int
) -> None:
    contract = changed(USAGE, source__separators=(",", "\t"))
    lines = [
        HEADER.strip(),
        *(f"PW{n};2024-01-0{n}T10:00:00Z;;75001;Rue;1;2;;" for n in range(1, 9)),
    ]
    plain = outcome(USAGE, "\r\n".join([*lines, ""]).encode(), pool, 0)
    other = ";" if separator == "," else ","
    text = "\r\n".join([*lines, ""]).replace(";", separator)
    body = text.replace("Code Site", f"Code{other}Site").encode()
    assert outcome(contract, body, pool, block_bytes) == plain
    assert sum(map(len, plain.rows.values())) == 8


def test_a_separator_that_the_contract_does_not_name_is_refused(pool: Executor) -> None:
    contract = changed(USAGE, source__separators=(",", "\t"))
    found = outcome(contract, HEADER.replace(";", "|").encode(), pool, 0)
    assert (
        "separated by a bar, the contract says a semicolon or a comma or a tab: the header is"
        in (found.refused)
    )
    assert "source.separators" in found.refused
