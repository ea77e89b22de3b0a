"""HTTP/1.1 as bytes on a socket: heads, bodies and framing, for a proxy that alters neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from socket import socket

type Reader = BufferedReader | BufferedRandom
"""What bodies are read from: a socket, or a file that holds one."""

_BLOCK = 1 << 18

_LONGEST_LINE = 1 << 16

_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "expect", "te")


class CutShortError(ConnectionError):
    """The other side went away in the middle of a message."""


@dataclass(frozen=True)
class Head:
    """The first line and the headers of one message, in their order and spelling."""

    start: str
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Give a header's value, "" when it is absent; `name` in lower case."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return ""

    def without(self, *names: str) -> Head:
        """Give the head less the headers of these lower-case names."""
        remaining = tuple((key, value) for key, value in self.headers if key.lower() not in names)
        return Head(self.start, remaining)

    def forwarded(self, *extra: tuple[str, str]) -> Head:
        """Give the head for the next hop: less what belongs to this connection, with `extra`."""
        replaced = {key.lower() for key, _ in extra}
        return Head(self.start, self.without(*_HOP_BY_HOP, *replaced).headers + extra)

    @property
    def status(self) -> int:
        """The status code of a response's head."""
        return int(self.start.split(" ", 2)[1])

    def encode(self) -> bytes:
        """Give the bytes of the head, the empty line included."""
        lines = [self.start, *(f"{key}: {value}" for key, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class MessageBody:
    """A message's body, read block by block; its first bytes can be seen before it is passed on."""

    def __init__(self, reader: Reader, length: int | None, chunked: bool) -> None:
        self.length = length
        self.chunked = chunked
        self._blocks = _chunks(reader) if chunked else _counted(reader, length)
        self._seen = b""

    def peek(self, size: int) -> bytes:
        """Give the first `size` bytes, fewer when the body is shorter."""
        while len(self._seen) < size:
            block = next(self._blocks, b"")
            if not block:
                break
            self._seen += block
        return self._seen[:size]

    def __iter__(self) -> Iterator[bytes]:
        """Give what is left of the body, once."""
        seen, self._seen = self._seen, b""
        if seen:
            yield seen
        yield from self._blocks

    def read(self) -> bytes:
        """Give all that is left."""
        return b"".join(self)

    def drain(self) -> None:
        """Read what is left and forget it, so that the connection can be used again."""
        for _ in self:
            pass


def read_head(reader: BufferedReader) -> Head | None:
    """Read one head; None when the other side closed before its first byte.

    Raises `CutShortError` inside a head and `ValueError` for what is not HTTP.
    """
    start = reader.readline(_LONGEST_LINE)
    if not start:
        return None
    headers: list[tuple[str, str]] = []
    while (line := reader.readline(_LONGEST_LINE)) not in (b"\r\n", b"\n"):
        if not line.endswith(b"\n"):
            raise CutShortError("connection closed inside a header")
        key, _, value = line.decode("latin-1").partition(":")
        headers.append((key.strip(), value.strip()))
    words = start.decode("latin-1").strip()
    if "HTTP/1." not in words:
        raise ValueError(f"not an HTTP/1 message: {words[:80]!r}")
    return Head(words, tuple(headers))


def request_body(head: Head, reader: Reader) -> MessageBody:
    """Give the body that follows a request's head (RFC 9112 §6.3)."""
    if "chunked" in head.get("transfer-encoding").lower():
        return MessageBody(reader, None, chunked=True)
    return MessageBody(reader, int(head.get("content-length") or 0), chunked=False)


def response_body(head: Head, method: str, reader: Reader) -> MessageBody:
    """Give the body that follows a response's head; without a length it lasts to the close."""
    if method == "HEAD" or head.status in (204, 304):
        return MessageBody(reader, 0, chunked=False)
    if "chunked" in head.get("transfer-encoding").lower():
        return MessageBody(reader, None, chunked=True)
    length = head.get("content-length")
    return MessageBody(reader, int(length) if length else None, chunked=False)


def send(sock: socket, head: Head, body: MessageBody) -> None:
    """Send a head and its body: with the length it says, else in chunks."""
    in_chunks = body.length is None
    if in_chunks:
        head = Head(head.start, (*head.headers, ("Transfer-Encoding", "chunked")))
    blocks = _framed(body) if in_chunks else iter(body)
    # One segment for a small message: two would wait for an acknowledgement in between.
    sock.sendall(head.encode() + next(blocks, b""))
    for block in blocks:
        sock.sendall(block)


def _framed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    for block in blocks:
        yield b"%x\r\n%b\r\n" % (len(block), block)
    yield b"0\r\n\r\n"


def _counted(reader: Reader, length: int | None) -> Iterator[bytes]:
    if length is None:
        while block := _received(reader, _BLOCK):
            yield block
        return
    left = length
    while left:
        if not (block := _received(reader, min(left, _BLOCK))):
            raise CutShortError(f"connection closed {left} bytes before the end of the body")
        left -= len(block)
        yield block


def _received(reader: Reader, size: int) -> bytes:
    """Read what is there; a reset by the sender must not look like one by the receiver."""
    try:
        return reader.read1(size)
    except ConnectionError as error:
        raise CutShortError(f"connection lost inside a body: {error}") from error


def _chunks(reader: Reader) -> Iterator[bytes]:
    while size := _chunk_size(reader):
        yield from _counted(reader, size)
        reader.readline(_LONGEST_LINE)
    while reader.readline(_LONGEST_LINE) not in (b"\r\n", b"\n", b""):
        pass  # trailers


def _chunk_size(reader: Reader) -> int:
    line = reader.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise CutShortError("connection closed between two chunks")
    return int(line.split(b";")[0], 16)
