"""Objects as the steps use them: create only if absent, read, list, delete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage import Bucket


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
