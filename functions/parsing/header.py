"""Which column of a file is which of the contract: aliases, unknown and missing columns.

A name of the contract may be a path: `point.lat` a key of an object, `point#0` an item of a list or
of a text separated by commas, `Name@2` the second column of that name, `one + other` the sum of two
columns or more. Exact names come first, then names that differ in case, accents, blanks and
punctuation only; an `@` before a name is told apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from catalog.contract import Column, Contract

_ALIAS = re.compile(r"(?P<name>.*?)(?:@(?P<nth>\d+))?(?:#(?P<item>\d+))?", re.DOTALL)

_SUM = " + "

_PREVIEW_CHARACTERS = 1_000

_NAMES = 10_000
"""How many names, of contracts and of files, are remembered; a publisher may send any number."""


class RunRefusedError(Exception):
    """The run cannot be taken: the sentence names the thing, the place and the way out."""


@dataclass(frozen=True)
class FieldPosition:
    """Where a column's value stands: a field of the row, and an item of its text if not None."""

    index: int
    item: int | None = None
    plus: tuple[int, ...] = ()
    """Further fields, where the value is the sum of several."""


@dataclass(frozen=True)
class HeaderMapping:
    """How one header met the contract; `places` has one entry for each column of the contract."""

    places: tuple[FieldPosition | None, ...]
    aliases: dict[str, str]
    unknown: dict[str, int]
    """Name seen that the contract does not know → its place."""
    missing: tuple[Column, ...]


def map_header(contract: Contract, header: Sequence[str]) -> HeaderMapping:
    """How the columns of a header met those of the contract, required or not.

    Raises RunRefused for a name that comes twice where the contract does not tell the two apart,
    unless a required column is missing, which says more.
    """
    names = dedupe_names(header)
    index = _Index(names)
    used: dict[int, int | None] = {}
    places: list[FieldPosition | None] = []
    aliases: dict[str, str] = {}
    for column in contract.columns:
        place = index.place(column, used)
        places.append(place)
        if place is not None:
            fields = (place.index, *place.plus)
            used.update(dict.fromkeys(fields, place.item))
            label = _SUM.join(names[at] for at in fields)
            if label != column.name:
                aliases[column.name] = label
    ignored = frozenset(map(normalize_name, contract.ignored))
    unknown = {
        name: at
        for at, name in enumerate(names)
        if at not in used and normalize_name(name) not in ignored
    }
    missing = tuple(c for c, p in zip(contract.columns, places, strict=True) if p is None)
    if not any(column.required for column in missing):
        _refuse_doubles(contract, names)
    return HeaderMapping(tuple(places), aliases, unknown, missing)


def require_columns(
    missing: Iterable[Column], header: Sequence[str], where: str, unknown: Sequence[str] = ()
) -> None:
    """Raise RunRefused for the first of the missing columns that the contract requires.

    Of `unknown` names a single one is likely the missing column's.
    """
    for column in missing:
        if column.required:
            label = column.aliases[0] if column.aliases else column.name
            raise RunRefusedError(
                f'{where}: column "{label}" ({column.name}) is missing; the header has '
                f"{len(header)} columns: {preview(header)}; add an alias to the contract if it was "
                "renamed" + (f": {alias_for(column, unknown[0])}" if len(unknown) == 1 else "")
            )


def alias_for(column: Column, name: str) -> str:
    """What to put into the contract so that a column may bear another name."""
    return f'aliases = [{"..., " if column.aliases else ""}"{name}"] of {column.name}'


def require_one_of(
    contract: Contract, missing: Iterable[Column], header: Sequence[str], where: str
) -> None:
    """Raise RunRefused where all columns of a group are missing of which one is required."""
    lacking = {column.name for column in missing}
    for group in contract.require_one:
        if lacking.issuperset(group):
            raise RunRefusedError(
                f"{where}: none of the columns {', '.join(group)} is there; the header has "
                f"{len(header)} columns: {preview(header)}; add an alias to the contract if one was "
                "renamed"
            )


def preview(names: Iterable[str]) -> str:
    """Names for a sentence, cut when they are many."""
    text = ", ".join(names)
    return text if len(text) <= _PREVIEW_CHARACTERS else text[:_PREVIEW_CHARACTERS] + " …"


