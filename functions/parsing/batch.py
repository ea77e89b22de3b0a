"""Define what readers return: batches of records, and how the header matched the contract."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

BATCH_ROWS = 8_192

BATCH_CHARACTERS = 8 << 20

SAMPLE_CHARACTERS = 80


@dataclass(frozen=True)
class BrokenRecord:
    """A record that is not a row: the line it begins on, the reason, and its text."""

    line: int
    reason: str
    text: str


@dataclass
class TextBatch:
    """Records in the order of the file; `columns` has one list for each of the contract."""

    lines: list[int]
    columns: list[list[str]]
    texts: list[str]
    broken: list[BrokenRecord] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of records, broken ones included."""
        return len(self.lines) + len(self.broken)


@dataclass
class Seen:
    """How the header matched the contract, filled while the file is read."""

    shape: str = ""
    header: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    """Name seen → the first value that is not empty, cut."""
    missing: list[str] = field(default_factory=list)


_BRACKETS = ("[]", "{}", "()")

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{0,9})?")

_KEY = re.compile(r"""["']?[A-Za-z_]\w*["']?\s*:""")


def sum_of(texts: Sequence[str]) -> str:
    """Return the sum of numbers as text; empty if one of them is empty.

    If one of the fields is empty, the sum is unknown. If a text is not a number, the texts are
    joined with " + ", and the column's own check rejects the result.
    """
    plain = [text.strip() for text in texts]
    if not all(plain):
        return ""
    if not all(map(_NUMBER.fullmatch, plain)):
        return " + ".join(plain)
    return format(sum(map(Decimal, plain)), "f")


def item_of(text: str, item: int) -> str:
    """Return an item of a text separated by commas; empty if there is no such item.

    The text may be a list or an object in the form of JSON or Python: brackets and the keys of an
    object are removed.
    """
    inner = text.strip()
    around = inner[:1] + inner[-1:]
    pieces = (inner[1:-1] if around in _BRACKETS else inner).split(",")
    if item >= len(pieces):
        return ""
    piece = pieces[item].strip()
    key = _KEY.match(piece) if around == "{}" else None
    return piece[key.end() :].strip() if key else piece
