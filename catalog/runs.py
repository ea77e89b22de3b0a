"""Runs: one fetch, named by a UTC time, and by the slot or slice that was requested.

A stream is not fetched: each of its files is a run, named by the file's time and uuid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from croniter import croniter

_NAME = re.compile(
    r"(?P<time>\d{8}T\d{6}Z)(?:\.(?P<slot>[0-9A-Za-z_-]+)|_(?P<file>[0-9A-Za-z-]+))?"
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
        fault = (
            f"{self.name!r} does not name a run: expected 20250605T021000Z, "
            "20250605T021000Z.<slot> or 20250605T021000Z_<uuid>"
        )
        if not _NAME.fullmatch(self.name):
            raise ValueError(fault)
        try:
            self.time  # noqa: B018 - reading it is the check
        except ValueError as error:
            raise ValueError(f"{fault}, and {error}") from error

    @classmethod
    def of_file(cls, instant: datetime, uuid: str) -> Run:
        """Return the run of a stream's file from the time and the uuid in its name."""
        return cls(f"{instant.astimezone(UTC).strftime(_FORM)}_{uuid}")

    @classmethod
    def at(cls, instant: datetime, slot: str | None = None) -> Run:
        """Return the run of an instant, to the second, for the requested slot or slice."""
        name = instant.astimezone(UTC).strftime(_FORM)
        return cls(f"{name}.{slot}" if slot else name)

    @property
    def time(self) -> datetime:
        """The UTC time that names the run."""
        return datetime.strptime(self.name[:_TIME_LENGTH], _FORM).replace(tzinfo=UTC)

    @property
    def requested_slot(self) -> str | None:
        """The slot or slice that was requested, if one was."""
        return self._group("slot")

    @property
    def file(self) -> str | None:
        """The uuid of the stream's file, if the run is one."""
        return self._group("file")

    def _group(self, group: str) -> str | None:
        found = _NAME.fullmatch(self.name)
        return found[group] if found else None


def tick(schedule: str, published: datetime) -> datetime:
    """Return the schedule's tick, in UTC, at or before `published` plus the tolerance.

    `schedule` is unix cron, read in UTC: a schedule's message carries no time of its own.
    """
    moment = published.astimezone(UTC) + TICK_TOLERANCE
    after = moment.replace(microsecond=0) + timedelta(seconds=1)
    previous = croniter(schedule, after).get_prev(datetime)
    return previous.astimezone(UTC)
