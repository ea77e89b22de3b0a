"""Store the chunks of resumable uploads until the last.

fake-gcs-server hashes all it has at each chunk: an object of 566 MB in chunks of 16 MiB would cost it 10 GB of hashing.
"""

from __future__ import annotations

import re
import tempfile
from io import BufferedRandom

from local_cloud.gateway.http1 import Head, MessageBody

_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(?:\d+|\*)")


class Chunks:
    """What uploads in progress have sent, by upload id; one client's calls come one by one."""

    def __init__(self) -> None:
        self._files: dict[str, BufferedRandom] = {}

    def keep(self, upload_id: str, head: Head, body: MessageBody) -> tuple[tuple[str, str], ...]:
        """Store a chunk, or only report what is there; return the headers of the answer, a 308.

        A chunk sent again replaces what was there from its first byte on; one that leaves a
        gap is not taken.
        """
        file = self._files.get(upload_id)
        if file is None:
            file = self._files[upload_id] = tempfile.TemporaryFile()  # noqa: SIM115 - kept open
        count = file.seek(0, 2)
        sent = _RANGE.fullmatch(head.get("content-range"))
        if sent is not None and sent[1] and int(sent[1]) <= count:
            file.seek(int(sent[1]))
            file.truncate()
            for block in body:
                file.write(block)
            count = file.tell()
        body.drain()
        return (("Range", f"bytes=0-{count - 1}"),) if count else ()

    def whole(self, upload_id: str, head: Head, body: MessageBody) -> tuple[Head, MessageBody]:
        """Build the request that ends an upload, with all chunks before it."""
        if upload_id not in self._files:
            return head, body
        self.keep(upload_id, head, body)
        file = self._files[upload_id]
        size = file.tell()
        file.seek(0)
        remaining = head.without("content-range", "content-length")
        total = head.get("content-range").rpartition("/")[2]
        content_range = f"bytes 0-{size - 1}/{total}"
        sized = (("Content-Range", content_range), ("Content-Length", str(size)))
        return Head(remaining.start, remaining.headers + sized), MessageBody(
            file, size, chunked=False
        )

    def close(self) -> None:
        """Drop what uploads that have not ended left."""
        for upload_id in list(self._files):
            self.forget(upload_id)

    def forget(self, upload_id: str) -> None:
        """Drop what an upload that has ended left."""
        file = self._files.pop(upload_id, None)
        if file is not None:
            file.close()
