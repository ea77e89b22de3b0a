"""The scheduled query of Paris Wi-Fi on an engine: figures, gate, and what a failed check leaves."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest

from catalog.reports import Script, script
from tests.bq_sql.conftest import Warehouse

MADE = script("paris_wifi", Path(__file__).parents[2] / "bq_sql" / "paris_wifi")
NOON = datetime(2024, 9, 2, 12, 7, tzinfo=UTC)
pytestmark = pytest.mark.cloud

SESSIONS = [
    # day, district, site, seconds
    ("2019-09-05", 1, "PW1", 600.0),
    ("2019-09-05", 1, "PW1", 1200.0),
    ("2019-09-05", 1, "PW2", 3000.0),
    ("2019-09-05", None, "PW9", None),
    ("2019-09-06", 16, "PW1", -5.0),
]
SITES = [
    # day, code, postal code, district, access points, open
    ("2024-08-31", "PW1", "75001", 1, 3, True),
    ("2024-09-01", "PW1", "75001", 1, 3, True),
    ("2024-09-01", "PW2", "75001", 1, 2, False),
    ("2024-09-01", "PW3", "75116", 16, None, None),
    ("2024-09-01", "PW4", "93100", None, 2, True),
    ("2024-09-01", None, None, None, 1, True),
]


def loaded(dataset: str, slot: str, rows: int, **more: Any) -> dict[str, Any]:
    """A row of the ledger."""
    return {
        "dataset": dataset,
        "slot": slot,
        "system": "paris_wifi",
        "version": "v1",
        "revision": "r1",
        "manifest": "m1",
        "run": "20240901T041700Z",
        "rows_in": rows,
        "rows_out": rows,
        "origin": "publisher",
        "loaded_at": "2024-09-01T04:20:00Z",
    } | more


@pytest.fixture
def filled(warehouse: Warehouse) -> Warehouse:
    """A warehouse with the rows above."""
    warehouse.fill(
        "lake.wifi_sessions",
        *(
            {
                "slot_start": f"{day[:7]}-01",
                "started_at": f"{day}T12:00:00Z",
                "local_day": day,
                "district": district,
                "site_code": site,
                "duration_s": seconds,
                "run": "r",
            }
            for day, district, site, seconds in SESSIONS
        ),
    )
    names = ("slot_start", "site_code", "postal_code", "district", "access_points", "is_open")
    sites = (dict(zip(names, site, strict=True)) | {"name": "n", "run": "r"} for site in SITES)
    warehouse.fill("lake.wifi_sites", *sites)
    newest = "2019-09-06T12:00:00Z"
    warehouse.fill(
        "ops.loads",
        loaded("paris_wifi_usage", "2019-09", 5, newest=newest, origin="sample"),
        loaded("paris_wifi_sites", "2024-08-31", 1, run="20240831T041700Z"),
        loaded("paris_wifi_sites", "2024-09-01", 5),
    )
    return warehouse


def runs(warehouse: Warehouse) -> list[tuple[datetime, str]]:
    """When the query ran and what came of it."""
    rows = warehouse.run("SELECT run_time, outcome FROM ops.report_runs ORDER BY run_time")
    return [(row["run_time"], row["outcome"]) for row in rows]


def publish(warehouse: Warehouse, made: Script = MADE, at: datetime = NOON) -> None:
    """Run a script as the schedule does."""
    warehouse.run(made.text, at)


def usage(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The published usage."""
    return warehouse.run("SELECT * FROM reports.wifi_usage_by_day ORDER BY day, district")


def test_nothing_loaded_publishes_nothing(warehouse: Warehouse) -> None:
    publish(warehouse)
    assert runs(warehouse) == []
    assert not list(warehouse.client.list_tables("reports"))


