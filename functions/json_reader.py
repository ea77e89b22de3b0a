"""JSON as publishers write it: records in an array, in an envelope or a line each, one by one.

The text of a document is held, its records are not: a document has a bound of its own.
Numbers stay the text that the publisher wrote.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from catalog.contract import Column, Contract, Shape
from functions.bodies import ESCAPED
from functions.columns import Layout, Place, RunRefused, layout, normal, refuse_missing
from functions.json_document import BadJson, Document
from functions.reading import (
    BATCH_CHARACTERS,
    BATCH_ROWS,
    SAMPLE_CHARACTERS,
    Batch,
    Broken,
    Seen,
    item_of,
)

DOCUMENT_CHARACTERS = 64 << 20
"""Longest document that is read."""

_DEPTH = 4
_ITEMS = 8
_LAYOUTS = 500
_NAMES = 200


class JsonReader:
    """Reads one JSON document by the contract's shapes."""

    def __init__(self, contract: Contract, where: str) -> None:
        """`where` names the file in sentences."""
        self.seen = Seen()
        self._contract = contract
        self._where = where
        self._shape: Shape | None = None
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._found: set[str] = set()
        self._ignored = frozenset(map(normal, contract.ignored))

    def batches(self, texts: Iterator[str]) -> Iterator[Batch]:
        """The records of the document.

        Raises RunRefused for a document that is cut, is none of the contract's shapes, or whose
        first records all miss a required column.
        """
        document = Document(self._whole(texts))
        arrays = frozenset(shape.array for shape in self._contract.source.shapes)
        rows: list[_Row] = []
        size = line = 0
        try:
            for line, (text, record) in enumerate(document.records(arrays), start=1):
                rows.append(self._row(line, text, record, document))
                size += len(text)
                if len(rows) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
                    yield self._batch(rows)
                    rows, size = [], 0
        except BadJson as error:
            raise RunRefused(f"{self._where}: {error} (after {line} records)") from error
        if document.array is None:
            raise RunRefused(self._no_array(document, arrays))
        if rows:
            yield self._batch(rows)

    def _whole(self, texts: Iterator[str]) -> str:
        pieces, size = [], 0
        for text in texts:
            size += len(text)
            if size > DOCUMENT_CHARACTERS:
                raise RunRefused(
                    f"{self._where}: a JSON document over {DOCUMENT_CHARACTERS} characters is not "
                    "read; ask the publisher for CSV, or fetch it in slices"
                )
            pieces.append(text)
        return "".join(pieces)

    def _no_array(self, document: Document, arrays: frozenset[str]) -> str:
        """Why a document without records is refused, with what the publisher said in it."""
        said = "; ".join(f"{name}: {value}" for name, value in document.envelope.items())[:500]
        wanted = ", ".join(repr(name) if name else "an array at the top" for name in sorted(arrays))
        return (
            f"{self._where}: the publisher answered with an object without records"
            f"{f' ({said})' if said else ''}; expected {wanted}; if it is not an error of the "
            "publisher's, add the shape to the contract"
        )

    def _row(self, line: int, text: str, record: Any, document: Document) -> _Row:
        if self._shape is None:
            self._shape = self._pick(record, document.array or "")
            self.seen.shape = self._shape.name
        if self._shape.record and isinstance(record, dict):
            record = record.get(self._shape.record)
        if not isinstance(record, dict):
            return Broken(line, "not an object", text)
        fields = list(_flat(record))
        values = [value for _, _, value in fields]
        found = self._layout(fields)
        row = _Record(line, text, [_value(place, values) for place in found.places])
        return self._fault(row) or row

    def _pick(self, record: Any, array: str) -> Shape:
        """The shape that the first record has, one with a field for the record first."""
        fitting = [s for s in self._contract.source.shapes if s.array == array]
        for shape in sorted(fitting, key=lambda shape: not shape.record):
            inner = record.get(shape.record) if isinstance(record, dict) else None
            if not shape.record or isinstance(inner, dict):
                return shape
        raise RunRefused(
            f"{self._where}: the records have no field {fitting[0].record!r}, as the contract's "
            f"shape {fitting[0].name!r} says; add the shape they have"
        )

    def _fault(self, row: _Record) -> Broken | None:
        longest = self._contract.bounds.field_bytes_max
        for value in row.values:
            if len(value) > longest:
                return Broken(row.line, "a field above the bound", row.text)
            if "\0" in value:
                return Broken(row.line, "a NUL byte", row.text)
            if not value.isascii() and ESCAPED.search(value):
                return Broken(row.line, "bytes that are not of the encoding", row.text)
        return None

    def _layout(self, fields: list[tuple[str, str, str]]) -> Layout:
        """The layout of a record with these fields: records may leave fields out."""
        names = tuple(name for _, name, _ in fields)
        found = self._layouts.get(names)
        if found is None:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            found = self._layouts[names] = layout(self._contract, names)
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

    def _note(self, fields: list[tuple[str, str, str]], found: Layout) -> None:
        """Note the fields of a record, and those of them that the contract does not know."""
        used = {place.index for place in found.places if place is not None}
        known = {root for at, (root, _, _) in enumerate(fields) if at in used}
        for root, name, value in fields:
            if root not in self.seen.header and len(self.seen.header) < _NAMES:
                self.seen.header.append(root)
            unknown = root == name and root not in known and normal(root) not in self._ignored
            if unknown and (root in self.seen.unknown or len(self.seen.unknown) < _NAMES):
                sample = self.seen.unknown.get(root) or value[:SAMPLE_CHARACTERS]
                self.seen.unknown[root] = sample

    def _batch(self, rows: list[_Row]) -> Batch:
        missing: list[Column] = [c for c in self._contract.columns if c.name not in self._found]
        self.seen.missing = [column.name for column in missing]
        if self._found or self.seen.header:
            refuse_missing(missing, self.seen.header, self._where)
        good = [row for row in rows if isinstance(row, _Record)]
        width = len(self._contract.columns)
        columns = [list(values) for values in zip(*(row.values for row in good), strict=True)]
        return Batch(
            lines=[row.line for row in good],
            columns=columns or [[] for _ in range(width)],
            texts=[row.text for row in good],
            broken=[row for row in rows if isinstance(row, Broken)],
        )


@dataclass(frozen=True, slots=True)
class _Record:
    """A record: its number, its text, its values in the contract's order."""

    line: int
    text: str
    values: list[str]


_Row = _Record | Broken


def _value(place: Place | None, values: list[str]) -> str:
    if place is None:
        return ""
    value = values[place.index]
    return value if place.item is None else item_of(value, place.item)


def _flat(record: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The fields of a record as (field, path, text): objects and lists whole, and opened."""
    for root, value in record.items():
        for name, text in _opened(root, value, _DEPTH):
            yield root, name, text


def _opened(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    yield name, _text(value)
    if not depth:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _opened(f"{name}.{key}", inner, depth - 1)
    elif isinstance(value, list):
        for at, inner in enumerate(value[:_ITEMS]):
            if not isinstance(inner, dict | list):
                yield f"{name}#{at}", _text(inner)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
