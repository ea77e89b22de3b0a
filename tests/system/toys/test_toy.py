"""A data set of one's own: a folder with five things goes from its publisher to its report.

The folder is `tests/system/toy`, copied out of the repository: a snapshot every twenty minutes, cut
into hours, each hour worked on with the one before as its context. Nothing of the repository is
told of it but the folder's name.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.contract import Contract
from catalog.records import Manifest
from local_cloud.cli import trial
from local_cloud.cloud import LocalCloud
from local_cloud.functions_runtime.processes import FunctionProcesses
from local_cloud.publishers import Answer

pytestmark = pytest.mark.timeout(600)

DATASET = "harbour_gauges"
FOLDER = "toy"
TICKS = ("1007", "1027", "1047", "1107")
"""What the publisher shows; the last again and again: a snapshot of the same bytes is a snapshot."""
TEN, ELEVEN = "2025-06-05T10", "2025-06-05T11"


def at(clock: str) -> datetime:
    """A time of the day in question."""
    return datetime.fromisoformat(f"2025-06-05T{clock}:00").replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def before_grace(cloud: LocalCloud, root: Path, contract: Contract) -> dict[str, Any]:
    """What is there a minute before the grace of ten o'clock's hour is over."""
    samples = root / "tests" / "data" / "harbour"
    answers = [Answer(samples / f"{tick}.csv") for tick in TICKS]
    cloud.publishers.serve_sequence(contract.source.fetch[0].urls[0], answers)
    run_until(cloud, "11:09")
    return {"ledger": ledger(cloud), "parts": parts(cloud), "batches": cloud.dataproc.batches()}


@pytest.fixture(scope="module")
def ten(cloud: LocalCloud, before_grace: dict[str, Any]) -> dict[str, Any]:
    """The reports when ten o'clock's hour alone is loaded."""
    run_until(cloud, "11:37")
    return {"ledger": ledger(cloud), "report": report(cloud)}


@pytest.fixture(scope="module")
def eleven(cloud: LocalCloud, ten: dict[str, Any]) -> dict[str, Any]:
    """The reports when both hours are loaded."""
    run_until(cloud, "12:37")
    return {"ledger": ledger(cloud), "report": report(cloud)}


def run_until(cloud: LocalCloud, clock: str) -> None:
    """Let everything of the harbour's that is scheduled happen until then."""
    assert cloud.scheduler.run_until(at(clock), only=lambda name: "harbour" in name) > 0


def ledger(cloud: LocalCloud) -> dict[str, dict[str, Any]]:
    """The ledger's rows by slot."""
    rows = cloud.rows(f"SELECT * FROM ops.loads WHERE dataset = '{DATASET}'")
    return {row["slot"]: row for row in rows}


def parts(cloud: LocalCloud) -> list[str]:
    """The slots of the parts, one for each run."""
    listed = cloud.bucket("landing").list_blobs(prefix=f"parts/{DATASET}/")
    return sorted(blob.name.split("/")[2] for blob in listed)


def report(cloud: LocalCloud) -> dict[tuple[str, str], tuple[Any, ...]]:
    """(hour, gauge) → lowest, highest, rise, sample size, origin, as published."""
    rows = cloud.rows("SELECT * FROM reports.tide_by_hour")
    columns = ("lowest_cm", "highest_cm", "rise_cm", "sample_size", "origin")
    return {(f"{r['hour']:%H}", r["gauge"]): tuple(r[name] for name in columns) for r in rows}


def counts(row: dict[str, Any]) -> tuple[int, ...]:
    """Rows in, out, rejected, duplicates, and of these the revised."""
    return tuple(row[name] for name in ("rows_in", "rows_out", "rejected", "duplicates", "revised"))


def test_the_folder_has_what_the_page_asks_for(root: Path, contract: Contract) -> None:
    assert (root / "dataproc_jobs" / f"{contract.system}.py").is_file()
    assert list((root / "bq_sql" / contract.system / "tables").glob("*.sql"))
    assert list((root / "bq_sql" / contract.system / "checks").glob("*.sql"))
    assert (root / "tests" / "data" / contract.system / "LICENCE.md").is_file()


def test_its_schedules_stand_beside_the_repository_s(cloud: LocalCloud) -> None:
    assert isinstance(cloud.functions, FunctionProcesses)
    own = [name for name in cloud.scheduler.names if "harbour" in name]
    assert len(own) == 3, own
    assert "ingest-paris-wifi-sites" in cloud.scheduler.names


def test_an_hour_is_left_alone_until_its_grace_is_over(before_grace: dict[str, Any]) -> None:
    assert before_grace["parts"] == [f"slot={TEN}"] * 3 + [f"slot={ELEVEN}"]
    assert before_grace["batches"] == []
    assert before_grace["ledger"] == {}


