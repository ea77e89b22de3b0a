"""Snapshots of Vélib' fetched from two sources: what is claimed, and what becomes of bad answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from catalog import object_names
from catalog.contract import DATASETS, load
from catalog.records import Claim, Event, Outcome, SplitRecord
from catalog.runs import Run
from functions.core.errors import PermanentError
from functions.core.message import Message
from functions.download import step as download
from local_cloud.publishers import Answer, Publishers
from tests.integration.functions.test_velib_files import INFORMATION, STATUS, V1
from tests.support.split_cloud import NOW, Desk

CONTRACT = load(DATASETS / "velib_stations.toml")
EXPORT = CONTRACT.source.fetch[0].urls[0]
INDEX = CONTRACT.source.fetch[1].index or ""
FEEDS = "https://velib-metropole-opendata.smovengo.cloud/gbfs/2"
TICK, HOUR = timedelta(minutes=10), timedelta(hours=1)
Records = list[dict[str, Any]]
TICKED = {"kind": "snapshot"}
"""What the schedule's message says, and the subscription that drops late ones looks for."""


def stations(newest: datetime) -> Records:
    """The real records of 2020, moved so that the newest report is of a time."""
    fields = [record["fields"] for record in json.loads(V1.read_bytes())]
    last = max(datetime.fromisoformat(field["duedate"]) for field in fields)
    for field in fields:
        moved = datetime.fromisoformat(field["duedate"]) + (newest - last)
        # The oldest reports are years old; the station's own zone stays.
        field["duedate"] = moved.isoformat()
    return fields


def export(records: Records) -> Answer:
    """Records as the export of API v2.1 has them."""
    return Answer(json.dumps(records).encode())


def pair(newest: datetime) -> tuple[Records, Records]:
    """The real information and status of 2024, moved so that the newest report is of a time."""
    told, status = (json.loads(f.read_bytes())["data"]["stations"] for f in (INFORMATION, STATUS))
    ahead = int(newest.timestamp()) - max(record["last_reported"] for record in status)
    for record in status:
        record["last_reported"] += ahead
    return told, status


def gbfs(records: Records) -> bytes:
    """Records as a feed has them."""
    return json.dumps({"ttl": 60, "data": {"stations": records}}).encode()


INDEX_BODY = json.dumps(
    {"data": {"en": {"feeds": [
        {"name": name, "url": f"{FEEDS}/{name}.json"}
        for name in ("gbfs", "system_information", "station_status", "station_information")
    ]}}}
).encode()  # fmt: skip


@pytest.fixture
def publishers(publishers: Publishers) -> Publishers:
    """Serve both sources as they should be, five minutes old."""
    serve(publishers, NOW - TICK / 2)
    return publishers


def serve(servers: Publishers, newest: datetime, first: Answer | None = None) -> None:
    """Serve both sources with reports up to a time, or another answer as the first."""
    servers.serve(EXPORT, first or export(stations(newest)))
    servers.serve(INDEX, Answer(INDEX_BODY))
    told, status = pair(newest)
    servers.serve(f"{FEEDS}/station_information.json", Answer(gbfs(told)))
    servers.serve(f"{FEEDS}/station_status.json", Answer(gbfs(status)))


def fetched(desk: Desk, at: datetime = NOW, **body: str) -> tuple[Event, Claim]:
    """Fetch the tick of a time; its event and claim."""
    data = json.dumps({"dataset": CONTRACT.dataset, **body}).encode()
    message = Message(data=data, attributes=TICKED, published=at, id=at.isoformat())
    [told] = download.run(message, desk.clients, desk.settings)
    assert told.run is not None
    name = object_names.claim(CONTRACT.dataset, Run(told.run))
    return told, Claim.decode(desk.zones.raw.blob(name).download_as_bytes())


def taken(desk: Desk, at: datetime = NOW) -> tuple[Claim, SplitRecord]:
    """Fetch and split the tick of a time."""
    _, claim = fetched(desk, at)
    desk.split(CONTRACT, Run(claim.run))
    return claim, desk.record(CONTRACT, Run(claim.run))


def test_the_first_source_is_asked_alone(desk: Desk, publishers: Publishers) -> None:
    claim, record = taken(desk)
    assert (claim.run, claim.source, claim.passed_over) == ("20250605T040900Z", "export", {})
    assert claim.newest == "2025-06-05T04:12:00+00:00"
    assert [request.url for request in publishers.requests] == [EXPORT]
    assert (record.outcome, record.rows_in) == (Outcome.ACCEPTED, 1398)


