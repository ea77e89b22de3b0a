"""Runs fetched from the publishers' servers by the step `download`, on the real storage server."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from catalog import object_names
from catalog.contract import DATASETS, Contract, Key, Kind, load
from catalog.records import Claim, Event, Outcome
from catalog.runs import Run
from functions.core.errors import PermanentError, RetryLaterError
from functions.core.message import Message
from functions.core.settings import MissingSettingError, from_environment
from functions.download import attempt
from functions.download import step as download
from local_cloud.publishers import Answer, PublisherFault, Publishers
from tests.support.split_cloud import NOW, USAGE, WIFI, Desk, changed, lose_reply, use

USAGE_CONTRACT = load(DATASETS / "paris_wifi_usage.toml")
SITES_CONTRACT = load(DATASETS / "paris_wifi_sites.toml")
USAGE_URL = USAGE_CONTRACT.source.fetch[0].urls[0]
SITES_URL, FALLBACK_URL = (source.urls[0] for source in SITES_CONTRACT.source.fetch)
SITES = (WIFI / "sites_2024-09_sio_v21_records.json").read_bytes()
CSV = USAGE.read_bytes()
DAY = timedelta(days=1)


def ingest(desk: Desk, at: datetime = NOW, **body: Any) -> list[Event]:
    data = json.dumps({"dataset": "paris_wifi_usage"} | body).encode()
    ticked = {"kind": "snapshot"}  # what a snapshot's schedule says; no other kind looks for it
    message = Message(data=data, attributes=ticked, published=at, id=at.isoformat())
    return list(download.run(message, desk.clients, desk.settings))


def claim(desk: Desk, contract: Contract, run: str) -> Claim:
    blob = desk.zones.raw.blob(object_names.claim(contract.dataset, Run(run)))
    return Claim.decode(blob.download_as_bytes())


def fetched_and_split(desk: Desk, at: datetime) -> Claim:
    [event] = ingest(desk, at)
    assert event.run is not None
    found = claim(desk, USAGE_CONTRACT, event.run)
    if found.outcome is Outcome.ACCEPTED:
        desk.split(USAGE_CONTRACT, Run(event.run))
    return found


def test_a_run_is_claimed_and_stored(desk: Desk, publishers: Publishers) -> None:
    publishers.serve(USAGE_URL, Answer(CSV))
    [event] = ingest(desk)
    assert (event.outcome, event.run) == ("accepted", "20250605T032700Z")
    found = claim(desk, USAGE_CONTRACT, "20250605T032700Z")
    [file] = found.files
    assert (file.url, file.status, file.bytes) == (USAGE_URL, 200, len(CSV))
    assert file.headers["etag"]
    blob = desk.zones.raw.blob(file.object, generation=file.generation)
    assert blob.download_as_bytes() == CSV
    assert found.origin == "publisher"


KEYED = changed(USAGE_CONTRACT, source__key=Key(secret="usage-key", header="X-API-Key"))


def test_a_key_goes_to_the_publisher_and_nowhere_else(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, KEYED)
    publishers.serve(USAGE_URL, Answer(CSV))
    known = msgspec.structs.replace(desk.settings, keys={"SECRET_USAGE_KEY": "s3cret"})
    message = Message(data=b'{"dataset": "paris_wifi_usage"}', attributes={}, published=NOW, id="k")
    [event] = download.run(message, desk.clients, known)
    assert [seen.headers["x-api-key"] for seen in publishers.requests] == ["s3cret"]
    assert event.run is not None
    blob = desk.zones.raw.blob(object_names.claim(KEYED.dataset, Run(event.run)))
    assert b"s3cret" not in blob.download_as_bytes() + msgspec.json.encode(event)


def test_a_key_that_is_not_there_is_the_deployments_fault(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, KEYED)
    with pytest.raises(MissingSettingError, match="SECRET_USAGE_KEY is not set: pin usage-key"):
        ingest(desk)
    assert publishers.requests == []


def test_keys_are_read_from_the_environment() -> None:
    buckets = {f"{zone}_BUCKET": "b" for zone in ("RAW", "LANDING", "LAKE", "QUARANTINE")}
    told = {"PROJECT": "p", "REGION": "r", **buckets, "SECRET_USAGE_KEY": "s3cret", "OTHER": "x"}
    assert from_environment(told).key_headers(KEYED.source.key) == {"X-API-Key": "s3cret"}


def test_a_claimed_run_fetches_nothing(desk: Desk, publishers: Publishers) -> None:
    publishers.serve(USAGE_URL, Answer(CSV))
    ingest(desk)
    before = desk.names("raw")
    [event] = ingest(desk, NOW + timedelta(minutes=1))
    assert event.outcome == "claimed"
    assert len(publishers.requests) == 1
    assert desk.names("raw") == before


def test_a_large_body_goes_in_chunks(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.download.source_fetcher._CHUNK_BYTES", 256 << 10)
    body = CSV + b"x" * 3_000_000
    publishers.serve(USAGE_URL, Answer(body))
    ingest(desk)
    [file] = claim(desk, USAGE_CONTRACT, "20250605T032700Z").files
    assert desk.zones.raw.blob(file.object).download_as_bytes() == body


def test_unchanged_then_changed_then_back(desk: Desk, publishers: Publishers) -> None:
    other = CSV.replace(b"7241", b"7242")
    seen = []
    for day, body in enumerate([CSV, CSV, other, other, CSV]):
        publishers.serve(USAGE_URL, Answer(body, etag=day != 3))
        seen.append(fetched_and_split(desk, NOW + day * DAY))
    assert [c.outcome.value for c in seen] == [
        "accepted", "unchanged", "accepted", "unchanged", "accepted",
    ]  # fmt: skip
    listed = desk.zones.raw.list_blobs(prefix="runs/")
    assert [blob.metadata for blob in listed] == [c.metadata for c in seen]
    assert (seen[1].same_as, seen[3].same_as) == (seen[0].run, seen[2].run)
    stored = {name.split("/")[2] for name in desk.names("raw", "data/")}
    assert stored == {seen[at].run for at in (0, 2, 4)}


def test_back_while_the_change_waits_is_fetched(desk: Desk, publishers: Publishers) -> None:
    publishers.serve(USAGE_URL, Answer(CSV))
    fetched_and_split(desk, NOW)
    publishers.serve(USAGE_URL, Answer(CSV.replace(b"7241", b"7242")))
    ingest(desk, NOW + DAY)
    publishers.serve(USAGE_URL, Answer(CSV))
    [event] = ingest(desk, NOW + 2 * DAY)
    assert event.outcome == "accepted"


def test_back_after_a_refused_change_is_unchanged(desk: Desk, publishers: Publishers) -> None:
    outcomes = []
    for day, body in enumerate([CSV, b"<html>sorry</html>", CSV]):
        publishers.serve(USAGE_URL, Answer(body))
        outcomes.append(fetched_and_split(desk, NOW + day * DAY).outcome.value)
    assert outcomes == ["accepted", "accepted", "unchanged"]


def test_a_snapshot_is_never_unchanged(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, changed(USAGE_CONTRACT, kind=Kind.SNAPSHOT))
    publishers.serve(USAGE_URL, Answer(CSV))
    for day in range(2):
        assert fetched_and_split(desk, NOW + day * DAY).outcome is Outcome.ACCEPTED


def test_a_daily_drop_takes_the_same_bytes_on_a_new_day(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = changed(SITES_CONTRACT, schedule="17 3,9 * * *")
    use(monkeypatch, contract)
    publishers.serve(SITES_URL, Answer(SITES))
    seen = []
    for hours in (0, 6, 24):
        [event] = ingest(desk, NOW + timedelta(hours=hours), dataset=contract.dataset)
        assert event.run is not None
        seen.append(claim(desk, contract, event.run))
        if seen[-1].files:
            desk.split(contract, Run(event.run))
    assert [found.outcome.value for found in seen] == ["accepted", "unchanged", "accepted"]
    assert seen[1].same_as == seen[0].run
    assert [file.status for file in seen[2].files] == [200]


REFUSED = [
    ("empty", Answer(b""), "the body has 0 bytes, the contract expects at least 1"),
    ("not found", Answer(b"", status=404), "answered 404"),
    ("forbidden", Answer(b"", status=403), "answered 403"),
    ("too large", Answer(b"x" * 10_001), "over the 10000 bytes allowed"),
    ("other host", Answer(status=302, headers={"Location": "https://evil.example/x"}),
     "host evil.example is not among the contract's hosts"),
    ("private", Answer(status=302, headers={"Location": "https://10.0.0.1/x"}), "public internet"),
    ("http", Answer(status=302, headers={"Location": "http://www.data.gouv.fr/x"}), "only https"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "said"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_refused_at_the_claim(
    desk: Desk,
    publishers: Publishers,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    said: str,
) -> None:
    use(monkeypatch, changed(USAGE_CONTRACT, bounds__bytes_max=10_000))
    publishers.serve(USAGE_URL, answer)
    [event] = ingest(desk)
    assert (event.outcome, event.severity) == ("refused", "ERROR")
    assert event.message.startswith("paris_wifi_usage 20250605T032700Z")
    assert said in event.message
    assert desk.names("raw", "data/") == []
    assert claim(desk, USAGE_CONTRACT, "20250605T032700Z").outcome is Outcome.REFUSED
    [told] = desk.split(USAGE_CONTRACT, Run("20250605T032700Z"))
    assert told.outcome == "refused"
    assert desk.names("landing") == []


AGAIN = [
    (
        "429",
        Answer(b"", status=429, headers={"Retry-After": "5"}),
        "answered 429; it is tried again [(]it asks to wait 5 s[)]",
    ),
    ("500", Answer(b"", status=500), "answered 500"),
    ("reset", Answer(CSV, fault=PublisherFault.reset(100)), "tried again"),
    ("cut", Answer(CSV, fault=PublisherFault.cut(100)), "tried again"),
    ("drip", Answer(CSV, fault=PublisherFault.drip(20)), "not finished within"),
]


@pytest.mark.parametrize(("answer", "said"), [c[1:] for c in AGAIN], ids=[c[0] for c in AGAIN])
def test_tried_again(desk: Desk, publishers: Publishers, answer: Answer, said: str) -> None:
    desk.settings = desk.settings.__class__(**{**_fields(desk), "download_seconds": 1.0})
    publishers.serve(USAGE_URL, answer)
    with pytest.raises(RetryLaterError, match=said):
        ingest(desk)
    assert desk.names("raw") == []
    publishers.serve(USAGE_URL, Answer(CSV))
    [event] = ingest(desk)
    assert event.outcome == "accepted"


def _fields(desk: Desk) -> dict[str, Any]:
    return {name: getattr(desk.settings, name) for name in desk.settings.__struct_fields__}


FALLBACKS = [
    ("page", Answer(b"<html>"), Answer(SITES), "accepted", "data.gouv"),
    ("gone", Answer(b"", status=404), Answer(SITES), "accepted", "data.gouv"),
    ("down", Answer(b"", status=503), Answer(SITES), "accepted", "data.gouv"),
    ("JSON error", Answer(b'{"error_code": "Limit"}'), Answer(SITES), "accepted", "data.gouv"),
    (
        "long JSON error",
        Answer(b'{"error": "' + b"x" * 9_000 + b'"}'),
        Answer(SITES),
        "accepted",
        "data.gouv",
    ),
    ("too small", Answer(b"x;"), Answer(SITES), "accepted", "data.gouv"),
    ("slow", Answer(SITES, fault=PublisherFault.drip(20)), Answer(SITES), "accepted", "data.gouv"),
    ("first is good", Answer(SITES), Answer(b"", status=500), "accepted", "export"),
    ("both gone", Answer(b"", status=404), Answer(b"", status=410), "refused", ""),
    ("a page, then gone", Answer(b"<html>"), Answer(b"", status=404), "refused", ""),
    ("both pages", Answer(b"<html>"), Answer(b"<html>"), "accepted", "data.gouv"),
]


@pytest.mark.parametrize(
    ("first", "second", "outcome", "source"), [c[1:] for c in FALLBACKS],
    ids=[c[0] for c in FALLBACKS],
)  # fmt: skip
def test_sources_in_order(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch, first: Answer,
    second: Answer, outcome: str, source: str,
) -> None:  # fmt: skip
    use(monkeypatch, changed(SITES_CONTRACT, bounds__bytes_min=5))
    desk.settings = desk.settings.__class__(**{**_fields(desk), "download_seconds": 3.0})
    publishers.serve(SITES_URL, first)
    publishers.serve(FALLBACK_URL, second)
    [event] = ingest(desk, dataset="paris_wifi_sites")
    assert (event.outcome, event.detail) == (outcome, source)
    assert len(desk.names("raw", "data/")) == (1 if outcome == "accepted" else 0)


def test_a_try_that_loses_the_claim_deletes_its_own(desk: Desk, publishers: Publishers) -> None:
    publishers.serve(USAGE_URL, Answer(CSV))
    message = Message(data=b"", attributes={}, published=NOW, id="1")
    run = Run.at(NOW)
    tries = [
        attempt.DownloadAttempt(USAGE_CONTRACT, run, message, desk.zones, desk.settings)
        for _ in range(2)
    ]
    (first, won), (second, lost) = [each.claim() for each in tries]
    assert (won, lost) == (True, False)
    assert first == second
    assert desk.names("raw", "data/") == [first.files[0].object]


def test_what_may_not_be_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    drop = changed(SITES_CONTRACT, dataset="drop")
    use(monkeypatch, USAGE_CONTRACT, drop)
    cases = [
        ({"dataset": "drop", "run": "20250601T000000Z"}, "cannot be fetched again"),
        ({"dataset": "drop", "slot": "2025-06-01"}, "cannot be fetched again"),
        ({"slot": "2025-06"}, "URLs name no slot"),
        ({"run": "yesterday"}, "does not name a run"),
    ]
    for body, said in cases:
        with pytest.raises(PermanentError, match=said):
            ingest(desk, **body)
    assert desk.names("raw") == []


def test_a_run_of_the_future_cannot_be_asked_for(desk: Desk, publishers: Publishers) -> None:
    with pytest.raises(PermanentError, match=r"20250605T041731Z: .* lies in the future"):
        ingest(desk, run="20250605T041731Z")
    publishers.serve(USAGE_URL, Answer(CSV))
    [event] = ingest(desk, run="20250605T041730Z")
    assert event.outcome == "accepted"


def test_a_slot_that_the_url_names(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    [source] = USAGE_CONTRACT.source.fetch
    url = "https://opendata.paris.fr/usage/{slot}.csv"
    named = source.__class__(name=source.name, urls=(url,), files=source.files)
    contract = changed(USAGE_CONTRACT, source__fetch=(named,), source__past_slots=True)
    use(monkeypatch, contract)
    publishers.serve(url.replace("{slot}", "2019-09"), Answer(CSV))
    [event] = ingest(desk, slot="2019-09", run="20250605T020000Z")
    assert (event.outcome, event.run) == ("accepted", "20250605T020000Z.2019-09")
    with pytest.raises(PermanentError, match="not a slot of a month"):
        ingest(desk, slot="2019")


def test_a_retired_data_set_is_acknowledged(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, changed(USAGE_CONTRACT, retired=True))
    [event] = ingest(desk)
    assert event.outcome == "retired"
    assert publishers.requests == []


def test_a_lost_reply_deletes_nothing_that_the_claim_names(
    desk: Desk, publishers: Publishers, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers.serve(USAGE_URL, Answer(CSV))
    lose_reply(monkeypatch, "runs/")
    with pytest.raises(ConnectionError):
        ingest(desk)
    [event] = ingest(desk)
    assert event.outcome == "claimed"
    [file] = claim(desk, USAGE_CONTRACT, "20250605T032700Z").files
    assert desk.zones.raw.blob(file.object).download_as_bytes() == CSV
