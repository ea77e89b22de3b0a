"""Run work in a pool before its results are needed, and return them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")

R = TypeVar("R")

_AHEAD = 2


def prefetch(pool: Executor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield the result of `work` for each item, in order, with two items in progress.

    An error of `items` or `work` is raised in place of its result.
    """
    begun: deque[Future[R]] = deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) >= _AHEAD:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
