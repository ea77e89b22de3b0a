"""Join the files of a run: records of a lookup file fill in the records of the other files.

A file whose records lack a required column is the lookup file and is read first. The fields of
`source.lookup_keys` match its records with those of the other files. Rows that only one side has
are rejected, and so are rows for which the two sides have different values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from catalog.contract import Contract
from functions.parsing.batch import BrokenRecord, TextBatch
from functions.parsing.header import fields_of, map_header, normalize_name
from functions.parsing.json.flatten import field_names, text_of

Numbered = tuple[int, str, Any]
"""A record of a file: its number, its text, itself."""


@dataclass
class _LookupRow:
    """A record of the lookup file."""

    line: int
    text: str
    fields: dict[str, Any]
    used: bool = False


class LookupTable:
    """The records of one file that fill in the records of the run's other files."""

    def __init__(self, contract: Contract, file: str, records: Sequence[Numbered]) -> None:
        """`file` names the file in reasons; `records` are all its records."""
        self._contract = contract
        self._file = file
        self._column_names = {
            normalize_name(name) for column in contract.columns for name in fields_of(column)
        }
        self._broken: list[BrokenRecord] = []
        self._rows: list[_LookupRow] = []
        self._by: dict[str, dict[str, _LookupRow]] = {
            field: {} for field in contract.source.lookup_keys
        }
        for line, text, record in records:
            self._add(line, text, record)
        fields = (name for row in self._rows for name in row.fields)
        self.header = list(dict.fromkeys(fields))
        """The field names of its records."""

    def fill(self, record: dict[str, Any]) -> dict[str, Any] | str:
        """Return a record with the values of its lookup row, or why it is not a row."""
        field = next(
            (f for f in self._contract.source.lookup_keys if f in record and self._by[f]), None
        )
        if field is None:
            return f"{self._contract.source.lookup_keys[0]}: missing, to join the files by"
        row = self._by[field].get(text_of(record[field]))
        if row is None:
            return f"{field}: not in {self._file}"
        row.used = True
        values = {name: value for name, value in record.items() if value is not None}
        for name, value in values.items():
            other = row.fields.get(name)
            if other is None or normalize_name(name) not in self._column_names:
                continue
            if text_of(value) != text_of(other):
                return f"{name}: the files disagree"
        return row.fields | values

    def unmatched(self) -> TextBatch:
        """Return the lookup rows that no other file used, as a batch of broken records.

        Call it after the other files were read.
        """
        alone = f"{self._contract.source.lookup_keys[0]}: in {self._file} alone"
        broken = [BrokenRecord(p.line, alone, p.text) for p in self._rows if not p.used]
        width = len(self._contract.columns)
        return TextBatch(
            [], [[] for _ in range(width)], [], sorted([*self._broken, *broken], key=_line)
        )

    def _add(self, line: int, text: str, record: Any) -> None:
        """Index a record by each of its lookup keys."""
        if not isinstance(record, dict):
            self._broken.append(BrokenRecord(line, "not an object", text))
            return
        keys = [(field, text_of(record[field])) for field in self._by if field in record]
        if not keys:
            self._broken.append(BrokenRecord(line, f"{next(iter(self._by))}: missing", text))
            return
        if any(key in self._by[field] for field, key in keys):
            self._broken.append(BrokenRecord(line, f"{keys[0][0]}: twice in {self._file}", text))
            return
        row = _LookupRow(line, text, record)
        self._rows.append(row)
        for field, key in keys:
            self._by[field][key] = row


def build_lookup(contract: Contract, file: str, records: Sequence[Numbered]) -> LookupTable | None:
    """Build the lookup table of a file's records; None if it is not a lookup file.

    A file is a lookup table if all its records lack some required column and one has a lookup key.
    """
    names = dict.fromkeys(
        name for _, _, record in records if isinstance(record, dict) for name in field_names(record)
    )
    if not any(field in names for field in contract.source.lookup_keys):
        return None
    if not any(column.required for column in map_header(contract, list(names)).missing):
        return None
    return LookupTable(contract, file, records)


def _line(broken: BrokenRecord) -> int:
    return broken.line
