"""Objects as the steps use them: create only if absent, read, list, delete."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage import Bucket

from functions.core import gcs


def create(
    bucket: Bucket, name: str, body: bytes, content_type: str = "application/json",
    metadata: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Create an object only if it is absent; gives what now stands there.

    A one-shot upload, so that the precondition holds for the whole of it. Where the reply of an
    earlier try was lost the object is there already: whoever calls compares.
    """
    blob = bucket.blob(name)
    if metadata:
        blob.metadata = dict(metadata)
    try:
        blob.upload_from_string(
            body, content_type=content_type, if_generation_match=0, checksum="crc32c"
        )
    except PreconditionFailed:
        found = read(bucket, name)
        if found is None:  # deleted between the two calls: let the message come again
            raise
        return found
    return body


def read(bucket: Bucket, name: str) -> bytes | None:
    """The bytes of an object, or None where there is none."""
    try:
        found: bytes = bucket.blob(name).download_as_bytes()
    except NotFound:
        return None
    return found


def exists(bucket: Bucket, name: str) -> bool:
    """Whether an object is there."""
    return bool(bucket.blob(name).exists())


def names(bucket: Bucket, prefix: str) -> Iterator[str]:
    """The names of the objects below a prefix, in order."""
    for blob in bucket.list_blobs(prefix=prefix, fields="items(name),nextPageToken"):
        yield blob.name


def folders(bucket: Bucket, prefix: str) -> list[str]:
    """The names of the folders directly below a prefix that ends in `/`, without it."""
    pages = bucket.list_blobs(prefix=prefix, delimiter="/")
    for _ in pages:
        pass
    return sorted(folder.removeprefix(prefix).rstrip("/") for folder in pages.prefixes)


def delete(bucket: Bucket, name: str) -> None:
    """Delete an object; one that is gone already is fine."""
    try:
        bucket.blob(name).delete()
    except NotFound:
        return


_MULTIPLE = 256 << 10


class Upload(io.RawIOBase):
    """A file to write to that becomes an object on `finish`, and nothing before.

    Holds at most `chunk` bytes, a multiple of 256 KiB.
    """

    def __init__(
        self, bucket: Bucket, name: str, content_type: str, chunk: int = _MULTIPLE
    ) -> None:
        """Nothing is sent before a chunk is full."""
        super().__init__()
        self.name = name
        self.size = 0
        self.generation = 0
        """Generation of the object, once it is finished."""
        self._bucket = bucket
        self._type = content_type
        self._chunk = chunk
        self._small = bytearray()
        self._large: Any = None
        self._abandoned = False
        self._blob = bucket.blob(name)

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """How many bytes were written."""
        return self.size

    def write(self, data: Any) -> int:
        """Take bytes; sends what fills chunks."""
        count = memoryview(data).nbytes
        if self._abandoned:
            return count
        self.size += count
        if self._large is not None:
            self._large.write(data)
            return count
        self._small += data
        if len(self._small) > self._chunk:
            self._large = self._blob.open(
                "wb", chunk_size=self._chunk, content_type=self._type, ignore_flush=True
            )
            self._large.write(bytes(self._small))
            self._small.clear()
        return count

    def finish(self) -> int:
        """Make the object; gives its generation."""
        if self._large is not None:
            self._large.close()
            self._blob.reload()
        else:
            self._blob.upload_from_string(bytes(self._small), content_type=self._type)
            self._small.clear()
        self.generation = int(self._blob.generation)
        return self.generation

    def abandon(self) -> None:
        """Leave nothing behind, finished or not."""
        self._small.clear()
        self._abandoned = True
        if self.generation:
            gcs.delete(self._bucket, self.name)
        elif self._large is not None:
            self._large.terminate()
