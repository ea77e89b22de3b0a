"""Invariant 9: what a refresh processes does not grow with the history that is stored.

Reckoned by the stored bytes of the partitions that the predicates admit, for every statement on the
lake: of the swap, whose slots are those that changed, and of the reports, which say how far back
they read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.contract import Contract, Kind, load_all, systems
from catalog.records import Counts, LakeTable, Manifest, Origin, Receipt, SlotParts
from catalog.reports import Script as ReportScript
from catalog.reports import script as report_script
from functions.core import bigquery
from functions.core.bigquery import QueryScript
from functions.load.swap import swap_script
from tests.support.step_cloud import Toy
from tests.support.stored_bytes import Scan, Stored, scans, swap_scans

NOW = datetime(2025, 6, 5, 12, 7, tzinfo=UTC)
FIRST = "2023-01-01"
SQL = Path(__file__).parents[3] / "bq_sql"
CONTRACTS = load_all()


@cache
def parquet_bytes(table: LakeTable, rows: int) -> int:
    """The size of a table's file with that many rows, whose values are numbers (synthetic)."""
    names = [column.name for column in table.columns]
    columns = {name: [str(row * 7919 % 1000) for row in range(rows)] for name in names}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return len(sink.getvalue())


def slots_of(contract: Contract, count: int) -> list[str]:
    """So many slots of a data set, one after another from the beginning of 2023."""
    first = contract.calendar.slot(
        datetime.fromisoformat(FIRST).replace(tzinfo=contract.calendar.zone)
    )
    return [contract.calendar.shift(first, number) for number in range(count)]


def stored_of(contract: Contract, slots: list[str]) -> dict[str, Stored]:
    """The tables of a data set with these slots, each slot of another size."""
    units = {table.name: table.partition for table in contract.tables}
    made = {}
    for table in contract.lake_tables():
        made[table.name] = Stored.of(table, units.get(table.name, contract.base.partition))
        for number, slot in enumerate(slots):
            start = contract.calendar.slot_start(slot)
            made[table.name].put(start, parquet_bytes(table, 10 + number % 50))
    return made


def swap_of(contract: Contract, *slots: str) -> QueryScript:
    """The swap of a manifest with these slots of a data set."""
    told = tuple(
        SlotParts(
            dataset=contract.dataset, slot=slot, slot_start=contract.calendar.slot_start(slot),
            version="v", revision="r", origin=Origin.SYNTHETIC, parts=(),
        )
        for slot in slots
    )  # fmt: skip
    tables = contract.lake_tables()
    manifest = Manifest(
        id="m-1", system=contract.system, sealed_at="", lake="gs://x", bytes=1, slots=told,
        tables=tables, contracts={contract.dataset: contract.for_job()},
    )  # fmt: skip
    counts = [Counts(dataset=contract.dataset, slot=s, rows_in=0, rows_out=0) for s in slots]
    return swap_script(manifest, counts, frozenset(table.name for table in tables), NOW)


@pytest.mark.parametrize("dataset", sorted(CONTRACTS))
def test_a_swap_processes_the_changed_slot_s_bytes_alone(dataset: str) -> None:
    """One slot of many changed: its partition of each table, however many others there are."""
    contract = CONTRACTS[dataset]
    slots = slots_of(contract, 96)
    swap, start = swap_of(contract, slots[6]), contract.calendar.slot_start(slots[6])
    stored = stored_of(contract, slots)
    found = swap_scans(swap, stored)
    assert found == [
        Scan(name, frozenset({each.partition(start)}), each.bytes[each.partition(start)])
        for name, each in stored.items()
    ]
    assert found == swap_scans(swap, stored_of(contract, slots[:48]))


def test_neighbours_are_admitted_and_no_more() -> None:
    contract = CONTRACTS["paris_wifi_usage"]
    slots = slots_of(contract, 24)
    stored = stored_of(contract, slots)
    for scan in swap_scans(swap_of(contract, *slots[5:7]), stored):
        assert scan.partitions == {date(2023, 6, 1), date(2023, 7, 1)}
        assert scan.bytes == sum(stored[scan.table].bytes[each] for each in scan.partitions)


def history_of(system: str) -> dict[str, Stored]:
    """The lake tables of a system with every slot since 2023 up to now."""
    made: dict[str, Stored] = {}
    for contract in systems(CONTRACTS)[system]:
        slots = slots_of(contract, 1)
        while contract.calendar.end(slots[-1]) <= NOW:
            slots.append(contract.calendar.shift(slots[-1], 1))
        made |= stored_of(contract, slots)
    return made


@pytest.mark.parametrize("system", sorted(path.parent.name for path in SQL.glob("*/tables")))
def test_a_report_admits_what_it_declares(system: str) -> None:
    made = report_script(system, SQL / system)
    stored = history_of(system)
    seen = 0
    for report in made.reports:
        found = scans(report.select, stored, {"run_time": NOW})
        seen += len(found)
        for scan in found:
            declared = _declared(stored[scan.table], report.declared.window_days)
            assert scan.partitions == declared, f"{report.name}: {scan.table}"
    for path in sorted((SQL / system / "checks").glob("*.sql")):
        assert scans(path.read_text(encoding="utf-8"), stored, {"run_time": NOW}) == []
    assert seen == _reads(made), "a statement on the lake that is no report's"


