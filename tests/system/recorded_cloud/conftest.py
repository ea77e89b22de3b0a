"""One local cloud for all tests of the system that recorded batches suffice for; it is emptied between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.cloud import LocalCloud
from tests.support.checked_cloud import checked_cloud
from tests.support.recorded_batch import RecordedBatch


@pytest.fixture(scope="session")
def system_cloud() -> Iterator[LocalCloud]:
    """The local cloud without Spark: exports are those of `EXPORTS` in tests/support/crashes.py."""
    with checked_cloud(RecordedBatch) as cloud:
        yield cloud
