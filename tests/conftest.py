"""Settings for all tests: which of them share a process, their order, and Hypothesis' profiles."""

from __future__ import annotations

import gc
import warnings
from contextlib import suppress

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.examples import register_profiles

register_profiles()

SHARED = (
    "tests/system/shared_cloud/",
    "tests/system/toys/",
    "tests/system/recorded_cloud/",
    "tests/integration/functions/",
    "tests/integration/dataproc_jobs/",
    "tests/integration/bq_sql/",
)
"""Folders whose tests share stand-ins: each runs in one process. The longest comes first."""
ORDER = (*SHARED, "tests/system/", "tests/integration/", "tests/unit/")


class FamilyScheduling(LoadScopeScheduling):
    """Gives a process a whole folder of `SHARED`, or else a whole file."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (folder for folder in SHARED if nodeid.startswith(folder))
        return next(shared, nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> FamilyScheduling | None:
    """Use families for `--dist loadscope`, which our sessions give."""
    return FamilyScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process ends with it alone."""
    items.sort(key=lambda item: _place(item.nodeid))


def pytest_collection_finish() -> None:
    """Leave what the modules hold out of each later garbage collection: it never dies."""
    gc.collect()
    gc.freeze()


def _pass_over_leaks(phase: str, info: dict[str, int]) -> None:
    """Ignore leaks while the collector runs: it interrupts any module, and frees what others left.

    What a module of ours leaves open without a cycle is freed at once, and fails its test.
    """
    if phase == "start":
        warnings.filters.insert(0, _COLLECTED)
    else:
        with suppress(ValueError):  # another thread may have replaced the list
            warnings.filters.remove(_COLLECTED)


_COLLECTED = ("ignore", None, ResourceWarning, None, 0)
gc.callbacks.append(_pass_over_leaks)


def _place(nodeid: str) -> int:
    return next((n for n, folder in enumerate(ORDER) if nodeid.startswith(folder)), len(ORDER))
