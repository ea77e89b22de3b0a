"""Check a response body while it is stored in raw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from catalog.contract import Contract
from catalog.records import RawFile
from functions.core.gcs import Upload
from functions.download.http import Response
from functions.parsing.file_format import is_page, may_be_data
from functions.parsing.header import RunRefusedError

if TYPE_CHECKING:
    from functions.download.probe import SourceProbe

MAX_PROBED_BYTES = 20_000_000
"""Largest body that is looked through; a larger one is checked by its size and head alone."""

_PIECE_BYTES = 1 << 18

_HEAD_BYTES = 4_096

_STORED_HEADERS = ("etag", "last-modified", "content-type", "content-length", "date")


class NotTheDataError(Exception):
    """A source answered with something that is not the data; the next one is tried."""


@contextmanager
def refusals_as_source_errors(checked: bool) -> Iterator[None]:
    """Turn a refusal of the readers into an error of the source; ignore it if not `checked`."""
    try:
        yield
    except RunRefusedError as refused:
        if checked:
            raise NotTheDataError(str(refused)) from refused


class BoundedBuffer:
    """The bytes of a body, as long as they are few enough to be looked through."""

    def __init__(self) -> None:
        """Begin without bytes."""
        self._bytes: bytearray | None = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add a chunk; drop all bytes once there are too many."""
        if self._bytes is None:
            return
        self._bytes += chunk
        if len(self._bytes) > MAX_PROBED_BYTES:
            self._bytes = None

    def pieces(self) -> Iterator[bytes] | None:
        """Return the bytes in pieces; None if there were too many."""
        data = self._bytes
        if data is None:
            return None
        return (bytes(data[at : at + _PIECE_BYTES]) for at in range(0, len(data), _PIECE_BYTES))


class DownloadedBody:
    """A body on its way from the publisher into raw."""

    def __init__(
        self, response: Response, upload: Upload, url: str, contract: Contract | None
    ) -> None:
        """Check the body by `contract`; without one it is stored whatever it is."""
        self._response = response
        self._upload = upload
        self._url = url
        self._contract = contract
        self._head = b""

    def store(self, probe: SourceProbe | None) -> RawFile:
        """Store the body as it streams, and look through it if it is small enough.

        Raises NotTheDataError if the body is checked and cannot be the data.
        """
        digest, buffer = hashlib.sha256(), BoundedBuffer()
        for chunk in self._response.chunks():
            if len(self._head) < _HEAD_BYTES:
                self._head = (self._head + chunk)[:_HEAD_BYTES]
            digest.update(chunk)
            self._upload.write(chunk)
            if probe is not None:
                buffer.add(chunk)
        if self._contract is not None:
            self._check(self._contract)
        if probe is not None:
            with refusals_as_source_errors(self._contract is not None):
                probe.inspect_file(self._upload.name.rpartition("/")[2], buffer)
        headers = self._response.headers
        return RawFile(
            object=self._upload.name, generation=self._upload.finish(), url=self._url,
            status=self._response.status, bytes=self._upload.size, sha256=digest.hexdigest(),
            headers={name: headers[name] for name in _STORED_HEADERS if name in headers},
        )  # fmt: skip

    def _check(self, contract: Contract) -> None:
        """Raise NotTheDataError for a body that by its size or head cannot be the data."""
        size = self._upload.size
        if (
            size < contract.bounds.bytes_min
            or is_page(self._head)
            or not may_be_data(self._head, contract.source.shapes, whole=size <= _HEAD_BYTES)
        ):
            raise NotTheDataError(
                f"{self._url.partition('?')[0]}: the publisher answered with a page, an error or "
                "nothing instead of data"
            )
