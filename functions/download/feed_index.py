"""An index of a source's files: a JSON document that names feeds, as in GBFS.

Version 1 and 2 of GBFS keep the feeds by language, version 3 does not; the first of a name counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

MOST_BYTES = 1_000_000
"""Longest index that is read."""


class NoFeedError(Exception):
    """An index that is none, or lacks a feed: says which it has."""


def feeds(body: bytes, names: Sequence[str], index: str) -> list[str]:
    """Return the URL of each named feed; raise NoFeedError. `index` is the URL of the document."""
    where = index.partition("?")[0]
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoFeedError(f"{where}: the index is no JSON, but a page or an error") from error
    found: dict[str, str] = {}
    for name, url in _named(document):
        found.setdefault(name, url)
    for name in names:
        if name not in found:
            available = ", ".join(found)[:500] or "none"
            raise NoFeedError(f"{where}: the index has no feed {name!r}; it has {available}")
    return [found[name] for name in names]


def _named(value: Any, depth: int = 6) -> Iterator[tuple[str, str]]:
    """Name and URL of every feed within a value, in its order."""
    if not depth:
        return
    if isinstance(value, dict):
        name, url = value.get("name"), value.get("url")
        if isinstance(name, str) and isinstance(url, str):
            yield name, url
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _named(inner, depth - 1)