def _declared(stored: Stored, window_days: int | None) -> set[date]:
    """The partitions that a report says it reads."""
    if window_days is None:
        return set(stored.bytes)
    since = NOW.date() - timedelta(days=window_days)
    return {first for first in stored.bytes if first >= stored.partition(str(since))}


def _reads(made: ReportScript) -> int:
    """How often the whole script names a table of the lake."""
    bare = re.sub(r"--[^\n]*", "", made.text)
    return len(re.findall(r"\b(?:FROM|JOIN)\s+`?lake\.", bare))


@pytest.mark.parametrize(
    ("condition", "admitted"),
    [
        ("slot_start = DATE '2023-02-01'", {2}),
        ("slot_start BETWEEN @first AND @last", {2, 3}),
        ("slot_start >= DATE_SUB(DATE(@run_time), INTERVAL 70 DAY)", {3, 4}),
        ("slot_start IN ('2023-01-01', '2023-04-01')", {1, 4}),
        ("slot_start > '2023-02-10' AND t.slot_start < '2023-03-20'", {2, 3}),
        ("slot_start >= '2012-01-01' AND slot_start IN (SELECT day FROM fresh)", {1, 2, 3, 4}),
        ("slot_start >= '2012-01-01' AND slot_start = (SELECT MAX(d) FROM l)", {1, 2, 3, 4}),
        ("slot_start >= '2023-04-01' OR k = 1", {1, 2, 3, 4}),
        ("DATE_TRUNC(slot_start, MONTH) = '2023-04-01'", {1, 2, 3, 4}),
    ],
)
def test_what_a_condition_admits(condition: str, admitted: set[int]) -> None:
    stored = {"toys": Stored("MONTH", bytes={date(2023, at, 1): 10**at for at in range(1, 5)})}
    values = {
        "first": date(2023, 2, 1), "last": date(2023, 3, 1),
        "run_time": datetime(2023, 5, 20, tzinfo=UTC),
    }  # fmt: skip
    (scan,) = scans(f"SELECT k FROM lake.toys AS t WHERE {condition}", stored, values)
    assert {each.month for each in scan.partitions} == admitted
    assert scan.bytes == sum(10**at for at in admitted)


def test_a_refresh_on_storage_processes_the_changed_month_alone(
    tabled: Toy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The swaps as they were sent, against the Parquet files that the lake holds."""
    sent: list[QueryScript] = []
    query = bigquery.query

    def seen(clients: Any, sql: str, parameters: Any, **options: Any) -> Any:
        if "lake." in sql:
            sent.append(QueryScript(sql, parameters))
        return query(clients, sql, parameters, **options)

    monkeypatch.setattr(bigquery, "query", seen)
    contract = tabled.full
    assert contract.kind is Kind.FULL_EXPORT
    processed = []
    for hour, months in ((3, 6), (5, 12)):
        slots = slots_of(contract, months)
        whole = {slot: [(f"{slot} {n}", n) for n in range(40)] for slot in slots}
        tabled.split(contract, f"20250605T0{hour}0700Z", whole)
        tabled.through()
        stored = lake_of(tabled, contract)
        assert len(stored[contract.base.name].bytes) == months
        sent.clear()
        tabled.split(contract, f"20250605T0{hour}3700Z", {slots[2]: [("new", hour)]})
        tabled.through()
        (swap,) = sent
        scanned = {scan.table: scan for scan in swap_scans(swap, stored)}
        base = scanned[contract.base.name]
        assert base.partitions == {date(2023, 3, 1)}
        assert 0 < base.bytes < sum(stored[base.table].bytes.values()) / 2
        processed.append(base.bytes)
    assert processed[0] == pytest.approx(processed[1], rel=0.05)


def lake_of(toy: Toy, contract: Contract) -> dict[str, Stored]:
    """The bytes in the lake of what the ledger says is loaded."""
    made = {table.name: Stored.of(table, "MONTH") for table in contract.lake_tables()}
    for (dataset, slot), row in toy.ledger().items():
        if dataset != contract.dataset:
            continue
        for name, size in _files(toy, row.manifest, slot):
            made[name].put(contract.calendar.slot_start(slot), size)
    return made


def _files(toy: Toy, manifest: str, slot: str) -> Iterator[tuple[str, int]]:
    """(table, bytes) of the files that a manifest's batch wrote for a slot."""
    name = f"receipts/{toy.system}/{manifest}.json"
    receipt = Receipt.decode(toy.lake.blob(name).download_as_bytes())
    for written in receipt.written:
        for uri in written.files if written.slot == slot else ():
            blob = toy.lake.get_blob(uri.removeprefix(f"gs://{toy.lake.name}/"))
            assert blob is not None, uri
            yield written.table, int(blob.size or 0)
