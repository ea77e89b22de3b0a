"""A response body: checked as it is stored in raw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from catalog.contract import Contract
from catalog.records import RawFile
from functions.core.gcs import Upload
from functions.download.http import Response
from functions.download.source_selection import BoundedBuffer
from functions.parsing.file_format import is_page, may_be_data
from functions.parsing.header import RunRefusedError

if TYPE_CHECKING:
    from functions.download.probe import SourceProbe

_HEAD_BYTES = 4_096

_KEPT_HEADERS = ("etag", "last-modified", "content-type", "content-length", "date")


class NotTheDataError(Exception):
    """A source answered with something else than the data; the next one is tried."""


@contextmanager
def refusals_as_source_errors(judged: bool) -> Iterator[None]:
    """Make a refusal of the readers one of the source; nothing where the source is not judged."""
    try:
        yield
    except RunRefusedError as refused:
        if judged:
            raise NotTheDataError(str(refused)) from refused


class DownloadedBody:
    """A body on its way from the publisher into raw."""

    def __init__(
        self, response: Response, upload: Upload, url: str, contract: Contract | None
    ) -> None:
        """Where a `contract` is given another source is left, and the body is judged by it."""
        self._response = response
        self._upload = upload
        self._url = url
        self._contract = contract
        self._head = b""

    def stored(self, look: SourceProbe | None) -> RawFile:
        """Store the body as it streams, and look through it where it is small enough.

        Raises NotTheDataError for a judged body that cannot be the data.
        """
        digest, copy = hashlib.sha256(), BoundedBuffer()
        for chunk in self._response.chunks():
            if len(self._head) < _HEAD_BYTES:
                self._head = (self._head + chunk)[:_HEAD_BYTES]
            digest.update(chunk)
            self._upload.write(chunk)
            if look is not None:
                copy.add(chunk)
        if self._contract is not None:
            self._judge(self._contract)
        if look is not None:
            with refusals_as_source_errors(self._contract is not None):
                look.at(self._upload.name.rpartition("/")[2], copy)
        headers = self._response.headers
        return RawFile(
            object=self._upload.name, generation=self._upload.finish(), url=self._url,
            status=self._response.status, bytes=self._upload.size, sha256=digest.hexdigest(),
            headers={name: headers[name] for name in _KEPT_HEADERS if name in headers},
        )  # fmt: skip

    def _judge(self, contract: Contract) -> None:
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
