"""The scheduled query on an engine: its gate, and what a failed check leaves standing."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest

from catalog.reports import Script, script
from tests.support.warehouse import Warehouse
from tests.support.wifi_lake import Session, fill_sessions, fill_sites, loaded, placed

FOLDER = Path(__file__).parents[3] / "bq_sql" / "paris_wifi"
CHECK = """
ASSERT (SELECT SUM(sessions) FROM wifi_usage_by_day) = (SELECT SUM(rows_out) FROM ledger)
AS 'the sum of sessions is not the rows loaded'
"""
NOON = datetime(2024, 9, 2, 12, 7, tzinfo=UTC)
SESSIONS = (
    Session("2019-09-05", 12, "PW1", 1, 600.0),
    Session("2019-09-05", 12, "PW1", 1, 1200.0),
    Session("2019-09-05", 12, "PW2", 1, 3000.0),
    Session("2019-09-05", 12, "PW9", "missing", None, "missing"),
    Session("2019-09-06", 12, "PW1", 16, -5.0, "negative"),
)


@pytest.fixture
def made(tmp_path: Path) -> Script:
    """The script of one report and one check."""
    folder = tmp_path / "paris_wifi"
    (folder / "tables").mkdir(parents=True)
    (folder / "checks").mkdir()
    for suffix in ("sql", "toml"):
        shutil.copy(FOLDER / "tables" / f"wifi_usage_by_day.{suffix}", folder / "tables")
    (folder / "checks" / "layers.sql").write_text(CHECK, encoding="utf-8")
    return script("paris_wifi", folder)


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    """A warehouse with the sessions above."""
    fill_sessions(warehouse, SESSIONS)
    newest = "2019-09-06T12:00:00Z"
    warehouse.fill(
        "ops.loads", loaded("paris_wifi_usage", "2019-09", 5, newest=newest, origin="sample")
    )
    return warehouse


def runs(warehouse: Warehouse) -> list[tuple[datetime, str]]:
    """When the query ran and what came of it."""
    rows = warehouse.run("SELECT run_time, outcome FROM ops.report_runs ORDER BY run_time")
    return [(row["run_time"], row["outcome"]) for row in rows]


def usage(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The published usage."""
    return warehouse.run("SELECT * FROM reports.wifi_usage_by_day ORDER BY day, district")


def test_what_a_wrong_clock_dates_ahead_is_as_new_as_its_fetch(
    warehouse: Warehouse, made: Script
) -> None:
    fill_sessions(warehouse, SESSIONS)
    ahead = loaded("paris_wifi_usage", "2019-09", 5, newest="2024-09-01T20:00:00Z")
    warehouse.fill("ops.loads", ahead)
    warehouse.run(made.text, NOON)
    fetched = datetime(2024, 9, 1, 4, 17, tzinfo=UTC)
    assert {row["data_as_of"] for row in usage(warehouse)} == {fetched}
    (run,) = warehouse.run("SELECT data_as_of FROM ops.report_runs")
    assert run["data_as_of"] == fetched


def test_nothing_loaded_publishes_nothing(warehouse: Warehouse, made: Script) -> None:
    warehouse.run(made.text, NOON)
    assert runs(warehouse) == []
    assert not list(warehouse.client.list_tables("reports"))


def test_figures_and_what_they_rest_on(filled: Warehouse, made: Script) -> None:
    filled.run(made.text, NOON)
    first, unknown, negative = usage(filled)
    assert first == {
        "day": date(2019, 9, 5),
        "district": "1",
        "sessions": 3,
        "sessions_counted": 3,
        "minutes": 80.0,
        "sites": 2,
        "sample_size": 3,
        "data_as_of": datetime(2019, 9, 6, 12, tzinfo=UTC),
        "origin": "sample",
    }
    columns = ("district", "sessions", "sessions_counted", "minutes")
    assert [unknown[name] for name in columns] == ["missing", 1, 0, 0]
    assert [negative[name] for name in columns] == ["16", 1, 0, 0]
    table = filled.client.get_table("reports.wifi_usage_by_day")
    assert all(field.description for field in table.schema)
    assert table.description.startswith("Paris Wi-Fi: usage by day")
    assert runs(filled) == [(NOON, "published")]


