"""The newest snapshot is read in `reports` as soon as it is fetched, by the whole stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catalog import object_names
from catalog.contract import load_all
from catalog.runs import Run
from local_cloud.cloud import REPOSITORY, LocalCloud
from local_cloud.publishers import Answer
from tests.support.idle_grants import WHEN_PUBLISHED
from tests.support.recorded_batch import RecordedBatch
from tests.support.sent_sql import SentSql

pytestmark = pytest.mark.timeout(600)

CONTRACT = load_all()["velib_stations"]
V1 = REPOSITORY / "tests" / "data" / "velib" / "2020-06-24_hosuaby_v1_records.json"
FIRST = datetime(2020, 6, 24, 11, 29, tzinfo=UTC)
INTERVAL = timedelta(minutes=10)
ASKED = json.dumps({"dataset": CONTRACT.dataset}).encode()
NOW = """
SELECT COUNT(*) AS stations, COUNT(DISTINCT stationcode) AS codes, SUM(mechanical) AS mechanical,
  MIN(fetched_at) AS fetched_at, MAX(fetched_at) AS last, MIN(run) AS run, MIN(origin) AS origin,
  MAX(duedate) AS reported, MAX(data_as_of) AS data_as_of, COUNTIF(is_installed) AS installed
FROM reports.velib_now
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalCloud]:
    """The local cloud some minutes before the first snapshot."""
    start = FIRST - timedelta(minutes=5)
    with LocalCloud(in_process=True, start=start, batch_server=RecordedBatch) as made:
        sent = SentSql(made.gate)
        yield made
    assert len(sent)
    assert sent.unknown() == [], "collect the text in tests/support/sql_texts.py"


def one_more_bike(body: bytes) -> bytes:
    """The snapshot with one more mechanical bike at every station."""
    records = json.loads(body)
    for record in records:
        record["fields"]["mechanical"] += 1
    return json.dumps(records).encode()


def tick(cloud: LocalCloud, moment: datetime, body: bytes) -> dict[str, Any]:
    """Serve a body and let the schedule fetch it at its tick; what is shown at that very time."""
    cloud.publishers.serve(CONTRACT.source.fetch[0].urls[0], Answer(body))
    fired = cloud.scheduler.run_until(moment, only=lambda name: name == "ingest-velib-stations")
    assert (fired, cloud.clock.now()) == (1, moment)
    return shown(cloud)


def shown(cloud: LocalCloud) -> dict[str, Any]:
    """What the table shows, in one row."""
    (row,) = cloud.rows(NOW)
    return row


def test_a_snapshot_is_shown_at_its_tick_and_nothing_older_after_it(cloud: LocalCloud) -> None:
    body = V1.read_bytes()
    bikes = [record["fields"]["mechanical"] for record in json.loads(body)]
    assert cloud.reports() == []
    first = tick(cloud, FIRST, body)
    assert cloud.reports() == ["velib_now"]
    assert (first["stations"], first["codes"], first["installed"]) == (1398, 1398, 1398 - 26)
    assert (first["mechanical"], first["origin"]) == (sum(bikes), "sample")
    assert {first["fetched_at"], first["last"]} == {FIRST}
    assert first["data_as_of"] == first["reported"]
    second = tick(cloud, FIRST + INTERVAL, one_more_bike(body))
    assert (second["mechanical"], second["fetched_at"]) == (sum(bikes) + 1398, FIRST + INTERVAL)
    older = object_names.split_record(CONTRACT.dataset, object_names.SplitKey(Run.at(FIRST)))
    for _ in range(2):
        cloud.pubsub.publish("show", b"{}", {"objectId": older})
    cloud.settle()
    assert shown(cloud) == second
    assert cloud.rows("SELECT * FROM ops.loads") == []
    assert list(cloud.bucket("landing").list_blobs(prefix="manifests/")) == []
    told = cloud.rows(
        "SELECT outcome, run FROM ops.events WHERE step = 'show' ORDER BY run, outcome"
    )
    assert [row["outcome"] for row in told] == ["older", "older", "shown", "shown"]


def test_a_refused_fetch_leaves_what_is_shown(cloud: LocalCloud) -> None:
    before, page = shown(cloud), b"<!DOCTYPE html><title>Sorry</title>"
    cloud.publishers.serve(CONTRACT.source.fetch[1].index or "", Answer(page))
    assert tick(cloud, FIRST + 2 * INTERVAL, page) == before
    (claim,) = cloud.bucket("raw").list_blobs(prefix=f"runs/{CONTRACT.dataset}/20200624T1149")
    assert claim.metadata == {"outcome": "refused"}


def test_a_tick_that_comes_eleven_minutes_late_fetches_nothing(cloud: LocalCloud) -> None:
    """Both sources are down at the tick; when its message comes again, their state is a later one."""
    before, late = shown(cloud), FIRST + 3 * INTERVAL
    down, index = Answer(b"", status=503), CONTRACT.source.fetch[1].index or ""
    for url in (CONTRACT.source.fetch[0].urls[0], index):
        cloud.publishers.serve(url, down)
    cloud.clock.advance_to(late)
    cloud.pubsub.publish("ingest", ASKED, {"dataset": CONTRACT.dataset, "kind": "snapshot"})
    with pytest.raises(TimeoutError):
        cloud.settle(3)
    assert told_of_ticks(cloud)[-1] == "retried"
    cloud.publishers.serve(CONTRACT.source.fetch[0].urls[0], Answer(V1.read_bytes()))
    cloud.clock.advance_to(late + timedelta(minutes=11))
    cloud.settle()
    assert told_of_ticks(cloud)[-1] == "expired"
    assert (
        list(cloud.bucket("raw").list_blobs(prefix=f"runs/{CONTRACT.dataset}/20200624T1159")) == []
    )
    assert shown(cloud) == before
    again = tick(cloud, late + 2 * INTERVAL, V1.read_bytes())
    assert again["fetched_at"] == late + 2 * INTERVAL


def told_of_ticks(cloud: LocalCloud) -> list[str]:
    """How each delivery of a snapshot's tick ended."""
    return [d.outcome for d in cloud.pubsub.deliveries() if d.subscription == "download-snapshot"]


def test_nothing_was_refused_and_every_grant_was_needed(cloud: LocalCloud) -> None:
    used = {grant.name for grant, asked in cloud.authority.used().items() if asked}
    assert cloud.authority.refused() == []
    assert WHEN_PUBLISHED - used == set()
