"""The local cloud of a whole test session: it checks at its end what no test may have done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from local_cloud.cloud import LocalCloud
from local_cloud.dataproc.service import BatchServer
from tests.support.house import START
from tests.support.sent_sql import SentSql


@contextmanager
def checked_cloud(batch_server: Callable[[str], BatchServer] | None = None) -> Iterator[LocalCloud]:
    """Start the cloud with its steps in this process, and with Spark by default.

    No test may have made a call that was not granted, nor sent SQL that `nox -s sql` does not analyse.
    """
    with LocalCloud(in_process=True, start=START, batch_server=batch_server) as cloud:
        sent = SentSql(cloud.gate)
        yield cloud
        refused = cloud.authority.refused()
    assert refused == []
    assert sent.unknown() == [], "collect the text in tests/support/sql_texts.py"