def test_a_run_again_does_nothing_until_something_is_new(filled: Warehouse, made: Script) -> None:
    filled.run(made.text, NOON)
    before = usage(filled)
    filled.run(made.text, NOON)
    filled.run(made.text, NOON + timedelta(minutes=30))
    assert runs(filled) == [(NOON, "published")]
    assert usage(filled) == before
    filled.run("UPDATE ops.loads SET version = 'v2' WHERE slot = '2019-09'")
    filled.run(made.text, NOON + timedelta(minutes=60))
    assert runs(filled)[1:] == [(NOON + timedelta(minutes=60), "published")]
    assert usage(filled) == before


def test_the_same_run_twice_is_one_row(filled: Warehouse, made: Script) -> None:
    filled.run(made.text, NOON)
    filled.run("UPDATE ops.loads SET version = 'v2' WHERE slot = '2019-09'")
    filled.run(made.text, NOON)
    assert runs(filled) == [(NOON, "published")]


def test_a_failed_check_leaves_yesterdays_table(filled: Warehouse, made: Script) -> None:
    filled.run(made.text, NOON)
    before = usage(filled)
    filled.run(
        "UPDATE lake.wifi_site_days SET milliseconds = 3600000 WHERE slot_start = '2019-09-01'"
    )
    filled.run("UPDATE ops.loads SET rows_out = 6, version = 'v2' WHERE slot = '2019-09'")
    later = NOON + timedelta(minutes=30)
    with pytest.raises(BadRequest, match="the sum of sessions is not the rows loaded"):
        filled.run(made.text, later)
    assert usage(filled) == before
    assert runs(filled) == [(NOON, "published"), (later, "failed")]
    (failed,) = filled.run("SELECT error FROM ops.report_runs WHERE outcome = 'failed'")
    assert "the sum of sessions is not the rows loaded" in failed["error"]

    filled.run("UPDATE ops.loads SET rows_out = 5 WHERE slot = '2019-09'")
    filled.run(made.text, later)
    assert runs(filled) == [(NOON, "published"), (later, "published")]
    assert [row["minutes"] for row in usage(filled)] == [120.0, 60.0, 60.0]


def test_a_report_that_cannot_be_built_is_told(filled: Warehouse, made: Script) -> None:
    filled.run("DROP TABLE lake.wifi_site_days")
    with pytest.raises(BadRequest, match="wifi_site_days"):
        filled.run(made.text, NOON)
    assert runs(filled) == [(NOON, "failed")]
    assert not list(filled.client.list_tables("reports"))


def sizes(warehouse: Warehouse) -> dict[str, int]:
    """The published reports that have rows."""
    names = [table.table_id for table in warehouse.client.list_tables("reports")]
    counts = {n: warehouse.run(f"SELECT COUNT(*) AS n FROM reports.{n}")[0]["n"] for n in names}
    return {name: count for name, count in counts.items() if count}


def test_sites_alone_are_enough_for_all_reports(warehouse: Warehouse) -> None:
    rows = ({"site_code": "PW1", "postal_code": "75001", "is_open": True} | placed(1),)
    fill_sites(warehouse, {"2024-08-31": rows, "2024-09-01": rows})
    slots = (loaded("paris_wifi_sites", day, 1) for day in ("2024-08-31", "2024-09-01"))
    warehouse.fill("ops.loads", *slots)
    warehouse.run(script("paris_wifi", FOLDER).text, NOON)
    assert sizes(warehouse) == {"wifi_site_history": 1, "wifi_sites_by_district": 23}


def test_sessions_alone_are_enough_for_all_reports(filled: Warehouse) -> None:
    filled.run(script("paris_wifi", FOLDER).text, NOON)
    assert {"wifi_usage_by_day", "wifi_site_use", "wifi_languages"} <= set(sizes(filled))
    (never,) = filled.run("SELECT SUM(sessions_never_joined) AS n FROM reports.wifi_district_use")
    assert never["n"] == len(SESSIONS)
    unknown = "SELECT SUM(days) AS days, SUM(days_of_unknown_holidays) AS n"
    (told,) = filled.run(f"{unknown} FROM reports.wifi_day_types")
    assert told == {"days": 2, "n": 2}
