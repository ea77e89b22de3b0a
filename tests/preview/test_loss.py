"""Under Pulumi's real engine a lake column that would be lost is refused, and only a first `up` waits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra_pulumi import waits
from local_cloud.pulumi.engine.project import Project
from local_cloud.pulumi.engine.stack import EngineError, EngineStack

pytestmark = pytest.mark.timeout(300)

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("bq_sql", "catalog", "dataproc_jobs", "functions", "infra_pulumi")
COLUMN = re.compile(r'^    \{ name = "(\w+)", type = "STRING".*\},\n', re.MULTILINE)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """All that the program reads, to be changed at will."""
    copy = tmp_path / "repository"
    for folder in FOLDERS:
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=skipped)
    return copy


@pytest.fixture
def stack(repository: Path, tmp_path: Path) -> Iterator[EngineStack]:
    program = repository / "infra_pulumi" / "__main__.py"
    settings = {"citypulse:build": str(tmp_path / "build"), "citypulse:settle_seconds": "7"}
    with EngineStack(
        program, Project("citypulse-dev"), tmp_path, name="dev", settings=settings
    ) as made:
        yield made


def tables(resources: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The inputs of every table, by its name."""
    return {
        found["urn"]: found["inputs"] for found in resources if found["type"].endswith(":Table")
    }


def test_a_loss_is_refused_and_only_a_first_up_waits(
    stack: EngineStack, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []

    async def sleep(seconds: int) -> None:
        waited.append(seconds)

    monkeypatch.setattr(waits, "asyncio", SimpleNamespace(sleep=sleep))
    stack.preview()
    assert waited == []
    stack.up()
    assert len(waited) > 5
    assert set(waited) == {7}
    waited.clear()

    contract = min((repository / "catalog" / "datasets").glob("*.toml"))
    text = contract.read_text(encoding="utf-8")
    column = COLUMN.search(text)
    assert column is not None
    before = stack.resources()

    contract.write_text(
        text.replace(column[0], column[0].replace('"STRING"', '"BYTES"')), encoding="utf-8"
    )
    with pytest.raises(EngineError, match=rf"column {column[1]} was STRING"):
        stack.preview()
    contract.write_text(text.replace(column[0], ""), encoding="utf-8")
    with pytest.raises(EngineError, match="declare a new one next to it"):
        stack.up()
    assert tables(stack.resources()) == tables(before)
    contract.write_text(text, encoding="utf-8")
    assert stack.preview() == []
    assert waited == []
