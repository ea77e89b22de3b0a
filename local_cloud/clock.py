"""The local cloud's clock: a UTC time that stands still until somebody moves it forward.

Message publish times, schedules and retention follow it; back-off, acknowledgement deadlines and
waiting follow the machine's own clock.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock


class VirtualClock:
    """A clock that starts at `start` and never goes back; safe to share between threads."""

    def __init__(self, start: datetime) -> None:
        """Set the clock to `start`. Raises ValueError when `start` carries no time zone."""
        self._now = _utc(start)
        self._lock = Lock()
        self._callbacks: list[Callable[[datetime], None]] = []

    def now(self) -> datetime:
        """Give the current virtual time, aware, in UTC."""
        with self._lock:
            return self._now

    def advance_to(self, moment: datetime) -> None:
        """Move to `moment` (aware), then notify the subscribers in the caller's thread.

        Raises ValueError when `moment` carries no time zone or lies before `now()`.
        """
        moment = _utc(moment)
        with self._lock:
            if moment < self._now:
                raise ValueError(
                    f"virtual clock: {moment.isoformat()} lies before {self._now.isoformat()}; "
                    "it only moves forward, start a new clock for an earlier time"
                )
            self._now = moment
            callbacks = tuple(self._callbacks)
        for callback in callbacks:
            callback(moment)

    def subscribe(self, callback: Callable[[datetime], None]) -> None:
        """Call `callback` with the new time after every advance, in order of subscription."""
        with self._lock:
            self._callbacks.append(callback)


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(
            f"virtual clock: {moment.isoformat()} has no time zone; give an aware time"
        )
    return moment.astimezone(UTC)
