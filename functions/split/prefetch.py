"""Work done ahead of its use by a pool, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")

R = TypeVar("R")

_AHEAD = 2


def prefetch(pool: Executor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `work` makes of each item, in order; two items are worked on before they are asked for.

    An error of `items` or `work` is raised where its result would stand.
    """
    begun: deque[Future[R]] = deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) >= _AHEAD:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()
