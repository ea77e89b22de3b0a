"""Rows of reports: one capped, labelled query a request, cached until the data changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api_core.exceptions import NotFound
from google.cloud.bigquery import DEFAULT_RETRY, QueryJobConfig

from catalog.records import Origin
from catalog.reports import ADDED
from functions.core.clients import Clients
from functions.serve.api import cursors
from functions.serve.api.cursors import CursorPosition
from functions.serve.api.query_params import ReportQuery, ResponseFormat
from functions.serve.errors import BadRequestError, NotPublishedError
from functions.serve.report_catalog import ReportDefinition
from functions.serve.warehouse.cache import SingleFlightLruCache
from functions.serve.warehouse.result import ResultTable, Value
from functions.serve.warehouse.sql import Query, reach_query, rows_query, selected

BYTES_BILLED = 1_000_000_000
"""Most bytes that a query may be billed for; a report has some megabytes."""

STATE_SECONDS = 60
"""Seconds for which the version of a report is cached; a live SELECT moves on as often."""

REQUEST_SECONDS = 45.0
"""Seconds for all calls to the warehouse of one request; the function itself has 60."""

_UNTIL: ContextVar[float] = ContextVar("until")

_PAGES_MOST, _ROWS_MOST = 256, 20_000
"""Most pages of rows in an instance's cache, and most rows of all of them."""

_LIVE_HOURS = 1
"""Hours for which a cursor of a live SELECT is valid; it names the time of its query."""

_EXPORT_ROWS = 5_000
"""Rows of an export that are in memory at once."""


@dataclass(frozen=True)
class ReportVersion:
    """The version of a report that ETags and cursors belong to."""

    version: str
    """Text that changes if the rows may have changed."""
    data_as_of: datetime | None
    origin: Origin | None
    now: datetime | None = None
    """Value of `@now` in a live SELECT."""
    unchanged_since: datetime | None = None
    """Last change of the report's table; for a live SELECT, `now`."""


@contextmanager
def request_deadline(seconds: float = REQUEST_SECONDS) -> Iterator[None]:
    """Limit the seconds of all warehouse calls in this block; they then raise TimeoutError."""
    token = _UNTIL.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def _seconds_left() -> float:
    """Return the seconds left; without a request, each call has all of them."""
    until = _UNTIL.get(None)
    left = REQUEST_SECONDS if until is None else until - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"the warehouse took more than {REQUEST_SECONDS:g} seconds")
    return left


class _ReportChangedError(TimeoutError):
    """A report was published between the read of its version and the end of a query.

    It is a TimeoutError so that a second time becomes a 503 with `Retry-After`.
    """


