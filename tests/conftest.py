"""Settings for all tests: which of them share a process, their order, and Hypothesis' profiles."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.support.examples import register_profiles

register_profiles()

SHARED = ("system_cloud", "servers", "spark", "server", "storage_server")
"""Session fixtures that start processes, the longest family first.

Tests that use one run in one process, so that it starts once.
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of one shared fixture into one group, every other file into its own."""
    groups: dict[Path, str] = {}
    for item in items:
        used = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
        if used or item.path not in groups:
            groups[item.path] = used[0] if used else str(item.path)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))
    items.sort(key=lambda item: _rank(groups[item.path]))


def pytest_collection_finish() -> None:
    """Leave what the modules hold out of each later garbage collection: it never dies."""
    gc.collect()
    gc.freeze()


def _rank(group: str) -> int:
    """Place groups that take long before others, so that no process ends with one alone."""
    folders = [f"/{name}/" for name in ("system", "integration", "unit")]
    ranks = (*SHARED, *folders)
    return next((n for n, name in enumerate(ranks) if name in group), len(ranks))
