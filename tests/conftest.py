"""What all tests share: the order of the files, and that no property is timed."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine takes its time for an example: that says nothing of what is tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

LONGEST = ("test_crash.py", "test_delivery.py", "test_demo.py", "test_bad_input.py")
"""Files that run for minutes: whoever begins with them is not waited for at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; all else stays in its order."""
    items.sort(key=lambda item: _place(item.path.name))


def _place(name: str) -> int:
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)
