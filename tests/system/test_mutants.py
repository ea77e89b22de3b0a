"""Each invariant has a mutant: a small patch of the code that must turn a named test red.

A patch that no longer applies fails here too: renew it, so that it breaks the same promise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MUTANTS = Path(__file__).parent / "mutants"
FOLDERS = (
    "catalog",
    "functions",
    "dataproc_jobs",
    "infra_pulumi",
    "local_cloud",
    "bq_sql",
    "tests",
)
FILES = ("pyproject.toml", "uv.lock")
TESTS_FAILED = 1

RED = {
    "01_a_claim_is_overwritten": "functions/test_download.py::test_a_try_that_loses_the_claim_deletes_its_own",
    "02_a_split_again_seals_nothing": "functions/test_split.py::test_again_changes_nothing_and_seals_again",
    "03_a_lost_reply_undoes_the_split": "functions/test_split.py::test_a_lost_reply_deletes_nothing_that_the_record_names",
    "03_a_lost_reply_swaps_twice": "functions/test_load.py::test_an_older_receipt_after_a_newer",
    "04_parts_are_taken_for_manifests": "catalog/test_runs.py::test_no_output_of_a_step_matches_the_trigger_of_the_same_step",
    "05_counts_are_not_reconciled": "functions/test_load.py::test_counts_that_do_not_reconcile_change_nothing",
    "06_blocks_are_all_read_ahead": "functions/test_split.py::test_memory_is_bounded_by_a_chunk",
    "06_rows_wait_for_the_end_of_the_file": "functions/test_split.py::test_memory_is_bounded_by_a_chunk",
    "07_a_load_waits_too_long": "system/test_invariants.py::test_every_step_ends_before_its_function_does",
    "08_the_archive_bears_its_time": "infra_pulumi/test_archive.py::test_same_content_same_bytes",
    "09_a_swap_admits_every_partition": "system/test_stored_bytes.py::test_a_swap_processes_the_changed_slot_s_bytes_alone",
    "09_a_swap_scans_the_whole_table": "system/test_stored_bytes.py::test_a_swap_processes_the_changed_slot_s_bytes_alone",
    "09_a_report_has_no_gate": "bq_sql/test_gate.py::test_a_run_again_does_nothing_until_something_is_new",
    "10_a_missing_column_is_borne": "functions/test_split.py::test_refused_runs",
    "12_slots_are_cut_in_utc": "catalog/test_slots.py::test_the_slot_of_an_instant_in_paris",
}
"""Mutant, by the number of its invariant → the test that must fail."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    made = tmp_path_factory.mktemp("mutants") / "copy"
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    for folder in FOLDERS:
        shutil.copytree(REPOSITORY / folder, made / folder, ignore=unwanted)
    for file in FILES:
        shutil.copy(REPOSITORY / file, made / file)
    return made


def test_every_invariant_has_a_mutant() -> None:
    assert {path.stem for path in MUTANTS.glob("*.patch")} == set(RED)
    assert {int(name[:2]) for name in RED} == {*range(1, 11), 12}


@pytest.mark.parametrize("mutant", sorted(RED))
def test_a_mutant_is_caught(copy: Path, mutant: str) -> None:
    patch = MUTANTS / f"{mutant}.patch"
    _apply(copy, patch)
    try:
        ended = _pytest(copy, f"tests/{RED[mutant]}")
    finally:
        _apply(copy, patch, "--reverse")
    assert ended.returncode == TESTS_FAILED, f"{mutant} lives:\n{ended.stdout[-3000:]}"


def _apply(copy: Path, patch: Path, *options: str) -> None:
    """Apply a patch to the copy; fails the test where it does not fit."""
    command = ["git", "apply", "--whitespace=nowarn", *options, str(patch)]
    # A copy inside another repository would be taken for that one's files.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    ended = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, f"{patch.name} no longer applies, renew it: {ended.stderr}"


def _pytest(copy: Path, node: str) -> subprocess.CompletedProcess[str]:
    """Run one test on the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", node]
    left_out = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    # Compiled once for all mutants: the libraries come without bytecode.
    environment["PYTHONPYCACHEPREFIX"] = str(copy.parent / "bytecode")
    return subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, timeout=240
    )
