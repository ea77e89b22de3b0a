"""Every statement of ours on the lake says which slots it reads: parsed, scope by scope."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlglot import exp

from catalog.contract import Contract, load_all, systems
from catalog.records import Counts, Manifest, Origin, SlotParts
from catalog.reports import load_reports
from catalog.versions import Version
from functions.load.swap import swap_script
from tests.support.predicates import parsed, scopes, tables, unbounded

REPOSITORY = Path(__file__).parents[3]
FILES = sorted((REPOSITORY / "bq_sql").rglob("*.sql"))
NOW = datetime(2025, 6, 5, tzinfo=UTC)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_reports_and_checks_name_their_slots(path: Path) -> None:
    assert unbounded(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "system", sorted(path.parent.name for path in (REPOSITORY / "bq_sql").glob("*/tables"))
)
def test_a_report_of_events_reads_the_days_that_it_declares(system: str) -> None:
    """Telemetry grows for ever and is nobody's truth: a report of it reads a window."""
    for report in load_reports(REPOSITORY / "bq_sql" / system):
        for scope in (each for one in parsed(report.select) for each in scopes(one)):
            read = [table for table in tables(scope) if (table.db, table.name) == ("ops", "events")]
            days = f"INTERVAL '{report.declared.window_days}' DAY"
            where = scope.args.get("where")
            held = [each.sql("bigquery") for each in where.this.flatten()] if where else []
            assert not read or f"`at` >= TIMESTAMP_SUB(@run_time, {days})" in held, report.name


def test_the_reports_read_the_lake() -> None:
    assert any("lake." in path.read_text(encoding="utf-8") for path in FILES)


@pytest.mark.parametrize("system", sorted(systems(load_all())))
def test_the_swap_names_its_slots(system: str) -> None:
    manifest = _manifest(system)
    staged = frozenset(table.name for table in manifest.tables)
    counts = [Counts(dataset=s.dataset, slot=s.slot, rows_in=1, rows_out=1) for s in manifest.slots]
    script = swap_script(manifest, counts, staged, NOW).sql
    on_lake = [piece for piece in script.split(";\n") if "lake." in piece]
    assert len(on_lake) == 2 * len(manifest.tables)
    touched = {t.name for piece in on_lake for s in parsed(piece) for t in s.find_all(exp.Table)}
    assert staged <= touched
    assert [unbounded(piece, "lake", "staging") for piece in on_lake] == [[]] * len(on_lake)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT day FROM lake.toys",
        "SELECT day FROM `lake.toys`",
        "SELECT slot_start FROM lake.toys WHERE day > '2020-01-01' ORDER BY slot_start",
        "SELECT day FROM lake.toys WHERE slot_start >= '2020-01-01' OR day IS NULL",
        "SELECT day FROM lake.toys WHERE NOT slot_start >= '2020-01-01'",
        "SELECT day FROM lake.toys WHERE slot_start = day",
        "SELECT day FROM lake.toys WHERE FORMAT_DATE('%Y', slot_start) >= '2020'",
        "SELECT day FROM lake.toys WHERE slot_start IS NOT NULL",
        "SELECT day FROM lake.toys WHERE slot_start IN (SELECT day FROM fresh)",
        "SELECT 1 FROM lake.toys AS a JOIN lake.other AS b ON TRUE WHERE a.slot_start > '2020'",
        "SELECT day FROM lake.toys AS a LEFT JOIN ledger AS b ON a.slot_start >= '2020-01-01'",
        "SELECT n FROM ledger WHERE slot_start > '2020' AND EXISTS (SELECT 1 FROM lake.toys)",
        "WITH t AS (SELECT day FROM lake.toys) SELECT day FROM t WHERE slot_start >= '2020-01-01'",
        "SELECT 1 AS n FROM lake.toys WHERE slot_start > '2020' UNION ALL SELECT 1 FROM lake.other",
        "DELETE FROM lake.toys WHERE TRUE",
        "UPDATE lake.toys SET a = 1 WHERE day > '2020'",
        "MERGE lake.toys AS t USING s ON t.slot_start = s.slot_start WHEN MATCHED THEN DELETE",
        "INSERT INTO reports.x (n) SELECT COUNT(*) AS n FROM lake.toys",
        "ASSERT (SELECT COUNT(*) FROM lake.toys) > 0 AS 'no toys'",
    ],
)
def test_a_statement_without_is_refused(sql: str) -> None:
    assert len(unbounded(sql)) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT day FROM lake.toys WHERE slot_start >= DATE '2020-01-01' AND day IS NOT NULL",
        "SELECT day FROM lake.toys AS t WHERE t.slot_start BETWEEN @first AND @last",
        "SELECT day FROM lake.toys WHERE slot_start IN ('2020-01-01', '2020-02-01')",
        "SELECT 1 FROM ledger AS l LEFT JOIN lake.toys AS t ON t.id = l.id AND t.slot_start > '2020'",
        "SELECT day FROM lake.toys WHERE slot_start = (SELECT MAX(day) FROM ledger)",
        "DELETE FROM lake.toys WHERE slot_start >= '2020-01-01'",
        "INSERT INTO lake.toys (a) SELECT a FROM staging.toys",
        "SELECT n FROM ledger",
    ],
)
def test_a_statement_with_is_taken(sql: str) -> None:
    assert unbounded(sql) == []


def test_what_cannot_be_parsed_is_not_let_through() -> None:
    with pytest.raises(ValueError, match="not understood"):
        unbounded("CALL lake.sweep()")


def _manifest(system: str) -> Manifest:
    """A manifest with one slot of each of the system's data sets."""
    contracts = systems(load_all())[system]
    return Manifest(
        id=f"{system}-1".replace("_", "-"), system=system, sealed_at=NOW.isoformat(),
        lake="gs://demo-lake", bytes=1, slots=tuple(map(_slot, contracts)),
        tables=tuple(table for contract in contracts for table in contract.lake_tables()),
        contracts={contract.dataset: contract.for_job() for contract in contracts},
    )  # fmt: skip


def _slot(contract: Contract) -> SlotParts:
    """A slot of a data set with one part."""
    slot = contract.calendar.slot(NOW)
    return SlotParts(
        dataset=contract.dataset, slot=slot, slot_start=contract.calendar.slot_start(slot),
        version=str(Version("20250605T000000Z", 1)), revision="r", origin=Origin.SAMPLE,
        parts=("gs://demo-landing/part",), rows_in=1,
    )  # fmt: skip
