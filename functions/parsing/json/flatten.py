"""Map JSON records to the contract's columns: find fields by name and path, as text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from catalog.contract import Column, Contract
from functions.parsing.batch import (
    SAMPLE_CHARACTERS,
    BrokenRecord,
    Seen,
    TextBatch,
    item_of,
    sum_of,
)
from functions.parsing.file_format import ESCAPED
from functions.parsing.header import (
    FieldPosition,
    HeaderMapping,
    map_header,
    normalize_name,
    require_columns,
    require_one_of,
)

_DEPTH = 4

_ITEMS = 8

_NAMES = 200

_WIDEST = 500

_MOST_NAMES = 20_000
"""The most names of all cached layouts together."""


class Records:
    """Turns the records of one file into rows, and notes in `seen` the fields that they have."""

    def __init__(
        self, contract: Contract, where: str, seen: Seen, extra: Collection[str] = ()
    ) -> None:
        """`where` names the file in error texts; fields named in `extra` are never unknown."""
        self.seen = seen
        self._contract = contract
        self._where = where
        self._layouts = Layouts()
        self._found: set[str] = set()
        self._ignored = frozenset(map(normalize_name, (*contract.ignored, *extra)))

    def row(self, line: int, text: str, record: Any) -> Row:
        """Turn a record into a row; `text` is the record as the file has it."""
        if not isinstance(record, dict):
            return BrokenRecord(line, "not an object", text)
        fields = list(_flat(record))
        values = [value for _, _, value in fields]
        found = self._layout(fields)
        row = FlatRecord(line, text, [_value(place, values) for place in found.places])
        return self._fault(row) or row

    def batch(self, rows: list[Row]) -> TextBatch:
        """Collect rows into a batch; raise RunRefusedError if all so far lack a required column."""
        missing: list[Column] = [c for c in self._contract.columns if c.name not in self._found]
        self.seen.missing = [column.name for column in missing]
        if self._found or self.seen.header:
            require_columns(missing, self.seen.header, self._where, list(self.seen.unknown))
            require_one_of(self._contract, missing, self.seen.header, self._where)
        good = [row for row in rows if isinstance(row, FlatRecord)]
        width = len(self._contract.columns)
        columns = [list(values) for values in zip(*(row.values for row in good), strict=True)]
        return TextBatch(
            lines=[row.line for row in good],
            columns=columns or [[] for _ in range(width)],
            texts=[row.text for row in good],
            broken=[row for row in rows if isinstance(row, BrokenRecord)],
        )

    def _fault(self, row: FlatRecord) -> BrokenRecord | None:
        longest = self._contract.bounds.field_bytes_max
        for value in row.values:
            if len(value) > longest:
                return BrokenRecord(row.line, "a field above the bound", row.text)
            if "\0" in value:
                return BrokenRecord(row.line, "a NUL byte", row.text)
            if not value.isascii() and ESCAPED.search(value):
                return BrokenRecord(row.line, "bytes that are not of the encoding", row.text)
        return None

    def _layout(self, fields: list[tuple[str, str, str]]) -> HeaderMapping:
        """Find the layout of a record with these fields: records may leave fields out."""
        names = tuple(name for _, name, _ in fields)
        found = self._layouts.find(names)
        if found is None:
            found = self._layouts.add(names, map_header(self._contract, names))
            self._found.update(
                column.name
                for column, place in zip(self._contract.columns, found.places, strict=True)
                if place is not None
            )
            for name, seen in found.aliases.items():
                self.seen.aliases.setdefault(name, seen)
            self._note(fields, found)
        elif any(not self.seen.unknown.get(root, "-") for root, _, _ in fields):
            self._note(fields, found)
        return found

    def _note(self, fields: list[tuple[str, str, str]], found: HeaderMapping) -> None:
        """Note the fields of a record, and which of them the contract does not declare."""
        used = {at for place in found.places if place for at in (place.index, *place.plus)}
        mapped = {root for at, (root, _, _) in enumerate(fields) if at in used}
        for root, name, value in fields:
            if root not in self.seen.header and len(self.seen.header) < _NAMES:
                self.seen.header.append(root)
            unknown = (
                root == name and root not in mapped and normalize_name(root) not in self._ignored
            )
            if unknown and (root in self.seen.unknown or len(self.seen.unknown) < _NAMES):
                sample = self.seen.unknown.get(root) or value[:SAMPLE_CHARACTERS]
                self.seen.unknown[root] = sample


class Layouts:
    """A cache of the records' layouts, bounded by the number of names.

    A publisher decides how many fields a record has, so the bound counts names, not layouts.
    """

    def __init__(self) -> None:
        """Begin with an empty cache."""
        self.by_names: dict[tuple[str, ...], HeaderMapping] = {}
        self._names = 0
        self._newest: tuple[tuple[str, ...], HeaderMapping] | None = None

    def find(self, names: tuple[str, ...]) -> HeaderMapping | None:
        """Find the layout of these names; the newest one is found however wide it is."""
        if self._newest and self._newest[0] == names:
            return self._newest[1]
        return self.by_names.get(names)

    def add(self, names: tuple[str, ...], found: HeaderMapping) -> HeaderMapping:
        """Cache the layout of these names if they are few; return it."""
        self._newest = names, found
        if len(names) > _WIDEST:
            return found
        if self._names + len(names) > _MOST_NAMES:
            self.by_names.clear()
            self._names = 0
        self.by_names[names] = found
        self._names += len(names)
        return found


@dataclass(frozen=True, slots=True)
class FlatRecord:
    """A record: its number, its text, and its values in the contract's order."""

    line: int
    text: str
    values: list[str]


Row = FlatRecord | BrokenRecord
"""The result of a record."""


def _value(place: FieldPosition | None, values: list[str]) -> str:
    if place is None:
        return ""
    value = values[place.index]
    if place.plus:
        return sum_of([value, *(values[at] for at in place.plus)])
    return value if place.item is None else item_of(value, place.item)


def field_names(record: dict[str, Any]) -> Iterator[str]:
    """Yield the names of a record's fields, and the paths into them."""
    return (name for _, name, _ in _flat(record))


def _flat(record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield the fields of a record as (field, path, text), objects and lists whole and opened."""
    for root, value in record.items():
        for name, text in _opened(root, value, _DEPTH):
            yield root, name, text


def _opened(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    yield name, text_of(_localized(value))
    if not depth:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _opened(f"{name}.{key}", inner, depth - 1)
    elif isinstance(value, list):
        for at, inner in enumerate(value[:_ITEMS]):
            if not isinstance(inner, dict | list):
                yield f"{name}#{at}", text_of(inner)
        for key, inner in _first_of_each(value[:_ITEMS]).items():
            yield from _opened(f"{name}.{key}", inner, depth - 1)


def _localized(value: Any) -> Any:
    """Return the first text of a GBFS 3 list of texts by language; other values unchanged."""
    if isinstance(value, list) and value and all(map(_is_localized, value)):
        return value[0]["text"]
    return value


def _is_localized(item: Any) -> bool:
    return isinstance(item, dict) and item.keys() == {"text", "language"}


def _first_of_each(items: list[Any]) -> dict[str, Any]:
    """Return the keys of the objects in a list, each with its first value."""
    found: dict[str, Any] = {}
    for item in items:
        if isinstance(item, dict):
            found = item | found
    return found


def text_of(value: Any) -> str:
    """Return a JSON value as text: empty for null, JSON text for an object or a list."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
