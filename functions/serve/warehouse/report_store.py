"""Answers to questions: one capped, labelled, parameterised query each, kept while the data stands."""

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
"""Most bytes that a query may be billed for: a report has some megabytes."""

STATE_SECONDS = 60
"""How long the state of a report is not asked for again; as often does a live one move on."""

REQUEST_SECONDS = 45.0
"""How long all that a request asks of the warehouse may take together; the function has 60."""

_UNTIL: ContextVar[float] = ContextVar("until")

_PAGES_MOST, _ROWS_MOST = 256, 20_000
"""Pages of rows that an instance keeps, and how many rows they have together."""

_LIVE_HOURS = 1
"""For how long a cursor of a live SELECT holds: it names the instant that it was asked at."""

_EXPORT_ROWS = 5_000
"""Rows that an export has in memory at once."""


@dataclass(frozen=True)
class ReportVersion:
    """A report as it stands: what ETags and cursors are bound to."""

    version: str
    """Changes when its rows may have."""
    data_as_of: datetime | None
    origin: Origin | None
    now: datetime | None = None
    """The time that a live SELECT is asked at."""
    stood: datetime | None = None
    """Since when it stands like this: the last change of its table; of a live SELECT, `now`."""


@contextmanager
def request_deadline(seconds: float = REQUEST_SECONDS) -> Iterator[None]:
    """What this thread asks meanwhile has these seconds in all, then TimeoutError."""
    token = _UNTIL.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _UNTIL.reset(token)


def _seconds_left() -> float:
    """Seconds that are left; a thread without a request of its own has them all for each call."""
    until = _UNTIL.get(None)
    left = REQUEST_SECONDS if until is None else until - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"the warehouse took more than {REQUEST_SECONDS:g} seconds")
    return left


class _ReportChangedError(TimeoutError):
    """A report was published between a look at its state and the end of a query."""


