"""Read the messages of a stream from a file of Pub/Sub: Avro with metadata, JSON inside.

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
"""The names that a contract uses for the id and the time, UTC, that Pub/Sub gave a message."""

ORIGIN = "origin"
"""The attribute that marks a message as a sample or as synthetic."""

_BUFFER_BYTES = 1 << 16
_BROKEN = (
    EOFError, ValueError, LookupError, ArithmeticError, SchemaParseException, zlib.error,
)  # fmt: skip
"""The errors of fastavro for bytes that are not an Avro file, or not a whole one."""


class MessageReader:
    """Reads one file of messages."""

    def __init__(self, contract: Contract, where: str) -> None:
        """`where` names the file in error texts."""
        self.seen = Seen(shape="messages")
        self.origins: set[Origin] = set()
        """The origins that the messages name, as far as they were read."""
        self._contract = contract
        self._where = where
        self._records = Records(contract, where, self.seen, (MESSAGE_ID, PUBLISH_TIME))
        self._decoder = json.JSONDecoder(
            parse_float=str, parse_int=str, parse_constant=str, strict=False
        )

    def batches(self, chunks: Iterator[bytes]) -> Iterator[TextBatch]:
        """Yield the messages in the bytes of a file.

        Raises RunRefusedError for a file that is cut, has no messages with metadata, is over the
        contract's bounds, or whose first messages all miss a required column. If a file ends
        between two of its blocks, no reader of Avro sees that it is cut.
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
            for count, found in enumerate(  # noqa: B007 - the error text names the count
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
        """Turn a message into a row: the fields of its object, its id and its time."""
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
    """The fields of a message that are read."""

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
        """Return True: the file can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from the current chunk; return the number of bytes, 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
