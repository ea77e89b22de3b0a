"""Chunks of an upload become one request, whatever is sent twice, asked for or left out."""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader, BytesIO

import pytest

from local_cloud.gateway.http1 import Head, MessageBody
from local_cloud.storage.resumable import Chunks


@pytest.fixture
def chunks() -> Iterator[Chunks]:
    """Uploads in progress, dropped after the test."""
    uploads = Chunks()
    yield uploads
    uploads.close()


def sent(content: bytes, content_range: str) -> tuple[Head, MessageBody]:
    """A client's PUT of some bytes."""
    headers = (
        ("Content-Length", str(len(content))),
        ("Content-Range", content_range),
        ("X-Own", "kept"),
    )
    return Head("PUT /upload?upload_id=u HTTP/1.1", headers), MessageBody(
        BufferedReader(BytesIO(content)), len(content), chunked=False
    )


def stored_range(chunks: Chunks, content: bytes, content_range: str) -> str:
    """What the answer to a chunk says is there."""
    return dict(chunks.keep("u", *sent(content, content_range))).get("Range", "nothing")


def test_chunks_become_one_request(chunks: Chunks) -> None:
    assert stored_range(chunks, b"abcd", "bytes 0-3/*") == "bytes=0-3"
    assert stored_range(chunks, b"efgh", "bytes 4-7/*") == "bytes=0-7"
    head, body = chunks.whole("u", *sent(b"ij", "bytes 8-9/10"))
    assert body.read() == b"abcdefghij"
    assert head.headers == (
        ("X-Own", "kept"), ("Content-Range", "bytes 0-9/10"), ("Content-Length", "10"),
    )  # fmt: skip


def test_an_upload_of_one_chunk_is_passed_on_as_it_is(chunks: Chunks) -> None:
    head, body = sent(b"all", "bytes 0-2/3")
    assert chunks.whole("u", head, body) == (head, body)


@pytest.mark.parametrize("again", [0, 2, 4])
def test_a_chunk_sent_again_takes_the_place_of_what_was_there(chunks: Chunks, again: int) -> None:
    stored_range(chunks, b"abcd", "bytes 0-3/*")
    stored_range(chunks, b"WXYZ", f"bytes {again}-{again + 3}/*")
    body = chunks.whole("u", *sent(b"!", f"bytes {again + 4}-{again + 4}/{again + 5}"))[1]
    assert body.read() == b"abcd"[:again] + b"WXYZ!"


def test_a_shorter_chunk_sent_again_leaves_nothing_behind_it(chunks: Chunks) -> None:
    stored_range(chunks, b"abcdefgh", "bytes 0-7/*")
    assert stored_range(chunks, b"WX", "bytes 0-1/*") == "bytes=0-1"
    assert stored_range(chunks, b"", "bytes */*") == "bytes=0-1"
    assert chunks.whole("u", *sent(b"!", "bytes 2-2/3"))[1].read() == b"WX!"


def test_a_chunk_that_leaves_a_gap_is_not_taken(chunks: Chunks) -> None:
    stored_range(chunks, b"abcd", "bytes 0-3/*")
    head, body = sent(b"late", "bytes 6-9/*")
    assert dict(chunks.keep("u", head, body)) == {"Range": "bytes=0-3"}
    assert body.read() == b""


def test_a_question_tells_what_is_there(chunks: Chunks) -> None:
    assert stored_range(chunks, b"", "bytes */*") == "nothing"
    stored_range(chunks, b"abcd", "bytes 0-3/*")
    assert stored_range(chunks, b"", "bytes */*") == "bytes=0-3"


def test_the_last_chunk_may_come_twice(chunks: Chunks) -> None:
    stored_range(chunks, b"abcd", "bytes 0-3/*")
    for _ in range(2):  # the store did not answer the first time
        assert chunks.whole("u", *sent(b"e", "bytes 4-4/5"))[1].read() == b"abcde"


def test_a_last_chunk_after_a_gap_ends_nothing(chunks: Chunks) -> None:
    stored_range(chunks, b"abcd", "bytes 0-3/*")
    head, body = chunks.whole("u", *sent(b"j", "bytes 9-9/10"))
    assert (head.get("content-range"), body.read()) == ("bytes 0-3/10", b"abcd")


def test_what_is_forgotten_begins_anew(chunks: Chunks) -> None:
    stored_range(chunks, b"abcd", "bytes 0-3/*")
    chunks.forget("u")
    chunks.forget("u")
    assert stored_range(chunks, b"", "bytes */*") == "nothing"
