"""Read JSON as publishers write it: records in an array, in an envelope or one a line.

The text of a document is in memory, its records are not, so the document's length has a bound.
Numbers keep the text that the publisher wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract, Shape
from functions.parsing.batch import BATCH_CHARACTERS, BATCH_ROWS, BrokenRecord, Seen, TextBatch
from functions.parsing.header import RunRefusedError
from functions.parsing.json.document import BadJsonError, Document
from functions.parsing.json.flatten import Records, Row

if TYPE_CHECKING:
    from functions.parsing.lookup_join import LookupTable

DOCUMENT_CHARACTERS = 64 << 20
"""Longest document that is read."""


class JsonReader:
    """Reads one JSON document by the contract's shapes."""

    def __init__(self, contract: Contract, where: str, lookup: LookupTable | None = None) -> None:
        """`where` names the file in error texts; `lookup` fills in the records."""
        self.seen = Seen()
        self._lookup = lookup
        self._contract = contract
        self._where = where
        self._shape: Shape | None = None
        self._records = Records(contract, where, self.seen)

    def batches(self, texts: Iterator[str]) -> Iterator[TextBatch]:
        """Yield the records of the document in batches.

        Raises RunRefusedError for a document that is cut, is none of the contract's shapes, or
        whose first records all miss a required column.
        """
        rows: list[Row] = []
        size = 0
        for line, text, record in self.records(texts):
            rows.append(self._row(line, text, record))
            size += len(text)
            if len(rows) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
                yield self._records.batch(rows)
                rows, size = [], 0
        if rows:
            yield self._records.batch(rows)

    def records(self, texts: Iterator[str]) -> Iterator[tuple[int, str, Any]]:
        """Yield each record as (number, text, value below the shape's field).

        Raises RunRefusedError for a document that is cut or is none of the contract's shapes.
        """
        document = Document(self._whole(texts))
        arrays = frozenset(shape.array for shape in self._contract.source.shapes)
        line = 0
        try:
            for line, (text, record) in enumerate(document.records(arrays), start=1):
                yield line, text, self._inner(record, document)
        except BadJsonError as error:
            raise RunRefusedError(f"{self._where}: {error} (after {line} records)") from error
        if document.array is None:
            raise RunRefusedError(self._no_array(document, arrays))

    def _whole(self, texts: Iterator[str]) -> str:
        pieces, size = [], 0
        for text in texts:
            size += len(text)
            if size > DOCUMENT_CHARACTERS:
                raise RunRefusedError(
                    f"{self._where}: a JSON document over {DOCUMENT_CHARACTERS} characters is not "
                    "read; ask the publisher for CSV, or fetch it in slices"
                )
            pieces.append(text)
        return "".join(pieces)

    def _no_array(self, document: Document, arrays: frozenset[str]) -> str:
        """Explain why a document without records is refused; quote the publisher's text."""
        said = "; ".join(f"{name}: {value}" for name, value in document.envelope.items())[:500]
        wanted = ", ".join(repr(name) if name else "an array at the top" for name in sorted(arrays))
        return (
            f"{self._where}: the publisher answered with an object without records"
            f"{f' ({said})' if said else ''}; expected {wanted}; if it is not an error of the "
            "publisher's, add the shape to the contract"
        )

    def _row(self, line: int, text: str, record: Any) -> Row:
        if self._lookup is not None and isinstance(record, dict):
            filled = self._lookup.fill(record)
            if isinstance(filled, str):
                return BrokenRecord(line, filled, text)
            record = filled
        return self._records.row(line, text, record)

    def _inner(self, record: Any, document: Document) -> Any:
        """Return the value below the field that the shape of the first record names."""
        if self._shape is None:
            self._shape = self._pick(record, document.array or "")
            self.seen.shape = self._shape.name
        if self._shape.record and isinstance(record, dict):
            return _below(record, self._shape.record)
        return record

    def _pick(self, record: Any, array: str) -> Shape:
        """Pick the shape of the first record; try shapes with a record field first."""
        fitting = [s for s in self._contract.source.shapes if s.array == array]
        for shape in sorted(fitting, key=lambda shape: not shape.record):
            inner = _below(record, shape.record)
            if not shape.record or isinstance(inner, dict):
                return shape
        raise RunRefusedError(
            f"{self._where}: the records have no field {fitting[0].record!r}, as the contract's "
            f"shape {fitting[0].name!r} says; add the shape they have"
        )


def _below(record: Any, path: str) -> Any:
    """Return the value at a path of keys separated by points; None if there is none."""
    for key in path.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record
