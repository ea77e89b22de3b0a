"""An object written piece by piece: in one shot while it is small, else by a resumable upload."""

from __future__ import annotations

import io
from typing import Any

from google.cloud.storage import Bucket

from functions.core import gcs

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
