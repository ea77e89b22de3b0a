"""Blocks read side by side give what reading record by record gives: rows, lines, rejects, hashes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.contract import DATASETS, Contract, load
from catalog.runs import Run
from functions.block_cut import BlockCutter
from functions.blocks import Block
from functions.columns import RunRefused
from functions.cut import Reject
from functions.parts import _RowsHash
from functions.readers import File
from tests.functions.split_cloud import NOW, changed

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
    rejects: list[Reject] = field(default_factory=list)
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
    hashes: dict[str, _RowsHash] = {}
    file = File("o", "x", contract, pool, block_bytes)
    try:
        for batch in file.batches(body[at : at + 1000] for at in range(0, len(body), 1000)):
            if isinstance(batch, Block) and blocks is not None:
                blocks.append(batch.count)
            told.count += batch.count
            cut = cutter.cut(batch)
            for slot, rows in cut.tables.items():
                told.rows.setdefault(slot, []).extend(rows.to_pylist())
                hashes.setdefault(slot, _RowsHash(rows.schema.names[:-1])).add(rows)
                told.newest[slot] = max(told.newest.get(slot, 0.0), cut.newest.get(slot, 0.0))
            told.rejects += cut.rejects
    except RunRefused as error:
        return Outcome(refused=str(error))
    report = file.report()
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


@settings(max_examples=150, deadline=None)
@given(
    LINES.map("\r\n".join),
    st.sampled_from(["", "\r\n", "\n", "\r"]),
    st.sampled_from([1, 64, 150, 400, 1 << 20]),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]),
)
@example('"\r\n"x;y', "\r\n", 64, "utf-8")
@example("PW1;2024-05-05T05:05:05Z;;75001;a\rb;1;1;;", "\r\n", 400, "utf-8")
def test_blocks_give_what_records_give(
    pool: Executor, text: str, end: str, size: int, encoding: str
) -> None:
    body = (HEADER + text + end).encode(encoding, "replace")
    assert outcome(USAGE, body, pool, size) == outcome(USAGE, body, pool, 0)