def dedupe_names(header: Sequence[str]) -> list[str]:
    """The names of a header, the second of a name as `name@2`, one without a name by its place."""
    seen: dict[str, int] = {}
    names = []
    for at, raw in enumerate(header, start=1):
        name = raw.strip() or f"column {at}"
        seen[name] = seen.get(name, 0) + 1
        names.append(f"{name}@{seen[name]}" if seen[name] > 1 else name)
    return names


@lru_cache(_NAMES)
def normalize_name(name: str) -> str:
    """A name without case, accents, blanks and punctuation; an `@` before it, `@2` and `#0` stay."""
    base, nth, item = parse_alias(name)
    plain = unicodedata.normalize("NFKD", base).casefold()
    bare = "@" * base.startswith("@") + "".join(filter(str.isalnum, plain))
    return bare + (f"@{nth}" if nth else "") + ("" if item is None else f"#{item}")


@lru_cache(_NAMES)
def parse_alias(alias: str) -> tuple[str, int | None, int | None]:
    """The name, the number among columns of that name, and the item of an alias."""
    found = _ALIAS.fullmatch(alias)
    assert found is not None  # noqa: S101 - the pattern takes every text
    nth, item = found["nth"], found["item"]
    return found["name"], int(nth) if nth else None, int(item) if item else None


def names_of(column: Column) -> Iterator[str]:
    """Every name of a column: what Pub/Sub says of a message, the canonical one, the others."""
    yield from (alias for alias in column.aliases if alias.startswith("@"))
    yield column.name
    yield from (alias for alias in column.aliases if not alias.startswith("@"))


def fields_of(column: Column) -> Iterator[str]:
    """Every name of a field that tells a column, or a part of it where it is a sum."""
    for name in names_of(column):
        yield name
        if _SUM in name:
            yield from name.split(_SUM)


class _Index:
    """The names of a header, to be asked for by alias."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name: at for at, name in reversed(list(enumerate(names)))}
        self._normal = {normalize_name(name): at for at, name in reversed(list(enumerate(names)))}

    def place(self, column: Column, used: dict[int, int | None]) -> FieldPosition | None:
        """Where a column stands; a field is shared only by items of it."""
        for loosely, alias in product((False, True), names_of(column)):
            found = self._find(alias, loosely=loosely)
            if found is None:
                continue
            shared = used.get(found.index) is not None and found.item is not None
            if used.keys().isdisjoint((found.index, *found.plus)) or shared:
                return found
        return None

    def _find(self, alias: str, *, loosely: bool) -> FieldPosition | None:
        table = self._normal if loosely else self._exact
        key = normalize_name(alias) if loosely else alias
        if key in table:
            return FieldPosition(table[key])
        if _SUM in alias:
            return None if loosely else self._sum(alias.split(_SUM))
        name, nth, item = parse_alias(alias)
        if item is None:
            return None
        whole = f"{name}@{nth}" if nth else name
        at = table.get(normalize_name(whole) if loosely else whole)
        return None if at is None else FieldPosition(at, item)

    def _sum(self, names: Sequence[str]) -> FieldPosition | None:
        """Where the fields of a sum stand, however they are spelt; None unless all are there."""
        found = [self._exact.get(name, self._normal.get(normalize_name(name))) for name in names]
        places = tuple(at for at in found if at is not None)
        return FieldPosition(places[0], plus=places[1:]) if len(places) == len(names) else None


def _refuse_doubles(contract: Contract, names: Sequence[str]) -> None:
    """Raise RunRefused for a second column of a name that the contract does not tell apart."""
    declared = {normalize_name(name) for column in contract.columns for name in fields_of(column)}
    declared.update(map(normalize_name, contract.ignored))
    doubles = [
        name
        for name in names
        if (parse_alias(name)[1] or 1) > 1 and normalize_name(name) not in declared
    ]
    if doubles:
        listed = ", ".join(f'"{parse_alias(name)[0]}"' for name in doubles)
        raise RunRefusedError(
            f"the header names {listed} more than once, and the contract does not say which is "
            f'meant: add the alias or ignored name "{doubles[0]}"'
        )
