"""Cloud Scheduler and scheduled queries, driven by the virtual clock, tick after tick."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from croniter import croniter
from google.api_core.exceptions import GoogleAPICallError

from local_cloud.clock import VirtualClock

_EVERY = re.compile(
    r"every (?P<count>\d+) (?P<unit>minutes?|mins?|hours?)"
    r"(?: from (?P<from>\d\d:\d\d) to (?P<to>\d\d:\d\d))?"
)
_DAILY = re.compile(r"every day (?P<at>\d\d:\d\d)")
_DAY = timedelta(days=1)


class Publisher(Protocol):
    """The part of Pub/Sub that the scheduler needs."""

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str] | None = None) -> str:
        """Publish one message and give its id."""


type RunQuery = Callable[[str, datetime, str], None]
"""Runs a script with `@run_time` as a service account; raises GoogleAPICallError."""


@dataclass(frozen=True)
class QueryRun:
    """One run of a scheduled query: its time, its error, its real seconds."""

    name: str
    run_time: datetime
    error: str | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.error is None


@dataclass(frozen=True)
class _Due:
    """Something with a schedule: its name, its next tick after an instant, what it does."""

    name: str
    after: Callable[[datetime], datetime]
    act: Callable[[datetime], None]


class Scheduler:
    """Publishes what is due and runs the queries that are due, in order of time.

    `settle` is called after each tick, so that what it set off has ended before the next.
    """

    def __init__(
        self,
        clock: VirtualClock,
        publisher: Publisher,
        run_query: RunQuery,
        settle: Callable[[], None],
    ) -> None:
        self.runs: list[QueryRun] = []
        self._clock = clock
        self._publisher = publisher
        self._run_query = run_query
        self._settle = settle
        self._due: dict[str, _Due] = {}
        self._queries: list[str] = []

    def add_job(
        self, name: str, cron: str, topic: str, data: bytes, attributes: Mapping[str, str]
    ) -> None:
        """Add a Cloud Scheduler job, its cron read in UTC. Raises ValueError for what is no cron."""
        if not croniter.is_valid(cron):
            raise ValueError(f"Scheduler job {name}: {cron!r} is not unix cron")

        def publish(_: datetime) -> None:
            """Publish the job's message."""
            self._publisher.publish(topic, data, dict(attributes))

        self._add(_Due(name, lambda moment: _cron_after(cron, moment), publish))

    def add_query(self, name: str, schedule: str, script: str, account: str) -> None:
        """Add a scheduled query, its schedule in App Engine's words, in UTC; ValueError if unknown."""
        parse_schedule(schedule)

        def run(moment: datetime) -> None:
            """Run the query with this `@run_time`."""
            self.runs.append(self._timed(name, script, account, moment))

        self._add(_Due(name, lambda moment: next_tick(schedule, moment), run))
        self._queries.append(name)

    @property
    def names(self) -> list[str]:
        """The names of all jobs and queries."""
        return sorted(self._due)

    def run_until(self, moment: datetime, *, only: Callable[[str], bool] = lambda _: True) -> int:
        """Move the clock to `moment`, doing the due work that `only` admits; return how much."""
        done = 0
        for tick, due in self._ticks(moment, only):
            self._clock.advance_to(tick)
            due.act(tick)
            self._settle()
            done += 1
        self._clock.advance_to(moment)
        return done

    def jump_to(self, moment: datetime) -> None:
        """Move the clock to `moment` without doing what is due on the way."""
        self._clock.advance_to(moment)

    def run_queries(self, only: Callable[[str], bool] = lambda _: True) -> list[QueryRun]:
        """Run the scheduled queries now, as manual transfer runs would; return how they ended."""
        begin = len(self.runs)
        for name in filter(only, self._queries):
            self._due[name].act(self._clock.now())
        self._settle()
        return self.runs[begin:]

    def fire(self, name: str) -> None:
        """Do now what `name` does at its ticks, as `gcloud scheduler jobs run` would, and settle."""
        if name not in self._due:
            raise KeyError(f"nothing is scheduled as {name}; there are {', '.join(self.names)}")
        self._due[name].act(self._clock.now())
        self._settle()

    def _ticks(self, end: datetime, only: Callable[[str], bool]) -> Iterator[tuple[datetime, _Due]]:
        """Iterate what is due after now and up to `end`, in order of time, then of name."""
        begin = self._clock.now()
        following = {
            name: due.after(begin) for name, due in sorted(self._due.items()) if only(name)
        }
        while following:
            tick, name = min((moment, name) for name, moment in following.items())
            if tick > end:
                return
            following[name] = self._due[name].after(tick)
            yield tick, self._due[name]

    def _add(self, due: _Due) -> None:
        if due.name in self._due:
            raise ValueError(f"{due.name} is scheduled already: give each job its own name")
        self._due[due.name] = due

    def _timed(self, name: str, script: str, account: str, moment: datetime) -> QueryRun:
        begin = time.monotonic()
        error: str | None = None
        try:
            self._run_query(script, moment, account)
        except GoogleAPICallError as raised:
            error = str(raised)
        return QueryRun(name, moment, error, round(time.monotonic() - begin, 3))


@dataclass(frozen=True)
class Recurrence:
    """A day's ticks: from `first`, every `step`, to `last`, as times since midnight UTC."""

    first: timedelta
    step: timedelta
    last: timedelta


def parse_schedule(schedule: str) -> Recurrence:
    """Parse an App Engine schedule into its recurrence.

    The syntax is `every N minutes|hours [from HH:MM to HH:MM]` and `every day HH:MM`. Raises
    ValueError for anything else.
    """
    if daily := _DAILY.fullmatch(schedule):
        at = _since_midnight(daily["at"])
        return Recurrence(at, _DAY, at)
    every = _EVERY.fullmatch(schedule)
    if every is None or not int(every["count"]):
        raise ValueError(
            f"schedule {schedule!r} is not understood here: `every 30 minutes`, "
            "`every 6 hours from 00:07 to 23:59` and `every day 04:07` are"
        )
    step = timedelta(minutes=int(every["count"]) * (60 if every["unit"][0] == "h" else 1))
    if every["from"] is None:
        return Recurrence(timedelta(0), step, _DAY - timedelta(minutes=1))
    return Recurrence(_since_midnight(every["from"]), step, _since_midnight(every["to"]))


def next_tick(schedule: str, moment: datetime) -> datetime:
    """Calculate the schedule's first tick after `moment`, in UTC."""
    recurrence = parse_schedule(schedule)
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = moment - midnight
    if since < recurrence.first:
        return midnight + recurrence.first
    count = (since - recurrence.first) // recurrence.step + 1
    tick = recurrence.first + count * recurrence.step
    return midnight + (tick if tick <= recurrence.last else _DAY + recurrence.first)


def _cron_after(cron: str, moment: datetime) -> datetime:
    found: datetime = croniter(cron, moment).get_next(datetime)
    return found.astimezone(UTC)


def _since_midnight(text: str) -> timedelta:
    hours, minutes = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))