PAGE = b"<!DOCTYPE html><html><title>Just a moment...</title></html>"
BAD: list[tuple[str, Callable[[], Answer], str]] = [
    ("a block page", lambda: Answer(PAGE), "a page, an error or nothing instead of data"),
    ("an error", lambda: Answer(b'{"error_code": "ODSQLError"}'), "a page, an error or nothing"),
    ("down", lambda: Answer(b"", status=503), "answered 503"),
    ("a hundred records", lambda: export(stations(NOW)[:100]), "100 rows, the contract expects 600 to"),
    ("half the stations", lambda: export(stations(NOW)[:699]), "699 rows after 1398 in the run"),
    ("stale", lambda: export(stations(NOW - 3 * HOUR)), "more than 1 hours before"),
    ("renamed", lambda: Answer(export(stations(NOW)).body.replace(b"duedate", b"maj")), "(duedate) is missing"),  # type: ignore[union-attr]
]  # fmt: skip


@pytest.mark.parametrize(("answer", "said"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_a_bad_answer_sends_the_fetch_to_the_pair(
    desk: Desk, publishers: Publishers, answer: Callable[[], Answer], said: str
) -> None:
    taken(desk, NOW - TICK)
    publishers.serve(EXPORT, answer())
    claim, record = taken(desk)
    assert claim.source == "GBFS"
    assert said in claim.passed_over["export"]
    assert [file.url.rpartition("/")[2] for file in claim.files] == [
        "station_information.json", "station_status.json",
    ]  # fmt: skip
    assert (record.outcome, record.rows_in, record.quarantine) == (Outcome.ACCEPTED, 1485, None)
    assert record.repaired == {"name: mojibake": 519}


INDEXES = [
    ("a page", Answer(PAGE), "the index is no JSON"),
    ("no feed", Answer(INDEX_BODY.replace(b"station_status", b"status")), "has no feed 'station_status'"),
    ("elsewhere", Answer(INDEX_BODY.replace(FEEDS.encode(), b"https://evil.example")), "not among the contract's hosts"),
    ("private", Answer(INDEX_BODY.replace(FEEDS.encode(), b"https://169.254.169.254")), "public internet"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "said"), [c[1:] for c in INDEXES], ids=[c[0] for c in INDEXES])
def test_an_index_that_leads_nowhere_refuses_the_run(
    desk: Desk, publishers: Publishers, answer: Answer, said: str
) -> None:
    publishers.serve(EXPORT, Answer(PAGE))
    publishers.serve(INDEX, answer)
    told, claim = fetched(desk)
    assert (told.outcome, claim.files) == ("refused", ())
    assert said in (claim.reason or "")
    serve(publishers, NOW)
    assert fetched(desk, NOW + TICK)[1].outcome is Outcome.ACCEPTED


def test_a_fall_without_another_source_is_refused_and_the_next_fetch_goes_on(
    desk: Desk, publishers: Publishers
) -> None:
    taken(desk, NOW - TICK)
    serve(publishers, NOW, export(stations(NOW)[:100]))
    publishers.serve(INDEX, Answer(INDEX_BODY))
    told, status = pair(NOW)
    publishers.serve(f"{FEEDS}/station_information.json", Answer(gbfs(told[:100])))
    publishers.serve(f"{FEEDS}/station_status.json", Answer(gbfs(status[:100])))
    claim, record = taken(desk)
    assert (claim.source, record.outcome) == ("GBFS", Outcome.REFUSED)
    assert "has 100 rows of data, the contract expects at least 600" in (record.reason or "")
    serve(publishers, NOW + TICK)
    assert taken(desk, NOW + TICK)[1].outcome is Outcome.ACCEPTED


def test_v5_a_first_run_of_a_page_is_not_the_network(desk: Desk, publishers: Publishers) -> None:
    """Nothing was there to compare it with."""
    publishers.serve(EXPORT, export(stations(NOW)[:100]))
    claim, record = taken(desk)
    assert (claim.source, record.outcome, record.rows_in) == ("GBFS", Outcome.ACCEPTED, 1485)
    assert "100 rows, the contract expects 600 to 20000" in claim.passed_over["export"]


def test_v5_a_fall_by_steps_ends_at_the_fewest_of_a_whole(
    desk: Desk, publishers: Publishers
) -> None:
    for at, (count, source) in enumerate(((1398, "export"), (850, "export"), (100, "GBFS"))):
        serve(publishers, NOW + at * TICK, export(stations(NOW + at * TICK)[:count]))
        claim, record = taken(desk, NOW + at * TICK)
        assert (claim.source, record.outcome) == (source, Outcome.ACCEPTED)


def test_the_same_snapshot_again_is_fetched_and_never_unchanged(
    desk: Desk, publishers: Publishers
) -> None:
    found = [taken(desk, at) for at in (NOW, NOW + TICK)]
    assert [claim.outcome for claim, _ in found] == [Outcome.ACCEPTED] * 2
    assert [record.rows_in for _, record in found] == [1398] * 2
    [first], [second] = (record.parts for _, record in found)
    assert first.slot == second.slot == "2025-06-05T04"
    assert first.hash == second.hash


def test_an_older_snapshot_than_the_last_is_a_snapshot_of_its_tick(
    desk: Desk, publishers: Publishers
) -> None:
    """Where neither source is fresh the freshest is claimed, older than the last one or not."""
    taken(desk, NOW)
    serve(publishers, NOW - 2 * HOUR, export(stations(NOW - 3 * HOUR)))
    claim, record = taken(desk, NOW + HOUR)
    assert (claim.source, claim.newest) == ("GBFS", "2025-06-05T02:17:00+00:00")
    assert [part.slot for part in record.parts] == ["2025-06-05T05"]


@pytest.mark.parametrize(
    ("skew", "newest"), [(HOUR, "2025-06-05T05:17:00+00:00"), (-HOUR, "2025-06-05T03:17:00+00:00")]
)
def test_a_clock_an_hour_wrong_is_believed(
    desk: Desk, publishers: Publishers, skew: timedelta, newest: str
) -> None:
    """Rows lie in the hour of their tick, whatever their clock says; one behind is old, not lost."""
    publishers.serve(EXPORT, export(stations(NOW + skew)))
    claim, record = taken(desk)
    assert (claim.source, claim.newest) == ("export", newest)
    assert [(part.slot, part.rows) for part in record.parts] == [("2025-06-05T04", 1398)]
    serve(publishers, NOW + TICK)
    assert taken(desk, NOW + TICK)[0].source == "export"


def misplaced(publishers: Publishers, place: Callable[[float, float], dict[str, float]]) -> None:
    """Serve the export with every tenth station somewhere else."""
    records = stations(NOW)
    for record in records[::10]:
        latitude, longitude = record["coordonnees_geo"]
        record["coordonnees_geo"] = place(latitude, longitude)
    publishers.serve(EXPORT, export(records))


WRONG_PLACES: list[tuple[str, Callable[[float, float], dict[str, float]], str]] = [
    ("exchanged", lambda lat, lon: {"lat": lon, "lon": lat}, "lat, lon: exchanged"),
    ("at 0, 0", lambda lat, lon: {"lat": 0, "lon": 0}, "lat, lon: outside the box"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "said"), [case[1:] for case in WRONG_PLACES], ids=[case[0] for case in WRONG_PLACES]
)
def test_wrong_coordinates_are_mended_and_counted_and_lose_no_row(
    desk: Desk, publishers: Publishers, place: Callable[[float, float], dict[str, float]], said: str
) -> None:
    misplaced(publishers, place)
    claim, record = taken(desk)
    assert (claim.source, record.outcome, record.rows_in) == ("export", Outcome.ACCEPTED, 1398)
    assert (record.quarantine, record.repaired) == (None, {said: 140})
    serve(publishers, NOW + TICK)
    assert taken(desk, NOW + TICK)[1].repaired == {}


def test_a_pair_whose_files_disagree_loses_those_stations_alone(
    desk: Desk, publishers: Publishers
) -> None:
    """Three without state, two without a name, one under two codes."""
    publishers.serve(EXPORT, Answer(PAGE))
    told, status = pair(NOW)
    del told[:2], status[10:13]
    status[20]["stationCode"] = "0"
    publishers.serve(f"{FEEDS}/station_information.json", Answer(gbfs(told)))
    publishers.serve(f"{FEEDS}/station_status.json", Answer(gbfs(status)))
    claim, record = taken(desk)
    assert (claim.source, record.outcome) == ("GBFS", Outcome.ACCEPTED)
    assert (record.rows_in, sum(part.rows for part in record.parts)) == (1485, 1479)
    serve(publishers, NOW + TICK)
    assert taken(desk, NOW + TICK)[1].quarantine is None


def test_a_pair_that_does_not_belong_together_is_refused_and_the_next_fetch_goes_on(
    desk: Desk, publishers: Publishers
) -> None:
    publishers.serve(EXPORT, Answer(PAGE))
    told, _ = pair(NOW)
    for record in told:
        record["station_id"] += 1
    publishers.serve(f"{FEEDS}/station_information.json", Answer(gbfs(told)))
    _, record = taken(desk)
    assert record.outcome is Outcome.REFUSED
    assert "are rejected, more than the contract allows" in (record.reason or "")
    serve(publishers, NOW + TICK)
    assert taken(desk, NOW + TICK)[1].outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("body", [{"run": "20250605T035900Z"}, {"slot": "2025-06-05T03"}])
def test_a_past_snapshot_cannot_be_asked_for(desk: Desk, body: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="a snapshot cannot be fetched again, its publisher"):
        fetched(desk, **body)
    assert desk.names("raw") == []


def test_a_message_that_nothing_would_drop_when_it_is_late_is_refused(desk: Desk) -> None:
    """Without the attribute it goes through the subscription that keeps it for seven days."""
    data = json.dumps({"dataset": CONTRACT.dataset}).encode()
    message = Message(data=data, attributes={"dataset": CONTRACT.dataset}, published=NOW, id="x")
    with pytest.raises(PermanentError, match="publish with --attribute=kind=snapshot"):
        list(download.run(message, desk.clients, desk.settings))
    assert desk.names("raw") == []
