"""The crash list's batch is Spark's: the real job changes storage by the recorded requests."""

from __future__ import annotations

import pytest

from tests.support.crash_list import FOLDER, RENEW
from tests.support.crashes import record_batches
from tests.support.house import House
from tests.support.recording import Recording

CHANGED = f"{FOLDER.name}/ has not what the job does now: {RENEW}, then look at the difference"


@pytest.mark.parametrize("after_death", [False, True])
def test_the_job_makes_the_recorded_requests(house: House, after_death: bool) -> None:
    """Also where an attempt died before it and left its files: no second recording is needed."""
    observed, recorded = record_batches(house, after_death=after_death), Recording.read()
    assert observed.requests == recorded.requests, CHANGED
    assert observed.content() == recorded.content(), CHANGED
