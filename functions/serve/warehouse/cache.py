"""Results kept in an instance: those used last, up to a weight; one that is being made is waited for."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future


class SingleFlightLruCache[T]:
    """Values by key for many threads; what fails is not kept.

    At most `entries` values whose weights are together at most `weight`.
    """

    def __init__(self, entries: int, weight: int, weigh: Callable[[T], int]) -> None:
        self._entries, self._weight, self._weigh = entries, weight, weigh
        self._held: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._made: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], seconds: float | None = None) -> T:
        """The value of a key, made by the first that asks; raises what `make` raises.

        Whoever waits for another's raises TimeoutError after so many seconds; where the other's own time
        was over before, it makes the value itself.
        """
        begin = time.monotonic()
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
            waiting = self._made.get(key)
            mine: Future[T] = self._made.setdefault(key, Future())
        if waiting is None:
            return self._make(key, make, mine)
        try:
            return waiting.result(seconds)
        except TimeoutError:
            left = None if seconds is None else seconds - (time.monotonic() - begin)
            if not waiting.done() or (left is not None and left <= 0):
                raise
        return self.get(key, make, left)

    def put(self, key: Hashable, value: T) -> None:
        """Keep a value that was made otherwise."""
        with self._lock:
            self._keep(key, value)

    @property
    def weight(self) -> int:
        """What all values weigh together."""
        return sum(weight for _, weight in self._held.values())

    def _make(self, key: Hashable, make: Callable[[], T], mine: Future[T]) -> T:
        try:
            value = make()
        except BaseException as error:  # whatever it is: those who wait must not wait for ever
            with self._lock:
                del self._made[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._made[key]
            self._keep(key, value)
        mine.set_result(value)
        return value

    def _keep(self, key: Hashable, value: T) -> None:
        self._held[key] = value, self._weigh(value)
        while len(self._held) > self._entries or self.weight > self._weight:
            self._held.popitem(last=False)
