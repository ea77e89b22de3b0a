"""`pulumi up` in the local cloud: the same makers as under mocks, and a pipeline that runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from catalog.contract import load_all
from local_cloud.cloud import REPOSITORY, LocalCloud
from local_cloud.publishers import Answer
from local_cloud.pulumi.engine.making import by_engine

pytestmark = pytest.mark.timeout(500)

START = datetime(2024, 9, 10, tzinfo=UTC)
DATASET = "paris_wifi_sites"
SAMPLE = REPOSITORY / "tests" / "data" / "wifi" / "sites_2017-05_juuljul_v1_records.json"
TICKS = (timedelta(hours=4, minutes=17), timedelta(hours=4, minutes=37))
"""The fetch of the one data set that is due on this day, then the scheduled query."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud that `pulumi up` made, after one fetch."""
    made = LocalCloud(start=START, run=by_engine(tmp_path_factory.mktemp("engine")))
    with made as running:
        url = load_all()[DATASET].source.fetch[0].urls[0]
        running.publishers.serve(url, Answer(SAMPLE))
        for tick in TICKS:
            running.scheduler.jump_to(START + tick - timedelta(seconds=30))
            running.scheduler.run_until(START + tick + timedelta(seconds=30))
        yield running


def test_a_fetch_comes_to_the_ledger(cloud: LocalCloud) -> None:
    rows = cloud.rows("SELECT dataset, slot, rows_in, rows_out FROM ops.loads")
    assert rows == [{"dataset": DATASET, "slot": "2024-09-10", "rows_in": 316, "rows_out": 316}]


def test_the_report_has_its_rows(cloud: LocalCloud) -> None:
    assert [row["outcome"] for row in cloud.rows("SELECT outcome FROM ops.report_runs")] == [
        "published"
    ]
    assert cloud.rows("SELECT COUNT(*) AS n FROM reports.wifi_site_history") == [{"n": 316}]


def test_no_message_was_lost_on_the_way(cloud: LocalCloud) -> None:
    assert cloud.rows("SELECT data FROM ops.dead_letters") == []
    assert {d.outcome for d in cloud.pubsub.deliveries()} == {"acked"}
