"""The functions' archive: the same bytes for the same content, and nothing it should not hold."""

from __future__ import annotations

import re
import shutil
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra_pulumi.archive import build_archive
from tests.unit.infra_pulumi.conftest import REPOSITORY

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


def test_no_library_for_compression_has_a_say_in_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the archive must not be compressed")

    monkeypatch.setattr(zipfile.zlib, "compressobj", refuse)  # type: ignore[attr-defined]
    archive = build_archive(REPOSITORY, CONTRACTS, DECLARED, tmp_path)
    with zipfile.ZipFile(archive.path) as opened:
        infos = opened.infolist()
    assert {(i.compress_type, i.create_system, i.date_time) for i in infos} == {
        (zipfile.ZIP_STORED, 3, (1980, 1, 1, 0, 0, 0))
    }


def test_changed_source_changes_the_name(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for folder in ("functions", "catalog"):
        shutil.copytree(REPOSITORY / folder, copy / folder)
    before = build_archive(copy, CONTRACTS, DECLARED, tmp_path / "a")
    with (copy / "functions" / "core" / "gcs.py").open("a") as source:
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
    assert not {"functions/main.py", "functions/requirements.txt"} & set(names)
    assert {f"catalog/datasets/{path.name}" for path in CONTRACTS} <= set(names)


def test_requirements_are_pinned_with_hashes_and_name_no_host() -> None:
    text = REQUIREMENTS.read_text()
    packages = re.findall(r"^([a-z0-9][^ ;=]*)==", text, re.MULTILINE)
    assert {"functions-framework", "google-cloud-storage", "msgspec"} <= set(packages)
    for block in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text
    assert "--index-url" not in text


LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text(encoding="utf-8"))["package"]


def off_the_lock(text: str) -> list[str]:
    """What requirements say otherwise than the lock: versions, hashes, packages that are missing."""
    locked = {(package["name"], package["version"]): package for package in LOCK}
    blocks = re.findall(r"^([a-z0-9][^ ;=]*)==([^ ;]+)(.*(?:\n    .*)*)", text, re.MULTILINE)
    given = {name for name, _, _ in blocks}
    faults = []
    for name, version, rest in blocks:
        package = locked.get((name, version), {})
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        if not set(re.findall(r"sha256:[0-9a-f]{64}", rest)) <= {file["hash"] for file in files}:
            faults.append(f"{name} {version}")
    return faults + sorted(reached(everywhere=True) - given) + sorted(given - reached())


def reached(*, everywhere: bool = False) -> set[str]:
    """The packages that the group comes to: at most, or those that it has `everywhere`."""
    found = {told["name"] for told in own_group()}
    while (
        more := {
            told["name"]
            for package in LOCK
            if package["name"] in found
            for told in needed(package, everywhere=everywhere)
        }
        - found
    ):
        found |= more
    return found


def needed(package: dict[str, Any], *, everywhere: bool) -> list[dict[str, Any]]:
    """What a package needs, with what its extras do; `everywhere`: on any machine, without extras."""
    told: list[dict[str, Any]] = package.get("dependencies", [])
    if everywhere:
        return [each for each in told if "marker" not in each]
    extras = package.get("optional-dependencies", {}).values()
    return [*told, *(each for extra in extras for each in extra)]


def own_group() -> list[dict[str, str]]:
    """What the lock has of the group `functions`."""
    ours = next(package for package in LOCK if package["name"] == "citypulse")
    group: list[dict[str, str]] = ours["dev-dependencies"]["functions"]
    return group


def test_requirements_are_those_of_the_lock() -> None:
    text = REQUIREMENTS.read_text()
    assert off_the_lock(text) == [], "renew it: .venv/bin/nox -s lock"
    assert len(own_group()) > 8


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r"(?m)^certifi==[^ ]+", "certifi==1.0", "certifi 1.0"),
        (
            r"(?m)^(msgspec==[^ ]+ .*\n    --hash=sha256:)[0-9a-f]{64}",
            rf"\g<1>{'0' * 64}",
            "msgspec",
        ),
        (r"\A", "aiohttp==3.0 \\\n", "aiohttp"),
        (r"(?m)^fastavro==.*\n(?:    .*\n)+", "", "fastavro"),
    ],
)
def test_requirements_off_the_lock_are_told(old: str, new: str, fault: str) -> None:
    changed = re.sub(old, new, REQUIREMENTS.read_text(), count=1)
    assert [told for told in off_the_lock(changed) if told.startswith(fault)] != []
