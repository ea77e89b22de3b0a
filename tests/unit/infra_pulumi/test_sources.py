"""The files of a system's Spark job, and the hash that names them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra_pulumi.config import ConfigError, StackConfig
from infra_pulumi.sources import JobSource, read_sources

REPOSITORY = Path(__file__).resolve().parents[3]
CONTRACT = REPOSITORY / "catalog" / "datasets" / "french_holidays.toml"


def add_system(root: Path, system: str) -> None:
    """Write a contract and a job of a system into a root."""
    contract = CONTRACT.read_text(encoding="utf-8").replace('system = "paris_wifi"', f"{system=}")
    path = root / "catalog" / "datasets" / CONTRACT.name
    path.parent.mkdir(parents=True)
    path.write_text(contract, encoding="utf-8")
    (root / "dataproc_jobs").mkdir(exist_ok=True)
    (root / "dataproc_jobs" / f"{system}.py").write_text("import batch\n", encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the jobs of this one and no data set."""
    shutil.copytree(REPOSITORY / "dataproc_jobs", tmp_path / "repository" / "dataproc_jobs")
    return tmp_path / "repository"


def job_of(repository: Path, system: str, *roots: Path) -> JobSource:
    config = StackConfig("city-prod", "europe-west1", repository, Path(), roots=roots)
    return read_sources(config).jobs[system]


def test_a_job_has_every_shared_module_and_no_other_job(repository: Path) -> None:
    add_system(repository, "trees")
    job = job_of(repository, "trees")
    folder = repository / "dataproc_jobs"
    assert job.main == folder / "trees.py"
    jobs = {"trees.py", "paris_wifi.py", "velib.py"}
    assert {path.name for path in job.shared} == {p.name for p in folder.glob("*.py")} - jobs


def test_each_file_of_a_job_changes_its_hash(repository: Path) -> None:
    add_system(repository, "trees")
    job = job_of(repository, "trees")
    hashes = {job.hash}
    for path in (job.main, *job.shared):
        path.write_bytes(path.read_bytes() + b"\n")
        hashes.add(job_of(repository, "trees").hash)
    assert len(hashes) == 2 + len(job.shared)


def test_a_system_named_like_a_shared_module_is_refused(repository: Path, tmp_path: Path) -> None:
    add_system(tmp_path / "city", "batch_input")
    with pytest.raises(ConfigError, match=r"batch_input\.py is a module that all jobs share"):
        job_of(repository, "batch_input", tmp_path / "city")


@pytest.mark.parametrize("pattern", ["batch*.py", "trees.py"])
def test_a_missing_file_is_named(repository: Path, pattern: str) -> None:
    add_system(repository, "trees")
    for path in (repository / "dataproc_jobs").glob(pattern):
        path.unlink()
    name = pattern.replace("*", "")
    with pytest.raises(ConfigError, match=f"system trees: dataproc_jobs/{name} is missing"):
        job_of(repository, "trees")
