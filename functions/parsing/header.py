"""Match the columns of a file with the contract: aliases, unknown and missing columns.

A name of the contract may be a path: `point.lat` is a key of an object, `point#0` an item of a list
or of a text separated by commas, `Name@2` the second column of that name, `one + other` the sum of
two columns or more. Exact names match first, then names that differ only in case, accents, blanks
and punctuation; an `@` before a name is significant.
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
"""The most names, of contracts and files, that are cached; a publisher may send any number."""


class RunRefusedError(Exception):
    """The run is refused: the text names what is wrong, where, and how to fix it."""


@dataclass(frozen=True)
class FieldPosition:
    """Where a column's value is: a field of the row, and an item of its text if not None."""

    index: int
    item: int | None = None
    plus: tuple[int, ...] = ()
    """Further fields, if the value is the sum of several."""


@dataclass(frozen=True)
class HeaderMapping:
    """How one header matched the contract; `places` has an entry for each of its columns."""

    places: tuple[FieldPosition | None, ...]
    aliases: dict[str, str]
    unknown: dict[str, int]
    """Name in the file that the contract does not declare → its position. The parts leave such
    a column out, and `split.events` warns about drift."""
    missing: tuple[Column, ...]


def map_header(contract: Contract, header: Sequence[str]) -> HeaderMapping:
    """Match the columns of a header with those of the contract, required or not.

    Raises RunRefusedError if a name comes twice and the contract does not distinguish the two. If a
    required column is missing too, its own error is more useful and comes later.
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
    """Raise RunRefusedError for the first missing column that the contract requires.

    If there is exactly one `unknown` name, it is likely the missing column's new name.
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
    """Return the contract line that accepts another name for a column."""
    return f'aliases = [{"..., " if column.aliases else ""}"{name}"] of {column.name}'


def require_one_of(
    contract: Contract, missing: Iterable[Column], header: Sequence[str], where: str
) -> None:
    """Raise RunRefusedError if all columns of a group are missing that needs at least one."""
    lacking = {column.name for column in missing}
    for group in contract.require_one:
        if lacking.issuperset(group):
            raise RunRefusedError(
                f"{where}: none of the columns {', '.join(group)} is there; the header has "
                f"{len(header)} columns: {preview(header)}; add an alias to the contract if one was "
                "renamed"
            )


def preview(names: Iterable[str]) -> str:
    """Join names for an error text, cut if they are many."""
    text = ", ".join(names)
    return text if len(text) <= _PREVIEW_CHARACTERS else text[:_PREVIEW_CHARACTERS] + " …"


def dedupe_names(header: Sequence[str]) -> list[str]:
    """Return the names of a header, each different from the others.

    The second column of a name is `name@2`; a column without a name has its position as name.
    """
    seen: dict[str, int] = {}
    names = []
    for at, raw in enumerate(header, start=1):
        name = raw.strip() or f"column {at}"
        seen[name] = seen.get(name, 0) + 1
        names.append(f"{name}@{seen[name]}" if seen[name] > 1 else name)
    return names


@lru_cache(_NAMES)
def normalize_name(name: str) -> str:
    """Reduce a name to its letters and digits, without case and accents.

    An `@` before the name, and `@2` and `#0` after it, stay.
    """
    base, nth, item = parse_alias(name)
    plain = unicodedata.normalize("NFKD", base).casefold()
    bare = "@" * base.startswith("@") + "".join(filter(str.isalnum, plain))
    return bare + (f"@{nth}" if nth else "") + ("" if item is None else f"#{item}")


@lru_cache(_NAMES)
def parse_alias(alias: str) -> tuple[str, int | None, int | None]:
    """Split an alias into its name, its number among columns of that name, and its item."""
    found = _ALIAS.fullmatch(alias)
    assert found is not None  # noqa: S101 - the pattern takes every text
    nth, item = found["nth"], found["item"]
    return found["name"], int(nth) if nth else None, int(item) if item else None


def names_of(column: Column) -> Iterator[str]:
    """Yield every name of a column: names of Pub/Sub, then the canonical one, then the others."""
    yield from (alias for alias in column.aliases if alias.startswith("@"))
    yield column.name
    yield from (alias for alias in column.aliases if not alias.startswith("@"))


def fields_of(column: Column) -> Iterator[str]:
    """Yield every field name of a column, and the parts of a sum."""
    for name in names_of(column):
        yield name
        if _SUM in name:
            yield from name.split(_SUM)


class _Index:
    """Finds the names of a header by alias."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name: at for at, name in reversed(list(enumerate(names)))}
        self._normal = {normalize_name(name): at for at, name in reversed(list(enumerate(names)))}

    def place(self, column: Column, used: dict[int, int | None]) -> FieldPosition | None:
        """Find a column's field; only items of one field may share the field."""
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
        """Find the fields of a sum, exact names or similar ones; None unless all are there."""
        found = [self._exact.get(name, self._normal.get(normalize_name(name))) for name in names]
        places = tuple(at for at in found if at is not None)
        return FieldPosition(places[0], plus=places[1:]) if len(places) == len(names) else None


def _refuse_doubles(contract: Contract, names: Sequence[str]) -> None:
    """Raise RunRefusedError for a repeated name that the contract does not distinguish."""
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