class ReportStore:
    """Reads reports from the warehouse; all threads of an instance share one.

    `bytes_billed` caps every query. `clock` returns seconds, `now` the time in UTC.
    """

    def __init__(
        self,
        clients: Clients,
        reports: Mapping[str, ReportDefinition],
        bytes_billed: int = BYTES_BILLED,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.reports = reports
        self._clients = clients
        self._bytes_billed = bytes_billed
        self._clock, self.now = clock, now
        self._connecting = threading.Lock()
        self._versions: SingleFlightLruCache[ReportVersion] = SingleFlightLruCache(
            len(reports) or 1, len(reports) or 1, lambda _: 1
        )
        self._reaches: SingleFlightLruCache[ReportVersion] = SingleFlightLruCache(
            len(reports) or 1, len(reports) or 1, lambda _: 1
        )
        self._pages: SingleFlightLruCache[ResultTable] = SingleFlightLruCache(
            _PAGES_MOST, _ROWS_MOST, lambda page: len(page.rows) + 1
        )

    def current_version(self, report: ReportDefinition, *, fresh: bool = False) -> ReportVersion:
        """Return a report's version, at most a minute old or with `fresh` read now.

        Raises NotPublishedError.
        """
        if report.select:
            return self._live_version(report, self._current_minute())
        age = int(self._clock() // STATE_SECONDS)
        if fresh:
            found = self._fetch_version(report, age)
            self._versions.put((report.name, age), found)
            return found
        return self._versions.get(
            (report.name, age), lambda: self._fetch_version(report, age), _seconds_left()
        )

    def table(self, query: ReportQuery) -> ResultTable:
        """Return a page of rows; its cursor leads to the next page.

        Raises NotPublishedError, and BadRequestError for a cursor that is forged or whose report has
        been published again since.
        """
        try:
            return self._table(query, fresh=bool(query.cursor))
        except _ReportChangedError:
            return self._table(query, fresh=True)

    def rows(self, query: ReportQuery) -> tuple[ReportVersion, Iterator[tuple[Value, ...]]]:
        """Return a report's version and all rows of a query, fetched in blocks of some thousands.

        The query has ended when this returns, so it can no longer fail. Raises NotPublishedError.
        """
        try:
            return self._rows(query, fresh=False)
        except _ReportChangedError:
            return self._rows(query, fresh=True)

    def _table(self, query: ReportQuery, fresh: bool) -> ResultTable:
        current, position = self.current_version(query.report, fresh=fresh), None
        if query.cursor:
            position = cursors.read(query)
            current = self._version_of_cursor(query, current, position)
        key = replace(query, response_format=ResponseFormat.JSON), current.version
        return self._pages.get(key, lambda: self._page(query, current, position), _seconds_left())

    def _rows(
        self, query: ReportQuery, fresh: bool
    ) -> tuple[ReportVersion, Iterator[tuple[Value, ...]]]:
        current = self.current_version(query.report, fresh=fresh)
        width = len(query.columns)
        found = self._run_query(rows_query(query, current.now), query.report)
        self._assert_unchanged(query.report, current)
        return current, (tuple(row.values())[:width] for row in found)

    def _assert_unchanged(self, report: ReportDefinition, before: ReportVersion) -> None:
        """Raise _ReportChangedError if the rows just read may be of another version."""
        if not report.select and self.current_version(report, fresh=True).version != before.version:
            raise _ReportChangedError(f"{report.name} is published while it is read")

    def _current_minute(self) -> datetime:
        seconds = int(self.now().timestamp()) // STATE_SECONDS * STATE_SECONDS
        return datetime.fromtimestamp(seconds, UTC)

    def _fetch_version(self, report: ReportDefinition, age: int) -> ReportVersion:
        """Read the version of a table; this costs a query only if the table has changed."""
        try:
            half = _seconds_left() / 2
            modified = self._client().get_table(
                f"reports.{report.name}", retry=DEFAULT_RETRY.with_timeout(half), timeout=half
            )
        except NotFound as error:
            raise NotPublishedError(
                f"{report.name} is declared and has no table yet: nothing of "
                f"{', '.join(report.declared.datasets)} has been published"
            ) from error
        version = f"{modified.modified.isoformat()} {age if report.live else ''}".strip()
        return self._reaches.get(
            (report.name, version), lambda: self._table_version(report, version), _seconds_left()
        )

    def _live_version(self, report: ReportDefinition, now: datetime) -> ReportVersion:
        """Return the version of a live SELECT at a time.

        Without a column `data_as_of` its data reach up to that time.
        """
        version = now.isoformat()
        if not {each.name for each in ADDED} <= {each.name for each in report.columns}:
            return ReportVersion(version, now, None, now, now)
        return self._reaches.get(
            (report.name, version),
            lambda: ReportVersion(version, *self._query_reach(report, now), now, now),
            _seconds_left(),
        )

    def _query_reach(
        self, report: ReportDefinition, now: datetime | None = None
    ) -> tuple[datetime | None, Origin | None]:
        (row,) = self._run_query(reach_query(report, now), report)
        return row["data_as_of"], Origin(row["origin"]) if row["origin"] else None

    def _table_version(self, report: ReportDefinition, version: str) -> ReportVersion:
        data_as_of, origin = self._query_reach(report)
        reach_text = data_as_of.isoformat() if data_as_of else ""
        changed = version.split()[0]
        # BigQuery does not update a table's time of change for every way of adding rows.
        version = f"{changed} {reach_text}" if report.live else version
        return ReportVersion(
            version, data_as_of, origin, unchanged_since=datetime.fromisoformat(changed)
        )

    def _version_of_cursor(
        self, query: ReportQuery, current: ReportVersion, position: CursorPosition
    ) -> ReportVersion:
        """Return the version to read a cursor's page from: that of the page before."""
        if position.version == current.version:
            return current
        if query.report.select and (cursor_time := self._cursor_time(position.version)):
            return replace(self._live_version(query.report, cursor_time), version=position.version)
        raise BadRequestError(
            f"cursor is of an earlier state of {query.report.name}: ask again without cursor"
        )

    def _cursor_time(self, text: str) -> datetime | None:
        """Parse the time that a live cursor names; None if it is too long ago."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        is_recent = timedelta(0) <= self.now() - moment <= timedelta(hours=_LIVE_HOURS)
        return moment if is_recent else None

    def _page(
        self, query: ReportQuery, current: ReportVersion, position: CursorPosition | None
    ) -> ResultTable:
        """Read a page of rows by a query for one row more, which shows whether more follow."""
        after = position.after if position else ()
        statement = rows_query(query, current.now, after, query.limit + 1)
        found = [tuple(row.values()) for row in self._run_query(statement, query.report)]
        self._assert_unchanged(query.report, current)
        page, width = found[: query.limit], len(query.columns)
        return ResultTable(
            name=query.report.name,
            declared=query.report.declared,
            columns=query.columns,
            rows=tuple(row[:width] for row in page),
            data_as_of=current.data_as_of,
            origin=current.origin,
            cursor=self._next_cursor(query, current, page[-1]) if len(found) > len(page) else "",
            version=current.version,
            unchanged_since=current.unchanged_since,
        )

    def _next_cursor(
        self, query: ReportQuery, current: ReportVersion, row: tuple[Value, ...]
    ) -> str:
        names = {column.name: n for n, column in enumerate(selected(query))}
        after = tuple(row[names[each.column.name]] for each in query.order)
        return cursors.write(query, CursorPosition(current.version, after))

    def _run_query(self, statement: Query, report: ReportDefinition) -> Iterator[Any]:
        """Run a statement, billed for `bytes_billed` at most, and return its rows."""
        config = QueryJobConfig(
            query_parameters=statement.parameters,
            maximum_bytes_billed=self._bytes_billed,
            labels={"step": "serve", "report": report.name},
        )
        # Five waits: retries, the last answer, the job, and the first two again if the job is cancelled.
        fifth = _seconds_left() / 5
        found: Iterator[Any] = iter(
            self._client().query_and_wait(
                statement.sql,
                job_config=config,
                retry=DEFAULT_RETRY.with_timeout(fifth),
                job_retry=None,
                api_timeout=fifth,
                page_size=_EXPORT_ROWS,
                wait_timeout=fifth,
            )
        )
        return found

    def _client(self) -> Any:
        """BigQuery's client, created by one thread."""
        with self._connecting:
            return self._clients.bigquery