class ReportStore:
    """What `serve` knows of the warehouse; one for all threads of an instance.

    `bytes_billed` caps every query; `clock` tells seconds, `now` the time in UTC.
    """

    def __init__(
        self,
        clients: Clients,
        shown: Mapping[str, ReportDefinition],
        bytes_billed: int = BYTES_BILLED,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.shown = shown
        self._clients = clients
        self._bytes_billed = bytes_billed
        self._clock, self.now = clock, now
        self._connecting = threading.Lock()
        self._states: SingleFlightLruCache[ReportVersion] = SingleFlightLruCache(
            len(shown) or 1, len(shown) or 1, lambda _: 1
        )
        self._reaches: SingleFlightLruCache[ReportVersion] = SingleFlightLruCache(
            len(shown) or 1, len(shown) or 1, lambda _: 1
        )
        self._pages: SingleFlightLruCache[ResultTable] = SingleFlightLruCache(
            _PAGES_MOST, _ROWS_MOST, lambda page: len(page.rows) + 1
        )

    def state(self, report: ReportDefinition, *, fresh: bool = False) -> ReportVersion:
        """How a report stands, at most a minute ago, with `fresh` now; raises NotPublished."""
        if report.select:
            return self._live(report, self._minute())
        age = int(self._clock() // STATE_SECONDS)
        if fresh:
            found = self._look(report, age)
            self._states.put((report.name, age), found)
            return found
        return self._states.get(
            (report.name, age), lambda: self._look(report, age), _seconds_left()
        )

    def table(self, asked: ReportQuery) -> ResultTable:
        """A page of rows; its cursor asks for the next one.

        Raises NotPublished, and BadRequest for a cursor that is forged or whose report has been
        published anew.
        """
        try:
            return self._table(asked, fresh=bool(asked.cursor))
        except _ReportChangedError:
            return self._table(asked, fresh=True)

    def rows(self, asked: ReportQuery) -> tuple[ReportVersion, Iterator[tuple[Value, ...]]]:
        """All rows of a question from its first on, some thousands at a time, and their state.

        The query is done when this returns: what can fail has failed. Raises NotPublished.
        """
        try:
            return self._rows(asked, fresh=False)
        except _ReportChangedError:
            return self._rows(asked, fresh=True)

    def _table(self, asked: ReportQuery, fresh: bool) -> ResultTable:
        state, place = self.state(asked.report, fresh=fresh), None
        if asked.cursor:
            place = cursors.read(asked)
            state = self._of_cursor(asked, state, place)
        key = replace(asked, form=ResponseFormat.JSON), state.version
        return self._pages.get(key, lambda: self._page(asked, state, place), _seconds_left())

    def _rows(
        self, asked: ReportQuery, fresh: bool
    ) -> tuple[ReportVersion, Iterator[tuple[Value, ...]]]:
        state = self.state(asked.report, fresh=fresh)
        width = len(asked.columns)
        found = self._ask(rows_query(asked, state.now), asked.report)
        self._stood(asked.report, state)
        return state, (tuple(row.values())[:width] for row in found)

    def _stood(self, report: ReportDefinition, state: ReportVersion) -> None:
        """Raises _Moved where rows that have just been read may be of another state."""
        if not report.select and self.state(report, fresh=True).version != state.version:
            raise _ReportChangedError(f"{report.name} is published while it is read")

    def _minute(self) -> datetime:
        seconds = int(self.now().timestamp()) // STATE_SECONDS * STATE_SECONDS
        return datetime.fromtimestamp(seconds, UTC)

    def _look(self, report: ReportDefinition, age: int) -> ReportVersion:
        """The state of a table: free to ask but for what is read when it has changed."""
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
            (report.name, version), lambda: self._reach(report, version), _seconds_left()
        )

    def _live(self, report: ReportDefinition, now: datetime) -> ReportVersion:
        """The state of a live SELECT at an instant; one that does not tell its reach reaches to it."""
        told = now.isoformat()
        if not {each.name for each in ADDED} <= {each.name for each in report.columns}:
            return ReportVersion(told, now, None, now, now)

        def reach() -> ReportVersion:
            return ReportVersion(told, *self._reaching(report, now), now, now)

        return self._reaches.get((report.name, told), reach, _seconds_left())

    def _reaching(
        self, report: ReportDefinition, now: datetime | None = None
    ) -> tuple[datetime | None, Origin | None]:
        (row,) = self._ask(reach_query(report, now), report)
        return row["data_as_of"], Origin(row["origin"]) if row["origin"] else None

    def _reach(self, report: ReportDefinition, version: str) -> ReportVersion:
        reaches, origin = self._reaching(report)
        told = reaches.isoformat() if reaches else ""
        changed = version.split()[0]
        # A live table's own time of change is not told for every way that rows get in.
        version = f"{changed} {told}" if report.live else version
        return ReportVersion(version, reaches, origin, stood=datetime.fromisoformat(changed))

    def _of_cursor(
        self, asked: ReportQuery, state: ReportVersion, place: CursorPosition
    ) -> ReportVersion:
        """The state that a cursor's page is read from: that of the page before."""
        if place.state == state.version:
            return state
        if asked.report.select and (then := self._then(place.state)):
            return replace(self._live(asked.report, then), version=place.state)
        raise BadRequestError(
            f"cursor is of an earlier state of {asked.report.name}: ask again without cursor"
        )

    def _then(self, text: str) -> datetime | None:
        """The instant that a live cursor names, where it is not long ago."""
        try:
            then = datetime.fromisoformat(text)
        except ValueError:
            return None
        if then.tzinfo is None:
            return None
        within = timedelta(0) <= self.now() - then <= timedelta(hours=_LIVE_HOURS)
        return then if within else None

    def _page(
        self, asked: ReportQuery, state: ReportVersion, place: CursorPosition | None
    ) -> ResultTable:
        """A page of rows, by a query that asks for one more than the page has."""
        after = place.after if place else ()
        query = rows_query(asked, state.now, after, asked.limit + 1)
        found = [tuple(row.values()) for row in self._ask(query, asked.report)]
        self._stood(asked.report, state)
        page, width = found[: asked.limit], len(asked.columns)
        return ResultTable(
            name=asked.report.name,
            declared=asked.report.declared,
            columns=asked.columns,
            rows=tuple(row[:width] for row in page),
            data_as_of=state.data_as_of,
            origin=state.origin,
            cursor=self._next(asked, state, page[-1]) if len(found) > len(page) else "",
            version=state.version,
            stood=state.stood,
        )

    def _next(self, asked: ReportQuery, state: ReportVersion, row: tuple[Value, ...]) -> str:
        names = {column.name: n for n, column in enumerate(selected(asked))}
        after = tuple(row[names[each.column.name]] for each in asked.order)
        return cursors.write(asked, CursorPosition(state.version, after))

    def _ask(self, query: Query, report: ReportDefinition) -> Iterator[Any]:
        """The rows of a query, which never reads more than the cap."""
        config = QueryJobConfig(
            query_parameters=query.parameters,
            maximum_bytes_billed=self._bytes_billed,
            labels={"step": "serve", "report": report.name},
        )
        # Retries, the answer to the last of them, the wait for a job, and both again where it is cancelled.
        fifth = _seconds_left() / 5
        found: Iterator[Any] = iter(
            self._client().query_and_wait(
                query.sql,
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
        """BigQuery's client, made by one thread."""
        with self._connecting:
            return self._clients.bigquery
