"""Revision and version of a slot: whether anything changed, and which is newer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Version:
    """How new a slot's content is: newest run among its parts, number of parts, replay.

    Compared in that order. `replay` is the publish time of a replay request in milliseconds,
    else 0.
    """

    run: str
    parts: int
    replay: int = 0

    def __str__(self) -> str:
        """Return text that orders as the version does, in Python and in SQL.

        A blank sorts before every character of a run's name, so that `…Z` comes before `…Z.2024`.
        """
        return f"{self.run} {self.parts:06d} {self.replay:014d}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Return the version whose text is `text`; raise ValueError naming it otherwise."""
        pieces = text.split(" ")
        if len(pieces) != 3:
            raise ValueError(f"{text!r} is not the text of a version: expected 'run parts replay'")
        return cls(pieces[0], int(pieces[1]), int(pieces[2]))


def revision(part_hashes: Iterable[str]) -> str:
    """Return the hash of the parts that count, in run order, equal neighbours once."""
    digest = hashlib.sha256()
    last = ""
    for value in part_hashes:
        if value != last:
            digest.update(value.encode())
        last = value
    return digest.hexdigest()


def manifest_id(system: str, slots: Iterable[tuple[str, str, str]]) -> str:
    """Return the id of the manifest that works on (data set, slot, version) triples.

    At most 50 characters of `[a-z0-9-]`, so that a batch id may add its attempt.
    """
    digest = hashlib.sha256()
    for dataset, slot, version in sorted(slots):
        digest.update(f"{dataset}\n{slot}\n{version}\n".encode())
    return f"{system.replace('_', '-')[:29]}-{digest.hexdigest()[:20]}"
