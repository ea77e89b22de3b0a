"""What the folders of the system's tests share; each of them has a local cloud of its own."""

from __future__ import annotations

import pytest

from local_cloud.cloud import LocalCloud
from tests.support.house import House


@pytest.fixture
def house(system_cloud: LocalCloud) -> House:
    """The house, empty, in the cloud of the test's folder."""
    made = House(system_cloud)
    made.fresh()
    return made
