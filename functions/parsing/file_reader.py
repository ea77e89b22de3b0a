"""Read the records of a file in the contract's columns: CSV, JSON or messages, in batches.

Every record ends in a batch, as a row or as broken, with its line. In CSV that is the first
physical line of the record, in JSON and messages the number of the record; all count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field

from catalog.contract import Contract, Kind
from catalog.records import FileReport, Origin
from functions.parsing.avro import MessageReader
from functions.parsing.batch import Seen, TextBatch
from functions.parsing.csv.blocks import Block
from functions.parsing.csv.reader import BLOCK_BYTES, CsvReader
from functions.parsing.file_format import FileFormat, body
from functions.parsing.json.reader import JsonReader
from functions.parsing.lookup_join import LookupTable, build_lookup


@dataclass
class FileReader:
    """One file of a run, read once: the batches first, then the report."""

    object: str
    where: str
    """How error texts name it: data set, run, file."""
    contract: Contract
    pool: Executor
    """Where blocks of CSV are searched."""
    block_bytes: int = BLOCK_BYTES
    lookup: LookupTable | None = None
    """The records that fill in its own records."""
    origins: set[Origin] = field(default_factory=set, init=False)
    """The origins that its records name, as far as the file was read."""
    _seen: Seen | None = field(default=None, init=False)
    _encoding: str = field(default="", init=False)

    def batches(self, chunks: Iterator[bytes]) -> Iterator[TextBatch | Block]:
        """Yield the records in the bytes of the file.

        Raises RunRefusedError if the file cannot be accepted.
        """
        if self.contract.kind is Kind.STREAM:
            messages = MessageReader(self.contract, self.where)
            self._seen, self._encoding, self.origins = messages.seen, "utf-8", messages.origins
            yield from messages.batches(chunks)
            return
        found = body(chunks, self.contract, self.where)
        self._encoding = found.encoding
        if found.form is FileFormat.JSON:
            json = JsonReader(self.contract, self.where, self.lookup)
            self._seen = json.seen
            yield from json.batches(found.texts)
        else:
            csv = CsvReader(self.contract, self.where, self.pool, self.block_bytes)
            self._seen = csv.seen
            yield from csv.batches(found.pieces)

    def as_lookup(self, chunks: Iterator[bytes]) -> LookupTable | None:
        """Return its records as a lookup table if they fill in those of other files; else None.

        Raises RunRefusedError if the file cannot be accepted.
        """
        found = body(chunks, self.contract, self.where)
        if found.form is not FileFormat.JSON:
            return None
        json = JsonReader(self.contract, self.where)
        self._seen, self._encoding = json.seen, found.encoding
        records = list(json.records(found.texts))
        lookup = build_lookup(self.contract, self.object.rpartition("/")[2], records)
        if lookup is not None:
            json.seen.header = lookup.header
        return lookup

    def report(self, generation: int, sha256: str) -> FileReport | None:
        """Report how the header matched the contract, as far as the file was read; None before.

        `generation` and `sha256` identify the bytes that were read.
        """
        seen = self._seen
        if seen is None:
            return None
        return FileReport(
            object=self.object,
            generation=generation,
            sha256=sha256,
            encoding=self._encoding,
            shape=seen.shape,
            header=tuple(seen.header),
            aliases=seen.aliases,
            unknown_columns=seen.unknown,
            missing_columns=tuple(seen.missing),
        )