def test_figures_and_what_they_rest_on(filled: Warehouse) -> None:
    publish(filled)
    first, unknown, negative = usage(filled)
    assert first == {
        "day": date(2019, 9, 5),
        "district": "1",
        "sessions": 3,
        "timed_sessions": 3,
        "minutes": 80.0,
        "sites": 2,
        "median_minutes": 20.0,
        "sample_size": 3,
        "data_as_of": datetime(2019, 9, 6, 12, tzinfo=UTC),
        "origin": "sample",
    }
    assert (unknown["district"], unknown["sessions"], unknown["timed_sessions"]) == (
        "unknown",
        1,
        0,
    )
    assert (negative["district"], negative["minutes"], negative["median_minutes"]) == (
        "16",
        0,
        None,
    )

    sites = filled.run("SELECT * FROM reports.wifi_sites_by_district")
    assert len(sites) == 22
    shown = {
        row["district"]: (
            row["sites"],
            row["open_sites"],
            row["sites_of_unknown_state"],
            row["access_points"],
            row["sites_without_access_points"],
            row["sites_without_sessions"],
        )
        for row in sites
        if row["sites"]
    }
    assert shown == {
        "1": (2, 1, 0, 5, 0, 0),
        "16": (1, 0, 1, 0, 1, 1),
        "outside Paris": (1, 1, 0, 2, 0, 1),
        "unknown": (1, 1, 0, 1, 0, 1),
    }
    assert {(row["listed_on"], row["data_as_of"], row["origin"]) for row in sites} == {
        (date(2024, 9, 1), datetime(2024, 9, 1, 4, 17, tzinfo=UTC), "sample")
    }
    table = filled.client.get_table("reports.wifi_usage_by_day")
    assert all(field.description for field in table.schema)
    assert table.description.startswith("Paris Wi-Fi: usage by day")
    assert runs(filled) == [(NOON, "published")]


def test_a_run_again_does_nothing_until_something_is_new(filled: Warehouse) -> None:
    publish(filled)
    before = usage(filled)
    publish(filled)
    publish(filled, at=NOON + timedelta(minutes=30))
    assert runs(filled) == [(NOON, "published")]
    assert usage(filled) == before
    filled.run("UPDATE ops.loads SET version = 'v2' WHERE slot = '2019-09'")
    publish(filled, at=NOON + timedelta(minutes=60))
    assert runs(filled)[1:] == [(NOON + timedelta(minutes=60), "published")]
    assert usage(filled) == before


def test_the_same_run_twice_is_one_row(filled: Warehouse) -> None:
    publish(filled)
    filled.run("UPDATE ops.loads SET version = 'v2' WHERE slot = '2019-09'")
    publish(filled)
    assert runs(filled) == [(NOON, "published")]


def test_a_failed_check_leaves_yesterdays_table(filled: Warehouse) -> None:
    publish(filled)
    before = usage(filled)
    filled.run("UPDATE lake.wifi_sessions SET duration_s = 60 WHERE slot_start = '2019-09-01'")
    filled.run("UPDATE ops.loads SET rows_out = 6, version = 'v2' WHERE slot = '2019-09'")
    later = NOON + timedelta(minutes=30)
    with pytest.raises(BadRequest, match="the sum of sessions is not the rows loaded"):
        publish(filled, at=later)
    assert usage(filled) == before
    assert runs(filled) == [(NOON, "published"), (later, "failed")]
    (failed,) = filled.run("SELECT error FROM ops.report_runs WHERE outcome = 'failed'")
    assert "the sum of sessions is not the rows loaded" in failed["error"]

    filled.run("UPDATE ops.loads SET rows_out = 5 WHERE slot = '2019-09'")
    publish(filled, at=later)
    assert runs(filled) == [(NOON, "published"), (later, "published")]
    assert [row["minutes"] for row in usage(filled)] == [3.0, 1.0, 1.0]


def test_a_report_that_cannot_be_built_is_told(filled: Warehouse) -> None:
    filled.run("DROP TABLE lake.wifi_sites")
    with pytest.raises(BadRequest, match="wifi_sites"):
        publish(filled)
    assert runs(filled) == [(NOON, "failed")]
    assert not list(filled.client.list_tables("reports"))


def test_one_data_set_is_enough(filled: Warehouse) -> None:
    filled.run("DELETE FROM ops.loads WHERE dataset = 'paris_wifi_sites'")
    filled.run("DELETE FROM lake.wifi_sites WHERE TRUE")
    publish(filled)
    assert len(usage(filled)) == 3
    assert filled.run("SELECT * FROM reports.wifi_sites_by_district") == []
