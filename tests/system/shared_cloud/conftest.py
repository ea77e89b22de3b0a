"""One local cloud for all tests of the system that need Spark; it is emptied between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.cloud import LocalCloud
from tests.support.checked_cloud import checked_cloud


@pytest.fixture(scope="session")
def system_cloud() -> Iterator[LocalCloud]:
    """The local cloud; Spark starts once."""
    with checked_cloud() as cloud:
        yield cloud
