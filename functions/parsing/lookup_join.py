"""Files of a run that are one table: records that fill in those of another file.

A file whose records lack a required column lies beside the others and is read first; by the fields of
`source.lookup_keys` its values are put into their records. Rows that only one side has are rejected, and so
are those of which the two sides tell different values.
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
    """A record beside the others."""

    line: int
    text: str
    fields: dict[str, Any]
    used: bool = False


class LookupTable:
    """The records of one file that fill in those of the run's other files."""

    def __init__(self, contract: Contract, file: str, records: Sequence[Numbered]) -> None:
        """`file` names it in reasons; `records` are all that it has."""
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
        fields = (name for partner in self._rows for name in partner.fields)
        self.header = list(dict.fromkeys(fields))
        """The fields of its records."""

    def fill(self, record: dict[str, Any]) -> dict[str, Any] | str:
        """A record of another file with what is told of it here, or why it is no row."""
        field = next(
            (f for f in self._contract.source.lookup_keys if f in record and self._by[f]), None
        )
        if field is None:
            return f"{self._contract.source.lookup_keys[0]}: missing, to join the files by"
        partner = self._by[field].get(text_of(record[field]))
        if partner is None:
            return f"{field}: not in {self._file}"
        partner.used = True
        values = {name: value for name, value in record.items() if value is not None}
        for name, value in values.items():
            other = partner.fields.get(name)
            if other is None or normalize_name(name) not in self._column_names:
                continue
            if text_of(value) != text_of(other):
                return f"{name}: the files disagree"
        return partner.fields | values

    def unmatched(self) -> TextBatch:
        """What no other file has, once these were read: a batch of records that are no rows."""
        alone = f"{self._contract.source.lookup_keys[0]}: in {self._file} alone"
        broken = [BrokenRecord(p.line, alone, p.text) for p in self._rows if not p.used]
        width = len(self._contract.columns)
        return TextBatch(
            [], [[] for _ in range(width)], [], sorted([*self._broken, *broken], key=_line)
        )

    def _add(self, line: int, text: str, record: Any) -> None:
        """Keep a record by every field that it may be joined by."""
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
        partner = _LookupRow(line, text, record)
        self._rows.append(partner)
        for field, key in keys:
            self._by[field][key] = partner


def build_lookup(contract: Contract, file: str, records: Sequence[Numbered]) -> LookupTable | None:
    """The records of a file where they fill in those of others; None where they stand alone.

    They do where none of them has some required column, and one a field to join by.
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
