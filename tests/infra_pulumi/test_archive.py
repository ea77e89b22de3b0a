"""The functions' archive: the same bytes for the same content, and nothing it should not hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from infra_pulumi.archive import build_archive
from tests.infra_pulumi.conftest import REPOSITORY

CONTRACTS = tuple(sorted((REPOSITORY / "catalog" / "datasets").glob("*.toml")))
DECLARED = {
    path.relative_to(REPOSITORY).as_posix(): path
    for path in sorted((REPOSITORY / "bq_sql").glob("*/tables/*.toml"))
}
REQUIREMENTS = REPOSITORY / "functions" / "requirements.txt"


def test_same_content_same_bytes(tmp_path: Path) -> None:
    first = build_archive(REPOSITORY, CONTRACTS, DECLARED, tmp_path / "a")
    second = build_archive(REPOSITORY, reversed(CONTRACTS), DECLARED, tmp_path / "b")
    assert first.hash == second.hash
    assert first.path.read_bytes() == second.path.read_bytes()


def test_changed_source_changes_the_name(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("functions", "catalog"):
        shutil.copytree(REPOSITORY / folder, copy / folder)
    before = build_archive(copy, CONTRACTS, DECLARED, tmp_path / "a")
    with (copy / "functions" / "store.py").open("a") as source:
        source.write("# changed\n")
    after = build_archive(copy, CONTRACTS, DECLARED, tmp_path / "a")
    assert before.path != after.path


def test_a_report_declared_otherwise_changes_the_name(tmp_path: Path) -> None:
    name, path = next(iter(DECLARED.items()))
    changed = tmp_path / "changed.toml"
    changed.write_bytes(path.read_bytes() + b"# changed\n")
    before = build_archive(REPOSITORY, CONTRACTS, DECLARED, tmp_path / "a")
    after = build_archive(REPOSITORY, CONTRACTS, DECLARED | {name: changed}, tmp_path / "a")
    assert before.path != after.path


def test_holds_code_and_contracts_alone(tmp_path: Path) -> None:
    archive = build_archive(REPOSITORY, CONTRACTS, DECLARED, tmp_path)
    with zipfile.ZipFile(archive.path) as opened:
        names = opened.namelist()
        assert opened.read("main.py") == (REPOSITORY / "functions" / "main.py").read_bytes()
    assert {name.partition("/")[0] for name in names} == {
        "main.py", "requirements.txt", "functions", "catalog", "bq_sql",
    }  # fmt: skip
    assert {Path(name).suffix for name in names} <= {
        ".py", ".sql", ".toml", ".txt", ".html", ".css", ".js", ".svg",
    }  # fmt: skip
    assert not [name for name in names if name.startswith("bq_sql/") and name.endswith(".sql")]
    assert set(DECLARED) <= set(names)
    assert {f"catalog/datasets/{path.name}" for path in CONTRACTS} <= set(names)


def test_requirements_are_pinned_with_hashes_and_name_no_host() -> None:
    text = REQUIREMENTS.read_text()
    packages = re.findall(r"^([a-z0-9][^ ;=]*)==", text, re.MULTILINE)
    assert {"functions-framework", "google-cloud-storage", "msgspec"} <= set(packages)
    for block in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text
    assert "--index-url" not in text


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on PATH")
def test_requirements_are_those_of_the_lock() -> None:
    command = "uv export --frozen --only-group functions --no-emit-project --no-header -q"
    exported = subprocess.run(
        [*command.split(), "--format", "requirements-txt"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert exported == REQUIREMENTS.read_text(), (
        f"renew it: {command} --format requirements-txt -o functions/requirements.txt"
    )
