"""Create, read, list and delete objects; `create` never replaces one, an `Upload` may."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage import Bucket


def create(
    bucket: Bucket, name: str, body: bytes, content_type: str = "application/json",
    metadata: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    """Create an object only if it is absent; return the bytes that are stored now.

    The upload is one request, so that the precondition covers all bytes. If the reply to an earlier
    attempt was lost, the object exists already: the caller compares the bytes.
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
        if found is None:  # deleted between the two calls: let the message be delivered again
            raise
        return found
    return body


def read(bucket: Bucket, name: str) -> bytes | None:
    """Read the bytes of an object; return None if there is no such object."""
    try:
        found: bytes = bucket.blob(name).download_as_bytes()
    except NotFound:
        return None
    return found


def exists(bucket: Bucket, name: str) -> bool:
    """Return whether an object exists."""
    return bool(bucket.blob(name).exists())


def names(bucket: Bucket, prefix: str) -> Iterator[str]:
    """Yield the names of the objects below a prefix, in order."""
    for blob in bucket.list_blobs(prefix=prefix, fields="items(name),nextPageToken"):
        yield blob.name


def folders(bucket: Bucket, prefix: str) -> list[str]:
    """List the names of the folders directly below a prefix that ends in `/`, without it."""
    pages = bucket.list_blobs(prefix=prefix, delimiter="/")
    for _ in pages:
        pass
    return sorted(folder.removeprefix(prefix).rstrip("/") for folder in pages.prefixes)


def delete(bucket: Bucket, name: str) -> None:
    """Delete an object; do nothing if it does not exist."""
    try:
        bucket.blob(name).delete()
    except NotFound:
        return


_MULTIPLE = 256 << 10


class Upload(io.RawIOBase):
    """A file to write to; `finish` turns it into an object.

    Holds at most `chunk` bytes, a multiple of 256 KiB.
    """

    def __init__(
        self, bucket: Bucket, name: str, content_type: str, chunk: int = _MULTIPLE
    ) -> None:
        """Send nothing before a chunk is full."""
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
        """Return True: the file is for writing."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.size

    def write(self, data: Any) -> int:
        """Take bytes and send the chunks that they fill."""
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
        """Create the object; return its generation."""
        if self._large is not None:
            self._large.close()
            self._blob.reload()
        else:
            self._blob.upload_from_string(bytes(self._small), content_type=self._type)
            self._small.clear()
        self.generation = int(self._blob.generation)
        return self.generation

    def abandon(self) -> None:
        """Delete what was sent, whether the object was finished or not."""
        self._small.clear()
        self._abandoned = True
        if self.generation:
            delete(self._bucket, self.name)
        elif self._large is not None:
            self._large.terminate()
