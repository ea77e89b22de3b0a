"""Texts about a page's data: origin, age, failed reports, and why a part has no rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from catalog.contract import Contract
from catalog.records import Origin
from functions.serve.pages import formatting
from functions.serve.pages.data import FailedQuestion
from functions.serve.pages.view_models import Notice
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.result import ResultTable

PUBLISHED_WITHIN = timedelta(hours=1)
"""Most time from a slot's load to the scheduled query that publishes it."""

_NAMED_MOST = 3
"""Most reports that a notice names; if there are more, it gives their number."""


def origin_notices(tables: Sequence[ResultTable]) -> list[Notice]:
    """Write a notice for each origin that is not the publisher."""
    titles: dict[Origin, set[str]] = {}
    count = len({table.name for table in tables if table.rows})
    for table in tables:
        if table.rows and table.origin in formatting.ORIGINS:
            titles.setdefault(Origin(str(table.origin)), set()).add(table.declared.title)
    return [
        Notice("origin", f"These data are {formatting.ORIGINS[origin]} {_which(names, count)}.")
        for origin, names in titles.items()
    ]


def stale_notices(
    tables: Sequence[ResultTable],
    reports: Mapping[str, ReportDefinition],
    contracts: Mapping[str, Contract],
    now: datetime,
) -> list[Notice]:
    """Write a notice for each time since which reports are older than their objective."""
    late: dict[tuple[datetime, datetime], set[str]] = {}
    for table in tables:
        since = stale_since(table, contracts, now, live=reports[table.name].live)
        if since and table.data_as_of:
            late.setdefault((since, table.data_as_of), set()).add(table.declared.title)
    count = len({table.name for table in tables})
    return [
        Notice(
            "stale",
            f"Stale since {formatting.format_instant(since, 'UTC')}: no data newer than "
            f"{formatting.format_instant(as_of, 'UTC')}, which is "
            f"{formatting.humanize_duration(now - since)} past what the objective allows "
            f"{_which(titles, count)}.",
        )
        for (since, as_of), titles in sorted(late.items())
    ]


def failure_notices(
    failures: Sequence[FailedQuestion], reports: Mapping[str, ReportDefinition], count: int
) -> list[Notice]:
    """Write a notice for each reason why reports of a page are missing, and since when."""
    reasons = {False: "Not published yet, first looked for at", True: "Could not be read since"}
    notices = []
    for published, reason in reasons.items():
        found = [each for each in failures if each.published is published]
        if found:
            titles = {reports[each.report].declared.title for each in found}
            since = formatting.format_instant(min(each.since for each in found), "UTC")
            text = (
                f"Parts of this page are missing. {reason} {since} by this server's own account "
                f"{_which(titles, count)}."
            )
            notices.append(Notice("failed", text))
    return notices


def as_of_text(tables: Iterable[ResultTable], contracts: Mapping[str, Contract]) -> str:
    """Format the time up to which all reports of a page have data; empty if none has."""
    times = [(t.data_as_of, zone_of(t, contracts)) for t in tables if t.data_as_of]
    return formatting.format_instant(*min(times)) if times else ""


def zone_of(table: ResultTable, contracts: Mapping[str, Contract]) -> str:
    """Return the zone of the data set that a report is made from; UTC if it has none."""
    zones = [contracts[name].zone for name in table.declared.datasets if name in contracts]
    return zones[0] if zones else "UTC"


def stale_since(
    table: ResultTable, contracts: Mapping[str, Contract], now: datetime, *, live: bool
) -> datetime | None:
    """Return when a table became older than its data sets' objective; None if it is not."""
    if table.data_as_of is None:
        return None
    datasets = [contracts[name] for name in table.declared.datasets if name in contracts]
    ends = [fresh_until(each, table.data_as_of, live) for each in datasets]
    return min((end for end in ends if end < now), default=None)


def fresh_until(contract: Contract, reach: datetime, live: bool) -> datetime:
    """Return until when data that reach to a time are as new as the objective requires.

    The objective is the age of a good fetch. A live report shows data as soon as they are fetched.
    Another report shows them after the end of their slot and the next scheduled query. If rows of
    several runs add up, it also waits for the grace; a kind that the newest run replaces does not
    (`Contract.closed`).
    """
    until = reach + timedelta(hours=contract.freshness_hours)
    if live:
        return until
    if not contract.kind.newest_run_wins:
        slot = contract.calendar.slot(reach)
        until += contract.calendar.end(slot) - contract.calendar.start(slot)
        until += timedelta(minutes=contract.grace_minutes)
    return until + PUBLISHED_WITHIN


def empty_reason(
    found: ResultTable | FailedQuestion, *, narrowed: bool, rows: str, live: bool
) -> str:
    """Say why there is nothing to see and since when; empty if there are rows.

    `narrowed` is whether the rows follow a choice of the reader, `rows` what is missing otherwise.
    """
    if isinstance(found, FailedQuestion):
        return _failure_reason(found)
    if found.rows:
        return ""
    if narrowed and found.data_as_of:
        reach = formatting.format_instant(found.data_as_of, "UTC")
        return f"No rows for this choice. {found.name} reaches to {reach}."
    if found.unchanged_since is None:
        return f"{found.name} has no {rows}."
    changed = formatting.format_instant(found.unchanged_since, "UTC")
    since = f"at {changed}, when it was asked" if live else f"since {changed}, when it last changed"
    return f"{found.name} has no {rows} {since}."


def origin_mark(found: ResultTable | FailedQuestion) -> str:
    """Return synthetic or sample; empty for rows of the publisher."""
    if isinstance(found, FailedQuestion) or found.origin in (None, Origin.PUBLISHER):
        return ""
    return str(found.origin)


def _failure_reason(failed: FailedQuestion) -> str:
    since = formatting.format_instant(failed.since, "UTC")
    if failed.published:
        return (
            f"{failed.report} could not be read since {since}, when this server first saw it fail; "
            "the rest of the page is not touched."
        )
    return f"{failed.report} has not been published yet (this server first looked at {since})."


def _which(titles: Iterable[str], count: int) -> str:
    """Name the reports that a notice is about, or their number; `count` are on the page."""
    names = sorted(titles)
    if len(names) == count:
        return "(the whole page)"
    some = f"{len(names)} of the {count} reports here"
    return f"({'; '.join(names)})" if len(names) <= _NAMED_MOST else f"({some})"
