"""The records of a file in the contract's columns: CSV and JSON, streamed in batches.

Every record ends in a batch or is told as broken, with its line: in CSV the first physical line
of the record, in JSON the number of the record, both from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from catalog.contract import Contract
from catalog.records import FileReport
from functions.bodies import Form, body
from functions.csv_reader import CsvReader
from functions.json_reader import JsonReader
from functions.reading import Batch, Reader


@dataclass
class File:
    """One file of a run, read once: the batches first, then the report."""

    object: str
    where: str
    """How sentences name it: data set, run, file."""
    contract: Contract
    _reader: Reader | None = field(default=None, init=False)
    _encoding: str = field(default="", init=False)

    def batches(self, chunks: Iterator[bytes]) -> Iterator[Batch]:
        """The records in the bytes of the file; raises RunRefused where it cannot be taken."""
        found = body(chunks, self.contract, self.where)
        self._encoding = found.encoding
        make = JsonReader if found.form is Form.JSON else CsvReader
        self._reader = make(self.contract, self.where)
        yield from self._reader.batches(found.texts)

    def report(self) -> FileReport | None:
        """How the header met the contract, as far as the file was read; None before that."""
        if self._reader is None:
            return None
        seen = self._reader.seen
        return FileReport(
            object=self.object,
            encoding=self._encoding,
            shape=seen.shape,
            header=tuple(seen.header),
            aliases=seen.aliases,
            unknown_columns=seen.unknown,
            missing_columns=tuple(seen.missing),
        )
