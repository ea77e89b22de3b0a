"""Strays: objects in the pipeline's folders whose names the pipeline did not write.

A folder made in the console, such as `dirty/<dataset>/x/`, must not stop a step. Whoever lists a
folder skips strays; the boundary reports those of a call once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from google.cloud.storage import Bucket

_SKIPPED: ContextVar[dict[str, str] | None] = ContextVar("strays", default=None)


@contextmanager
def collect() -> Iterator[dict[str, str]]:
    """Collect the strays that this thread skips: address of the object → why it is one."""
    found: dict[str, str] = {}
    token = _SKIPPED.set(found)
    try:
        yield found
    finally:
        _SKIPPED.reset(token)


def parse_names[T](
    bucket: Bucket, listed: Iterable[str], parse: Callable[[str], T]
) -> Iterator[tuple[str, T]]:
    """Yield each listed name with what `parse` reads in it; skip those it raises ValueError for."""
    for name in listed:
        try:
            value = parse(name)
        except ValueError as error:
            found = _SKIPPED.get()
            if found is not None:
                found[f"gs://{bucket.name}/{name}"] = str(error)
            continue
        yield name, value
