"""What needs Pulumi's CLI: `nox -s preview` sees to it; other sessions leave these tests alone."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the engine's tests out unless `-m` asks for them by name."""
    if "engine" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("engine")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
