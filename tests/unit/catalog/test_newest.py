"""Tables of newest rows: their columns follow from the contract, and are declared for readers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from catalog.contract import NEWEST_ADDED, TYPES, Contract, load_all
from catalog.latest_table import columns
from catalog.reports import load_reports

BQ_SQL = Path(__file__).parents[3] / "bq_sql"
SHOWN = {name: contract for name, contract in load_all().items() if contract.latest_table}


def test_the_stations_of_velib_are_shown() -> None:
    assert "velib_stations" in SHOWN


@pytest.mark.parametrize("contract", SHOWN.values(), ids=SHOWN)
def test_the_columns_are_the_contract_s_and_what_is_said_of_the_fetch(contract: Contract) -> None:
    assert contract.latest_table is not None
    made = columns(contract, contract.latest_table)
    names = [column.name for column in made]
    assert names == [*(column.name for column in contract.columns), *NEWEST_ADDED]
    required = {column.name for column in made if column.mode == "REQUIRED"}
    assert {*contract.latest_table.key, *NEWEST_ADDED} - {"age_minutes"} <= required
    assert {column.type for column in contract.columns} <= set(TYPES)
    assert all(column.description for column in made)


@pytest.mark.parametrize("contract", SHOWN.values(), ids=SHOWN)
def test_what_readers_are_told_is_what_the_table_has(contract: Contract, tmp_path: Path) -> None:
    """As a report's declaration is read, which its loader judges; `ADDED` comes last in both."""
    assert contract.latest_table is not None
    table = contract.latest_table.table
    (tmp_path / "tables").mkdir()
    toml = BQ_SQL / contract.system / "live" / f"{table}.toml"
    shutil.copy(toml, tmp_path / "tables")
    (tmp_path / "tables" / f"{table}.sql").write_text("SELECT 1", encoding="utf-8")
    (report,) = load_reports(tmp_path)
    made = columns(contract, contract.latest_table)
    kept = {
        column.name: column.mode == "REQUIRED" for column in made[: -len(("data_as_of", "origin"))]
    }
    assert [(c.name, c.type, c.unit) for c in report.columns] == [
        (c.name, c.type, c.unit or "") for c in made
    ]
    assert {c.name: c.required for c in report.declared.columns} == kept
    assert (report.declared.key, report.declared.datasets) == (
        contract.latest_table.key,
        (contract.dataset,),
    )


def test_no_report_bears_the_name_of_such_a_table() -> None:
    reports = {path.stem for path in BQ_SQL.glob("*/tables/*.sql")}
    assert reports.isdisjoint(
        contract.latest_table.table for contract in SHOWN.values() if contract.latest_table
    )
