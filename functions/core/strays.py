"""Skip the objects in the pipeline's folders whose names a step cannot parse.

A stray is an object that the pipeline did not write, such as a folder `dirty/<dataset>/x/` created
in the console. If the contract cannot parse the slot of a name (UnknownSlotError), the pipeline
itself wrote the object. Neither kind may stop a step; the handler reports each object once a call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from google.cloud.storage import Bucket

_SKIPPED: ContextVar[dict[str, ValueError] | None] = ContextVar("skipped", default=None)


@contextmanager
def collect() -> Iterator[dict[str, ValueError]]:
    """Collect the objects that this thread skips: the object's address → what is wrong."""
    found: dict[str, ValueError] = {}
    token = _SKIPPED.set(found)
    try:
        yield found
    finally:
        _SKIPPED.reset(token)


def parse_names[T](
    bucket: Bucket, listed: Iterable[str], parse: Callable[[str], T]
) -> Iterator[tuple[str, T]]:
    """Yield each listed name with what `parse` reads in it; skip names that raise ValueError."""
    for name in listed:
        try:
            value = parse(name)
        except ValueError as error:
            found = _SKIPPED.get()
            if found is not None:
                found[f"gs://{bucket.name}/{name}"] = error
            continue
        yield name, value
