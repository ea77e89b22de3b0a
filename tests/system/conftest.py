"""One local cloud for all tests of the system, its steps in this process, emptied between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.cloud import LocalCloud
from tests.support.house import START, House


@pytest.fixture(scope="session")
def system_cloud() -> Iterator[LocalCloud]:
    """The local cloud; Spark starts once. No test may have made a call that was not granted."""
    with LocalCloud(in_process=True, start=START) as cloud:
        yield cloud
        refused = cloud.authority.refused()
    assert refused == []


@pytest.fixture
def house(system_cloud: LocalCloud) -> House:
    """The house, empty."""
    made = House(system_cloud)
    made.fresh()
    return made
