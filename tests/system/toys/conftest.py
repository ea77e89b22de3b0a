"""One local cloud with two more folders of data sets: `toy` and `toy_stream`.

`test_toy.py` lives on 5 June 2025 and `test_toy_stream.py` on 7 June: the clock only goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catalog.contract import Contract, load
from local_cloud.cloud import LocalCloud

ROOTS = ("toy", "toy_stream")
START = datetime(2025, 6, 5, 10, tzinfo=UTC)


@pytest.fixture(scope="session")
def toy_roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Copy the folders out of the repository; return where they are, by name."""
    system, folder = Path(__file__).parents[1], tmp_path_factory.mktemp("roots")
    return {name: Path(shutil.copytree(system / name, folder / name)) for name in ROOTS}


@pytest.fixture(scope="module")
def root(request: pytest.FixtureRequest, toy_roots: dict[str, Path]) -> Path:
    """The folder of the module's own system."""
    return toy_roots[request.module.FOLDER]


@pytest.fixture(scope="module")
def contract(request: pytest.FixtureRequest, root: Path) -> Contract:
    """The contract in it."""
    return load(root / "catalog" / "datasets" / f"{request.module.DATASET}.toml")


@pytest.fixture(scope="session")
def cloud(toy_roots: dict[str, Path]) -> Iterator[LocalCloud]:
    """Start the local cloud with both folders at ten o'clock. Every call must be granted."""
    with LocalCloud(start=START, roots=tuple(toy_roots.values())) as started:
        yield started
        refused = started.authority.refused()
    assert refused == []
