"""One local cloud for all tests of the system, its steps in this process, emptied between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.cloud import LocalCloud
from tests.support.house import START, House
from tests.support.sent_sql import SentSql


@pytest.fixture(scope="session")
def system_cloud() -> Iterator[LocalCloud]:
    """The local cloud; Spark starts once.

    No test may have made a call that was not granted, nor sent SQL that `nox -s sql` does not analyse.
    """
    with LocalCloud(in_process=True, start=START) as cloud:
        sent = SentSql(cloud.gate)
        yield cloud
        refused = cloud.authority.refused()
    assert refused == []
    assert sent.unknown() == [], "collect the text in tests/support/sql_texts.py"


@pytest.fixture
def house(system_cloud: LocalCloud) -> House:
    """The house, empty."""
    made = House(system_cloud)
    made.fresh()
    return made