def test_all_runs_of_an_hour_count(ten: dict[str, Any]) -> None:
    assert set(ten["ledger"]) == {TEN}
    row = ten["ledger"][TEN]
    assert row["version"].split(" ")[:2] == ["20250605T104700Z", "000003"]
    assert counts(row) == (9, 6, 1, 2, 1)
    assert json.loads(row["rejects"]) == {"level_cm: not an integer": 1}
    assert f"{row['newest']:%H:%M}" == "10:45"


def test_the_newest_run_s_row_is_the_one_that_counts(ten: dict[str, Any]) -> None:
    assert ten["report"] == {
        ("10", "north"): (120, 125, 5, 2, "sample"),
        ("10", "quay"): (88, 93, 5, 3, "sample"),
        ("10", "south"): (130, 130, None, 1, "sample"),
    }


def test_the_same_bytes_again_are_duplicates_and_a_late_report_keeps_its_tick_s_hour(
    eleven: dict[str, Any],
) -> None:
    assert set(eleven["ledger"]) == {TEN, ELEVEN}
    assert counts(eleven["ledger"][ELEVEN]) == (9, 3, 0, 6, 0)


def test_the_hour_before_is_read_and_not_written(
    cloud: LocalCloud, ten: dict[str, Any], eleven: dict[str, Any]
) -> None:
    assert eleven["report"] == ten["report"] | {
        ("11", "north"): (140, 140, 15, 1, "sample"),
        ("11", "quay"): (99, 99, 6, 1, "sample"),
        ("11", "south"): (128, 128, -2, 1, "sample"),
    }
    assert eleven["ledger"][TEN] == ten["ledger"][TEN]
    ranges = (
        "SELECT gauge, lowest_cm FROM lake.gauge_ranges WHERE slot_start = '2025-06-05T11:00:00Z'"
    )
    assert sorted(row["lowest_cm"] for row in cloud.rows(ranges)) == [99, 128, 140]


def test_a_manifest_names_the_parts_of_both_hours(
    cloud: LocalCloud, eleven: dict[str, Any]
) -> None:
    name = f"manifests/harbour/{eleven['ledger'][ELEVEN]['manifest']}.json"
    (slot,) = Manifest.decode(cloud.read("landing", name) or b"").slots
    assert (len(slot.parts), len(slot.context)) == (3, 3)
    assert all(f"slot={TEN}/" in uri for uri in slot.context)


def test_an_unknown_column_is_reported_and_kept_out(
    cloud: LocalCloud, eleven: dict[str, Any]
) -> None:
    drift = cloud.rows(
        "SELECT run, message FROM ops.events WHERE outcome = 'drift' AND `at` > '2025-01-01'"
    )
    assert {row["run"] for row in drift} >= {"20250605T110700Z"}
    assert all("Battery" in row["message"] for row in drift)


def test_its_checks_ran_and_none_failed(cloud: LocalCloud, eleven: dict[str, Any]) -> None:
    runs = cloud.rows("SELECT * FROM ops.report_runs WHERE system = 'harbour' ORDER BY run_time")
    assert [(row["outcome"], row["checks"]) for row in runs] == [("published", 3)] * 2
    assert all(run.ok for run in cloud.scheduler.runs)
    assert cloud.rows("SELECT * FROM ops.dead_letters") == []


def test_files_of_it_can_be_tried(
    cloud: LocalCloud, root: Path, contract: Contract, eleven: dict[str, Any]
) -> None:
    samples = root / "tests" / "data" / "harbour"
    given = [f"{samples / tick}.csv@2025-06-05T{hour}" for tick, hour in
             (("1007", "15:05"), ("1047", "15:25"), ("1107", "16:05"))]  # fmt: skip
    page = root / "page.csv"
    page.write_text("<!DOCTYPE html><html>maintenance</html>")
    runs = trial.timed([trial.parse(text) for text in [*given, str(page)]], cloud.clock.now())
    document = trial.try_files(cloud, contract, runs, ["SELECT 1 AS one", "SELECT nonsense"])
    told = document["files"]
    assert [file["outcome"] for file in told] == ["accepted", "accepted", "accepted", "refused"]
    assert told[0]["slots"]["2025-06-05T15"] == {
        "rows_in": 6, "rows_out": 5, "duplicates": 0, "rejected": {"level_cm: not an integer": 1},
    }  # fmt: skip
    assert list(told[2]["unknown_columns"]) == ["Battery"]
    assert document["tables"]["lake.gauge_readings"]["rows"] == 20
    assert document["queries"][0]["rows"] == [[1]]
    assert document["queries"][1]["error"]
