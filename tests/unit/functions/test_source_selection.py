"""Which of several sources is claimed, from what each of them gave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from catalog.contract import Contract, FetchSpec, Kind
from catalog.records import Claim, Origin, Outcome
from catalog.runs import Run
from catalog.slots import Unit
from functions.download.source_selection import (
    REMEDIATION,
    FetchedSource,
    Fresh,
    Nothing,
    Selection,
    SourceResult,
    SourceState,
    Stale,
    assess,
    select,
)
from tests.support.step_cloud import contract

RUN = Run("20250605T021000Z")
NAMES = ("portal", "mirror", "archive")


def with_sources(count: int, hours: float = 24) -> Contract:
    toy = contract("s", "full", Kind.FULL_EXPORT, Unit.MONTH)
    fetch = tuple(FetchSpec(name=name, urls=(f"https://{name}.example",)) for name in NAMES[:count])
    source = msgspec.structs.replace(toy.source, fetch=fetch, stale_after_hours=hours)
    return msgspec.structs.replace(toy, source=source)


def accepted(newest: str | None) -> Claim:
    return Claim(
        dataset="s_full", run="20250604T021000Z", outcome=Outcome.ACCEPTED,
        origin=Origin.PUBLISHER, fetched_at="2025-06-04T02:10:00+00:00", source="portal", newest=newest,
    )  # fmt: skip


def results(answers: tuple[str, ...], last: str | None) -> list[SourceResult]:
    """What sources gave: the hours by which a newest report is old, or why there is none."""
    toy, claim = with_sources(len(answers)), accepted(last) if last else None
    found = []
    for name, answer in zip(NAMES, answers, strict=False):
        fetched = FetchedSource(name, "a1", unchanged=answer.endswith("unchanged"))
        if answer in ("refused", "failed"):
            found.append(SourceResult(fetched, SourceState(answer), answer))
            continue
        if answer.split()[0] != "unknown":
            fetched.newest = RUN.time - timedelta(hours=float(answer.split()[0]))
        found.append(assess(fetched, toy, RUN, claim))
    return found


def summary(selection: Selection) -> str:
    if isinstance(selection, Nothing):
        return "retry" if selection.retry else "refuse"
    return f"{'fresh' if isinstance(selection, Fresh) else 'stale'} {selection.source.source}"


YESTERDAY = (RUN.time - timedelta(hours=30)).isoformat()


@pytest.mark.parametrize(
    ("answers", "last", "expected"),
    [
        pytest.param(("1",), None, "fresh portal", id="one source"),
        pytest.param(("1000",), None, "fresh portal", id="one source has no age"),
        pytest.param(("1000",), YESTERDAY, "fresh portal", id="one source has no other to take"),
        pytest.param(("1", "0"), None, "fresh portal", id="the first fresh one, not the freshest"),
        pytest.param(("50", "1", "0"), None, "fresh mirror", id="a fallback is fresh"),
        pytest.param(("unknown", "1"), None, "fresh portal", id="of an unknown age"),
        pytest.param(("24", "1"), None, "fresh portal", id="exactly as old as it may be"),
        pytest.param(("60", "50", "55"), None, "stale mirror", id="all stale: the freshest"),
        pytest.param(("50", "50"), None, "stale portal", id="equally stale: the first"),
        pytest.param(("refused", "50", "failed"), None, "stale mirror", id="one stale alone"),
        pytest.param(
            ("31", "29"), YESTERDAY, "stale mirror", id="the first is older than accepted"
        ),
        pytest.param(("30", "31"), YESTERDAY, "stale portal", id="as new as what was accepted"),
        pytest.param(("31", "40"), YESTERDAY, "refuse", id="all older than what was accepted"),
        pytest.param(("31", "1"), YESTERDAY, "fresh mirror", id="older, then fresh"),
        pytest.param(("31", "failed"), YESTERDAY, "retry", id="older, and one unreachable"),
        pytest.param(("31", "refused"), YESTERDAY, "refuse", id="older, and one refused"),
        pytest.param(("refused", "1"), None, "fresh mirror", id="refused, then fresh"),
        pytest.param(("failed", "1"), None, "fresh mirror", id="unreachable, then fresh"),
        pytest.param(("refused",), None, "refuse", id="the only one refused"),
        pytest.param(("refused", "refused"), None, "refuse", id="all refused"),
        pytest.param(("failed",), None, "retry", id="the only one unreachable"),
        pytest.param(("refused", "failed"), None, "retry", id="one refused, one unreachable"),
        pytest.param(("1 unchanged", "0"), None, "fresh portal", id="unchanged and fresh"),
        pytest.param(("50 unchanged", "1"), None, "fresh mirror", id="unchanged and stale"),
        pytest.param(("50 unchanged", "60"), None, "stale portal", id="unchanged, the freshest"),
        pytest.param(("unknown unchanged", "0"), None, "fresh portal", id="unchanged, age unknown"),
    ],
)
def test_the_source_that_is_selected(
    answers: tuple[str, ...], last: str | None, expected: str
) -> None:
    selection = select(results(answers, last))
    assert summary(selection) == expected
    if not isinstance(selection, Nothing):
        assert selection.source.unchanged == ("unchanged" in answers[NAMES.index(expected[6:])])


def test_the_sources_passed_over_are_named_with_the_reason() -> None:
    selection = select(results(("refused", "60", "50"), None))
    assert isinstance(selection, Stale)
    assert list(selection.passed_over) == ["portal", "mirror"]
    assert selection.passed_over["portal"] == "refused"
    assert "more than 24 hours before 2025-06-05 02:10" in selection.passed_over["mirror"]


def test_a_fresh_source_leaves_no_reason_of_its_own() -> None:
    assert select(results(("1",), None)).passed_over == {}


@pytest.mark.parametrize(
    ("answers", "last", "reason"),
    [
        (("refused",), None, "refused"),
        (("refused", "refused"), None, "portal: refused; mirror: refused"),
        (("refused", "failed"), None, "failed; portal: refused"),
    ],
)
def test_the_reason_for_nothing(answers: tuple[str, ...], last: str | None, reason: str) -> None:
    selection = select(results(answers, last))
    assert isinstance(selection, Nothing)
    assert selection.reason == reason
    assert list(selection.passed_over) == list(NAMES[: len(answers)])


def test_older_sources_come_with_the_fix_unless_a_retry_may_help() -> None:
    refused = select(results(("31", "40"), YESTERDAY))
    retried = select(results(("31", "failed"), YESTERDAY))
    assert isinstance(refused, Nothing)
    assert isinstance(retried, Nothing)
    assert refused.reason.startswith(
        "portal: its newest report is of 2025-06-03 19:10 UTC, that of"
    )
    assert refused.reason.endswith(REMEDIATION)
    assert REMEDIATION not in retried.reason


@pytest.mark.parametrize(
    ("newest", "last", "state"),
    [
        (RUN.time, "2025-06-06T00:00:00+00:00", SourceState.OLDER),
        (RUN.time, None, SourceState.FRESH),
        (None, "2025-06-06T00:00:00+00:00", SourceState.FRESH),
        (datetime(2025, 6, 1, tzinfo=UTC), "2025-06-02T00:00:00+00:00", SourceState.OLDER),
        (datetime(2025, 6, 1, tzinfo=UTC), "2025-06-01T00:00:00+00:00", SourceState.STALE),
    ],
)
def test_the_state_of_a_source(
    newest: datetime | None, last: str | None, state: SourceState
) -> None:
    fetched = FetchedSource("portal", "a1", newest=newest)
    assert assess(fetched, with_sources(2), RUN, accepted(last)).state is state
