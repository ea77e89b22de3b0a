"""Runs: one fetch, named by a UTC time, and by the slot or slice that was asked for.

A stream is not fetched: each file of it is a run, named by the file's time and its uuid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import croniter

_NAME = re.compile(
    r"(?P<time>\d{8}T\d{6}Z)(?:\.(?P<asked>[0-9A-Za-z_-]+)|_(?P<file>[0-9A-Za-z-]+))?"
)
_FORM = "%Y%m%dT%H%M%SZ"
_TIME_LENGTH = len("20250605T021000Z")

TICK_TOLERANCE = timedelta(seconds=30)
"""How much earlier than its tick a message may have been published and still belong to it."""


@dataclass(frozen=True, order=True)
class Run:
    """A fetch by its name. Runs order by name."""

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that is not a run's, and a time that no clock shows."""
        told = (
            f"{self.name!r} does not name a run: expected 20250605T021000Z, "
            "20250605T021000Z.<slot> or 20250605T021000Z_<uuid>"
        )
        if not _NAME.fullmatch(self.name):
            raise ValueError(told)
        try:
            self.time  # noqa: B018 - reading it is the check
        except ValueError as error:
            raise ValueError(f"{told}, and {error}") from error

    @classmethod
    def of_file(cls, instant: datetime, uuid: str) -> Run:
        """The run that a stream's file is, by the time and the uuid in its name."""
        return cls(f"{instant.astimezone(UTC).strftime(_FORM)}_{uuid}")

    @classmethod
    def at(cls, instant: datetime, asked: str | None = None) -> Run:
        """The run of an instant, to the second, for the slot or slice `asked`."""
        name = instant.astimezone(UTC).strftime(_FORM)
        return cls(f"{name}.{asked}" if asked else name)

    @property
    def time(self) -> datetime:
        """The UTC time that names the run."""
        return datetime.strptime(self.name[:_TIME_LENGTH], _FORM).replace(tzinfo=UTC)

    @property
    def asked(self) -> str | None:
        """The slot or slice that was asked for, if one was."""
        return self._told("asked")

    @property
    def file(self) -> str | None:
        """The uuid of the stream's file that the run is, if it is one."""
        return self._told("file")

    def _told(self, what: str) -> str | None:
        """A piece of the name."""
        found = _NAME.fullmatch(self.name)
        return found[what] if found else None


def tick(schedule: str, published: datetime) -> datetime:
    """The schedule's tick, in UTC, at or before `published` plus the tolerance.

    `schedule` is unix cron, read in UTC: a schedule's message carries no time of its own.
    """
    moment = published.astimezone(UTC) + TICK_TOLERANCE
    after = moment.replace(microsecond=0) + timedelta(seconds=1)
    previous = croniter(schedule, after).get_prev(datetime)
    return previous.astimezone(UTC)
