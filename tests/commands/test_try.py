"""`try` as people call it: a process that prints one document and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local_cloud.cloud import REPOSITORY

SAMPLES = REPOSITORY / "tests" / "data" / "wifi"
OLD = SAMPLES / "sites_2017-05_juuljul_v1_records.json"
NEW = SAMPLES / "sites_2023-05_simonejw.geojson"
SQL = "SELECT slot_start, COUNT(*) AS n FROM lake.wifi_sites GROUP BY 1 ORDER BY 1"
NEED = {"files", "failures", "tables", "queries"}
OF_A_FILE = {
    "files", "run", "outcome", "reason", "encoding", "header", "aliases", "unknown_columns",
    "missing_columns", "repaired", "warnings", "slots", "revised", "rejects",
}  # fmt: skip
OF_A_SLOT = {"rows_in", "rows_out", "rejected", "duplicates"}


@dataclass(frozen=True)
class Tried:
    """What a call of `try` left."""

    code: int
    out: str
    err: str
    pages: Path

    @property
    def files(self) -> list[dict[str, Any]]:
        """What it says of each run, in the order given."""
        found: list[dict[str, Any]] = json.loads(self.out)["files"]
        return found


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    """One call: a file of 2017 with a faulty row, one of 2023, the same again, and a page."""
    folder = tmp_path_factory.mktemp("try")
    listed = json.loads(OLD.read_text())
    listed[1]["fields"]["nom_site"] = ""
    old = folder / OLD.name
    old.write_text(json.dumps(listed))
    page = folder / "sites.json"
    page.write_text("<!DOCTYPE html><html><title>Maintenance</title></html>")
    files = [f"{old}@2017-05-31", str(NEW), str(NEW), str(page)]
    command = [sys.executable, "-m", "local_cloud", "try", "paris_wifi_sites", *files]
    done = subprocess.run(
        [*command, "--query", SQL, "--pages", str(folder / "pages")],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    return Tried(done.returncode, done.stdout, done.stderr, folder / "pages")


def test_standard_output_is_one_document_with_the_documented_keys(tried: Tried) -> None:
    assert tried.code == 0, tried.err
    document = json.loads(tried.out)
    assert set(document) == NEED
    assert [set(file) for file in document["files"]] == [OF_A_FILE] * 4
    slots = [slot for file in document["files"] for slot in file["slots"].values()]
    assert slots
    assert all(set(slot) == OF_A_SLOT for slot in slots)
    assert {"lake.wifi_sites", "reports.wifi_sites_by_district"} <= set(document["tables"])
    assert all(set(table) == {"rows", "schema"} for table in document["tables"].values())


def test_pages_and_pictures_are_written_where_asked(tried: Tried) -> None:
    written = {path.name for path in tried.pages.iterdir()}
    assert {"index.html", "health.html", "paris_wifi.html", "health_calendar.png"} <= written


def test_the_logs_go_to_standard_error(tried: Tried) -> None:
    lines = [json.loads(line) for line in tried.err.splitlines() if line.startswith("{")]
    assert {"split", "seal", "load"} <= {line.get("step") for line in lines}, tried.err


def test_each_file_is_told_apart(tried: Tried) -> None:
    told = [(file["run"], file["outcome"]) for file in tried.files]
    assert told == [
        ("20170531T120000Z", "accepted"),
        ("20170601T120000Z", "accepted"),
        ("20170602T120000Z", "unchanged"),
        ("20170603T120000Z", "refused"),
    ]
    old, new, same, page = tried.files
    assert old["reason"] is None
    assert "idpw" not in old["unknown_columns"]
    assert new["aliases"]["site_code"] in new["header"] or new["header"]
    assert same["reason"] == "the same bytes as run 20170601T120000Z"
    assert "page" in page["reason"].lower()
    assert (page["slots"], page["header"]) == ({}, [])


def test_a_rejected_row_is_told_with_its_place(tried: Tried) -> None:
    old, *others = tried.files
    (told,) = old["rejects"]
    row = told.pop("row")
    assert told == {
        "file": OLD.name, "line": 2, "slot": "2017-05-31", "reason": "name: empty",
    }  # fmt: skip
    assert json.loads(row)["fields"]["nom_site"] == ""
    assert old["slots"]["2017-05-31"]["rejected"] == {"name: empty": 1}
    assert [file["rejects"] for file in others] == [[], [], []]


def test_the_rows_of_each_slot_add_up(tried: Tried) -> None:
    slots = [pair for file in tried.files for pair in file["slots"].items()]
    assert [name for name, _ in slots] == ["2017-05-31", "2017-06-01"]
    for name, slot in slots:
        gone = sum(slot["rejected"].values()) + slot["duplicates"]
        assert slot["rows_in"] == slot["rows_out"] + gone, name
        assert slot["rows_out"] > 100
    (query,) = json.loads(tried.out)["queries"]
    assert query["columns"] == ["slot_start", "n"]
    assert query["rows"] == [[name, slot["rows_out"]] for name, slot in slots]
