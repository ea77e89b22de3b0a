"""Which of several sources is claimed: looked through, and compared by their newest reports."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from catalog import object_names
from catalog.contract import DATASETS, Contract, FetchSpec, Slices, Times, load
from catalog.records import Claim, Event, Outcome
from catalog.runs import Run
from functions.core.errors import RetryLaterError
from functions.core.message import Message
from functions.download import body as downloaded
from functions.download import source_selection
from functions.download import step as download
from functions.download.probe import SourceProbe
from local_cloud.publishers import Answer, Publishers
from tests.support.split_cloud import NOW, USAGE, Desk, changed, use

PORTAL, MIRROR = "https://opendata.paris.fr/usage.csv", "https://www.data.gouv.fr/usage.csv"
RUN = "20250605T032700Z"
DOWN, PAGE = Answer(b"", status=503), Answer(b"<html>sorry</html>")
MISSING = USAGE.read_bytes().replace(b"Code Site", b"Code")


def reports(newest: str, rows: int = 5) -> Answer:
    """An export of sessions on one day, real but for their dates."""
    header, *lines = USAGE.read_bytes().splitlines(keepends=True)
    body = b"".join([header, *lines[:rows]])
    return Answer(body.replace(b"2019-09-05", newest.encode()))


def spoiled(newest: str) -> Answer:
    """An export in which most rows have no readable start."""
    whole = reports(newest).body
    assert isinstance(whole, bytes)
    return Answer(whole.replace(newest.encode() + b"T", b"soon"))


def longer(answer: Answer) -> Answer:
    """The same rows in other bytes."""
    assert isinstance(answer.body, bytes)
    return Answer(answer.body + b"\n")


@pytest.fixture
def contract(monkeypatch: pytest.MonkeyPatch, publishers: Publishers) -> Contract:
    """The sessions, from a portal and its mirror, stale after ten days."""
    sources = (FetchSpec(name="portal", urls=(PORTAL,)), FetchSpec(name="mirror", urls=(MIRROR,)))
    made = changed(
        load(DATASETS / "paris_wifi_usage.toml"),
        source__fetch=sources, source__stale_after_hours=240.0, bounds__rows_min=2,
    )  # fmt: skip
    use(monkeypatch, made)
    return made


def fetched(desk: Desk, at: datetime = NOW) -> tuple[Event, Claim]:
    """Fetch the run of a time; its event and claim."""
    data = json.dumps({"dataset": "paris_wifi_usage"}).encode()
    message = Message(data=data, attributes={}, published=at, id=at.isoformat())
    [told] = download.run(message, desk.clients, desk.settings)
    assert told.run is not None
    name = object_names.claim("paris_wifi_usage", Run(told.run))
    return told, Claim.decode(desk.zones.raw.blob(name).download_as_bytes())


CASES = [
    # what the portal and the mirror answer, which is claimed, why the other was passed over
    ("fresh", reports("2025-06-01"), reports("2025-06-04"), "portal", None),
    ("just fresh", reports("2025-05-27"), reports("2025-06-04"), "portal", None),
    ("stale", reports("2025-05-20"), reports("2025-06-04"), "mirror", "more than 240 hours"),
    ("both stale", reports("2025-05-20"), reports("2025-05-22"), "mirror", "of 2025-05-20"),
    ("the second staler", reports("2025-05-22"), reports("2025-05-20"), "portal", "of 2025-05-20"),
    ("stale, then down", reports("2025-05-20"), DOWN, "portal", "answered 503"),
    ("stale, then a page", reports("2025-05-20"), PAGE, "portal", "a page, an error"),
    ("stale, then few", reports("2025-05-20"), reports("2025-06-04", 1), "portal", "expects 2 to"),
    ("no column", Answer(MISSING), reports("2025-05-20"), "mirror", 'is missing; the header'),
    ("few rows", reports("2025-06-04", 1), reports("2025-06-01"), "mirror", "1 rows, the contract"),
    ("rejects", spoiled("2025-06-04"), reports("2025-06-01"), "mirror", "would be rejected"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("portal", "mirror", "source", "why"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_the_source_that_is_claimed(
    desk: Desk, publishers: Publishers, contract: Contract, portal: Answer, mirror: Answer,
    source: str, why: str | None,
) -> None:  # fmt: skip
    publishers.serve(PORTAL, portal)
    publishers.serve(MIRROR, mirror)
    told, claim = fetched(desk)
    assert (claim.outcome, claim.source) == (Outcome.ACCEPTED, source)
    assert desk.names("raw", "data/") == [file.object for file in claim.files]
    [record] = [desk.split(contract, Run(claim.run)), desk.record(contract, Run(claim.run))][1:]
    assert record.outcome is Outcome.ACCEPTED
    assert claim.newest == max(part.newest or "" for part in record.parts)
    if why is None:
        assert (claim.passed_over, told.severity) == ({}, "INFO")
        return
    [(other, reason)] = claim.passed_over.items()
    assert (other != source, told.severity) == (True, "WARNING")
    assert why in reason
    assert why in told.message


GONE = Answer(b"", status=404)
AFTER = [
    # what portal and mirror answer on the day after the mirror's 06-04 was accepted; what becomes
    # of it, by which source, and why not by the other
    ("stale, mirror down", reports("2025-05-20"), DOWN, "later", "", "answered 503"),
    ("stale, mirror gone", reports("2025-05-20"), GONE, "refused", "", "the accepted run is newer"),
    ("little older, down", reports("2025-06-03"), DOWN, "later", "", "portal: its newest report"),
    ("little older, gone", reports("2025-06-03"), GONE, "refused", "", "run 20250605T032700Z of"),
    ("both older", reports("2025-06-03"), reports("2025-06-02"), "refused", "", "of 2025-06-03"),
    ("down, older", DOWN, reports("2025-06-03"), "later", "", "mirror: its newest report"),
    ("little older, same", reports("2025-06-03"), reports("2025-06-04"), "unchanged", "mirror", ""),
    ("little older, newer", reports("2025-06-03"), reports("2025-06-05"), "accepted", "mirror", ""),
    ("as new, other bytes", longer(reports("2025-06-04")), DOWN, "accepted", "portal", ""),
    ("newer", reports("2025-06-05"), DOWN, "accepted", "portal", ""),
]


@pytest.mark.parametrize("split", [True, False], ids=["stands", "waits for its split"])
@pytest.mark.parametrize(
    ("portal", "mirror", "outcome", "source", "why"),
    [c[1:] for c in AFTER],
    ids=[c[0] for c in AFTER],
)
def test_what_was_accepted_is_not_rolled_back(
    desk: Desk, publishers: Publishers, contract: Contract, portal: Answer, mirror: Answer,
    outcome: str, source: str, why: str, split: bool,
) -> None:  # fmt: skip
    publishers.serve(PORTAL, reports("2025-05-20"))
    publishers.serve(MIRROR, reports("2025-06-04"))
    _, first = fetched(desk)
    assert first.source == "mirror"
    if split:
        desk.split(contract, Run(first.run))
    standing = desk.names("raw")
    publishers.serve(PORTAL, portal)
    publishers.serve(MIRROR, mirror)
    if outcome == "later":
        with pytest.raises(RetryLaterError, match=why):
            fetched(desk, NOW + timedelta(days=1))
        assert desk.names("raw") == standing
        return
    _, claim = fetched(desk, NOW + timedelta(days=1))
    settled = "accepted" if outcome == "unchanged" and not split else outcome
    assert (claim.outcome.value, claim.source) == (settled, source)
    assert why in (claim.reason or "")
    assert len(desk.names("raw", "data/")) == 1 + (settled == "accepted")


def test_a_large_body_is_not_looked_through(
    desk: Desk, publishers: Publishers, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloaded, "MAX_PROBED_BYTES", 1_000)
    publishers.serve(PORTAL, reports("2025-05-20"))
    _, claim = fetched(desk)
    assert (claim.source, claim.newest) == ("portal", None)


def test_a_look_ends_with_the_time_of_the_fetch(contract: Contract) -> None:
    buffer = downloaded.BoundedBuffer()
    buffer.add(USAGE.read_bytes())
    probe = SourceProbe(contract, Run(RUN), until=0.0)
    probe.inspect_file("usage.csv", buffer)
    assert probe.finish() is None


def test_what_is_unchanged_may_be_stale(
    desk: Desk, publishers: Publishers, contract: Contract
) -> None:
    """A source that froze answers 304 for ever; what stands of it is too old all the same."""
    publishers.serve(PORTAL, reports("2025-06-01"))
    publishers.serve(MIRROR, reports("2025-06-03"))
    outcomes = []
    for days in (0, 1, 9, 11):
        _, claim = fetched(desk, NOW + timedelta(days=days))
        if claim.outcome is Outcome.ACCEPTED:
            desk.split(contract, Run(claim.run))
        outcomes.append((claim.outcome.value, claim.source))
    assert outcomes == [
        ("accepted", "portal"), ("unchanged", "portal"), ("accepted", "mirror"),
        ("unchanged", "mirror"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("run", "newest", "is_stale"),
    [
        (RUN, "2025-05-20", True),
        (RUN, "2025-05-30", False),
        (f"{RUN}.2024-02", "2024-02-28", False),
        (f"{RUN}.2024-02", "2024-02-10", True),
        (f"{RUN}.2025-06", "2025-06-01", False),
    ],
)
def test_a_slot_is_as_fresh_as_it_can_be(
    contract: Contract, run: str, newest: str, is_stale: bool
) -> None:
    sliced = changed(contract, source__slices=Slices(first="2024-01", times=Times.UTC))
    moment = datetime.fromisoformat(newest).replace(hour=12, tzinfo=UTC)
    assert (source_selection.staleness(sliced, Run(run), moment) is not None) is is_stale
    assert source_selection.staleness(sliced, Run(run), None) is None


def test_without_a_limit_of_its_own_freshness_counts(contract: Contract) -> None:
    slow = changed(contract, source__stale_after_hours=None)
    assert source_selection.staleness(slow, Run(RUN), datetime(2025, 5, 20, tzinfo=UTC)) is None
    told = source_selection.staleness(slow, Run(RUN), datetime(2025, 4, 20, tzinfo=UTC))
    assert "more than 800 hours" in (told or "")
