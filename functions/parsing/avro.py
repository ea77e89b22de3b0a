"""The messages of a stream as Pub/Sub writes them to a file: Avro with metadata, JSON inside.

The schema is `PubsubMessageWithMetadata` of
cloud.google.com/pubsub/docs/create-cloudstorage-subscription. A message is a row; its line is its
number in the file, from 1.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from datetime import datetime

import fastavro
import msgspec
from fastavro.schema import SchemaParseException

from catalog.contract import Contract
from catalog.records import Origin
from functions.parsing.batch import BATCH_CHARACTERS, BATCH_ROWS, BrokenRecord, Seen, TextBatch
from functions.parsing.file_format import unpacked
from functions.parsing.header import RunRefusedError
from functions.parsing.json.flatten import Records, Row

MESSAGE_ID, PUBLISH_TIME = "@message_id", "@publish_time"
"""What a contract calls the id and the time, UTC, that Pub/Sub gave a message."""

ORIGIN = "origin"
"""The attribute by which a message says that it is a sample or synthetic."""

_BUFFER_BYTES = 1 << 16
_BROKEN = (
    EOFError, ValueError, LookupError, ArithmeticError, SchemaParseException, zlib.error,
)  # fmt: skip
"""What fastavro raises for bytes that are not an Avro file, or not a whole one."""


class MessageReader:
    """Reads one file of messages."""

    def __init__(self, contract: Contract, where: str) -> None:
        """`where` names the file in sentences."""
        self.seen = Seen(shape="messages")
        self.origins: set[Origin] = set()
        """What the messages say of their origin, as far as they were read."""
        self._contract = contract
        self._where = where
        self._records = Records(contract, where, self.seen, (MESSAGE_ID, PUBLISH_TIME))
        self._decoder = json.JSONDecoder(
            parse_float=str, parse_int=str, parse_constant=str, strict=False
        )

    def batches(self, chunks: Iterator[bytes]) -> Iterator[TextBatch]:
        """The messages in the bytes of a file.

        Raises RunRefused for a file that is cut, is not of messages with metadata, is over the
        contract's bounds, or whose first messages all miss a required column. A file that ends
        between two of its blocks is whole to every reader of Avro.
        """
        rows: list[Row] = []
        size = 0
        for line, message in enumerate(self._messages(chunks), start=1):
            rows.append(self._row(line, message))
            size += len(message.data)
            if len(rows) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
                yield self._records.batch(rows)
                rows, size = [], 0
        if rows:
            yield self._records.batch(rows)

    def _messages(self, chunks: Iterator[bytes]) -> Iterator[_Message]:
        source = _Source(unpacked(chunks, self._contract.bounds, self._where))
        count = 0
        try:
            for count, found in enumerate(  # noqa: B007 - the sentence tells how far it came
                fastavro.reader(io.BufferedReader(source, _BUFFER_BYTES)), start=1
            ):
                yield msgspec.convert(found, _Message)
        except msgspec.ValidationError as error:
            raise RunRefusedError(
                f"{self._where}: the Avro file has no messages with metadata: {error}; set "
                "write_metadata of the stream's subscription, then replay the run"
            ) from error
        except _BROKEN as error:
            raise RunRefusedError(
                f"{self._where}: the Avro file is cut or broken after {count} messages "
                f"({type(error).__name__}: {error}); write the whole file to its place in raw, then "
                "replay the run"
            ) from error

    def _row(self, line: int, message: _Message) -> Row:
        """A message as a row: the fields of its object, its id and its time."""
        text = message.data.decode("utf-8", "replace")
        if (origin := message.attributes.get(ORIGIN)) is not None:
            if origin not in list(Origin):
                return BrokenRecord(line, f"{ORIGIN}: not one of {', '.join(Origin)}", text)
            self.origins.add(Origin(origin))
        try:
            record = self._decoder.decode(message.data.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return BrokenRecord(line, "bytes that are not of the encoding", text)
        except (json.JSONDecodeError, RecursionError):
            return BrokenRecord(line, "not JSON", text)
        if isinstance(record, dict):
            record[MESSAGE_ID] = message.message_id
            record[PUBLISH_TIME] = message.publish_time.isoformat()
        return self._records.row(line, text, record)


class _Message(msgspec.Struct, frozen=True):
    """A message as it stands in the file, as far as it is read."""

    message_id: str
    publish_time: datetime
    data: bytes
    attributes: dict[str, str] = {}


class _Source(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as the chunk at hand goes; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
