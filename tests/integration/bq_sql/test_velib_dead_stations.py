"""Which stations are listed as dead, and which of them first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.reports import load_reports
from tests.support.velib_lake import StationHour, change
from tests.support.warehouse import Warehouse

FOLDER = Path(__file__).parents[3] / "bq_sql" / "velib"
NOON = datetime(2025, 6, 6, 4, 7, tzinfo=UTC)
NEWEST = "2025-06-06T03"


def hour(days_ago: int) -> str:
    """The newest hour, so many days earlier."""
    newest = datetime.fromisoformat(f"{NEWEST}:00:00+00:00")
    return f"{newest - timedelta(days=days_ago):%Y-%m-%dT%H}"


def test_the_newest_losses_come_first_and_old_ones_make_room(warehouse: Warehouse) -> None:
    lost = {f"{station}": hour(days) for station, days in ((7001, 26), (7002, 3), (7003, 12))}
    told = [StationHour(at, station, "Paris 7", 60, 1, 1, 1) for station, at in lost.items()]
    told += [StationHour(hour(40), f"8{number:03}", "Paris 8", 60, 1, 1, 1) for number in range(21)]
    told += [
        StationHour(NEWEST, "9020", "Paris 9", 60, 1, 1, 1),
        StationHour(NEWEST, "9021", "Paris 9", 0, 1, 1, 1, stale=True, report_age=3000.0),
        StationHour(NEWEST, "9022", "Paris 9", 0, 1, 1, 1, stale=True, report_age=90_000.0),
    ]
    warehouse.fill("lake.velib_station_hours", *(each.row() for each in told))
    warehouse.fill(
        "lake.velib_station_changes", *(change(e.hour, e.station, e.neighbourhood) for e in told)
    )
    dead, *parts = (
        report for name in ("velib_dead_stations", "velib_stations_now", "velib_station_history")
        for report in load_reports(FOLDER) if report.name == name
    )  # fmt: skip
    now, history = (part.select.replace("@run_time", f"TIMESTAMP '{NOON}'") for part in parts)
    asked = dead.select.replace("@run_time", f"TIMESTAMP '{NOON}'")
    order = ", ".join(f"{each} NULLS LAST" for each in dead.declared.order)
    rows = warehouse.run(
        f"WITH velib_station_history AS ({history}), velib_stations_now AS ({now}) "
        f"SELECT * FROM ({asked}) ORDER BY {order}"
    )
    found = [(r["stationcode"], r["state"], round(r["days_without_report"], 1)) for r in rows]
    assert found == [
        ("7002", "gone", 3.0),
        ("7003", "gone", 12.0),
        ("7001", "gone", 26.0),
        ("9022", "stale", 62.5),
        ("9021", "stale", 2.1),
    ]
    assert {row["name"] for row in rows} == {f"Place {row['stationcode']}" for row in rows}
