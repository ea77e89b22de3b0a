"""Cache of an instance: the last used results up to a weight, each computed by one thread."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future


class SingleFlightLruCache[T]:
    """Values by key for many threads; a failure is not cached.

    Holds at most `entries` values, whose weights sum up to at most `weight`.
    """

    def __init__(self, entries: int, weight: int, weigh: Callable[[T], int]) -> None:
        self._entries, self._weight, self._weigh = entries, weight, weigh
        self._held: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._pending: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], seconds: float | None = None) -> T:
        """Return the value of a key, computed by the first caller; raises what `make` raises.

        A caller that waits for another one raises TimeoutError after `seconds`. If the other one ran
        out of its own time before, the caller computes the value itself.
        """
        begin = time.monotonic()
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
            pending = self._pending.get(key)
            future: Future[T] = self._pending.setdefault(key, Future())
        if pending is None:
            return self._make(key, make, future)
        try:
            return pending.result(seconds)
        except TimeoutError:
            seconds_left = None if seconds is None else seconds - (time.monotonic() - begin)
            if not pending.done() or (seconds_left is not None and seconds_left <= 0):
                raise
        return self.get(key, make, seconds_left)

    def put(self, key: Hashable, value: T) -> None:
        """Store a value that the caller has computed."""
        with self._lock:
            self._keep(key, value)

    @property
    def weight(self) -> int:
        """Sum of the weights of all values."""
        return sum(weight for _, weight in self._held.values())

    def _make(self, key: Hashable, make: Callable[[], T], future: Future[T]) -> T:
        try:
            value = make()
        except BaseException as error:  # of any kind, else other threads would wait for ever
            with self._lock:
                del self._pending[key]
            future.set_exception(error)
            raise
        with self._lock:
            del self._pending[key]
            self._keep(key, value)
        future.set_result(value)
        return value

    def _keep(self, key: Hashable, value: T) -> None:
        self._held[key] = value, self._weigh(value)
        while len(self._held) > self._entries or self.weight > self._weight:
            self._held.popitem(last=False)
