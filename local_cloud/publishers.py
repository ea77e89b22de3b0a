"""The publishers' real hosts on a laptop, behind a CONNECT proxy.

The proxy ends TLS itself for every host that it has a site for, under a throw-away authority, and
replays bodies, also bodies that are broken on purpose.

Product code fetches the publisher's own `https://` URL unchanged; `Publishers.env` is all it needs.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.server
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Literal, Self, cast
from urllib.parse import urlsplit

import certifi
import trustme

_BLOCK_BYTES = 64 * 1024

_NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


@dataclass(frozen=True)
class PublisherFault:
    """A way for an answer to go wrong; made by the class methods."""

    kind: Literal["cut", "reset", "stall", "drip", "drip_headers", "wrong_length"]
    after_bytes: int = 0
    bytes_per_second: float = 0.0
    extra_bytes: int = 0
    goodbye: bool = False

    @classmethod
    def cut(cls, after_bytes: int, *, goodbye: bool = False) -> PublisherFault:
        """End the connection after `after_bytes` of body, with or without TLS's goodbye."""
        return cls("cut", after_bytes=after_bytes, goodbye=goodbye)

    @classmethod
    def reset(cls, after_bytes: int) -> PublisherFault:
        """Reset the TCP connection after that many bytes of body."""
        return cls("reset", after_bytes=after_bytes)

    @classmethod
    def stall(cls, after_bytes: int = 0) -> PublisherFault:
        """Fall silent after that many bytes of body, until the client goes or the servers stop."""
        return cls("stall", after_bytes=after_bytes)

    @classmethod
    def drip(cls, bytes_per_second: float) -> PublisherFault:
        """Send the body one byte at a time."""
        return cls("drip", bytes_per_second=bytes_per_second)

    @classmethod
    def drip_headers(cls, bytes_per_second: float) -> PublisherFault:
        """Send headers one byte at a time, without an end."""
        return cls("drip_headers", bytes_per_second=bytes_per_second)

    @classmethod
    def wrong_length(cls, extra_bytes: int) -> PublisherFault:
        """Announce so many bytes more than come (fewer, where negative) in Content-Length."""
        return cls("wrong_length", extra_bytes=extra_bytes)


@dataclass(frozen=True)
class Answer:
    """The answer of a URL: `body` is sent as it is (a path is streamed), with `headers`.

    With `etag` a 200 carries the hash of its body and answers 304 to the same `If-None-Match`, and
    to the same `If-Modified-Since` where `headers` have a `Last-Modified`. `framing` decides how the
    client sees the body's end: by its length, by chunks, or by the connection's end.
    """

    body: bytes | Path = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: bool = True
    fault: PublisherFault | None = None
    framing: Literal["length", "chunked", "close"] = "length"


@dataclass(frozen=True)
class SeenRequest:
    """One request as it came: `headers` in lower case, `time` in UTC."""

    method: str
    url: str
    headers: Mapping[str, str]
    time: dt.datetime


class Publishers:
    """Servers for any number of publishers behind one proxy on 127.0.0.1.

    Usable as a context manager. `requests` grows by one for each request to a known host, in order
    of arrival.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[SeenRequest] = []
        self._port = port
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._authority = trustme.CA()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: _ProxyServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Write the bundle of authorities and listen; raise `OSError` when the port is taken."""
        self._server = _ProxyServer(("127.0.0.1", self._port), self)
        self._folder = tempfile.TemporaryDirectory(prefix="citypulse-publishers-")
        bundle = Path(certifi.where()).read_bytes() + self._authority.cert_pem.bytes()
        self.ca_file.write_bytes(bundle)
        threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="publishers", daemon=True
        ).start()

    def stop(self) -> None:
        """End every connection, stalled ones too, and remove the bundle."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def port(self) -> int:
        """The proxy's port; raises `RuntimeError` before `start`."""
        if self._server is None:
            raise RuntimeError("publishers: not started; call start() first")
        return int(self._server.server_address[1])

    @property
    def proxy_url(self) -> str:
        """The value for `HTTPS_PROXY`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        """The bundle for `SSL_CERT_FILE`: the usual authorities and ours."""
        if self._folder is None:
            raise RuntimeError("publishers: not started; call start() first")
        return Path(self._folder.name) / "authorities.pem"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which product code finds these servers."""
        around = "127.0.0.1,localhost"
        return {
            "HTTPS_PROXY": self.proxy_url,
            "https_proxy": self.proxy_url,
            "NO_PROXY": around,
            "no_proxy": around,
            "SSL_CERT_FILE": str(self.ca_file),
        }

    def serve(self, url: str, answer: Answer) -> None:
        """Serve an answer at `url` from now on.

        A URL without a query answers for every query that has no answer of its own. Raises `ValueError`
        for anything but an https URL with a host.
        """
        self.serve_sequence(url, [answer])

    def serve_sequence(self, url: str, answers: Sequence[Answer]) -> None:
        """Serve one answer per request; the last one repeats."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or not answers:
            raise ValueError(f"publishers: {url!r} is no https URL, or has no answer")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with self._lock:
            if parts.hostname not in self._contexts:
                self._contexts[parts.hostname] = self._site_context(parts.hostname)
            self._answers[parts.hostname, target] = list(answers)

    def site(self, host: str) -> ssl.SSLContext | None:
        """Return the TLS side of a host's site, None where nothing is served for the host."""
        with self._lock:
            return self._contexts.get(host.lower())

    def answer(self, seen: SeenRequest) -> Answer | None:
        """Record the request and return its answer, None for a path nobody serves."""
        parts = urlsplit(seen.url)
        path = parts.path or "/"
        with self._lock:
            self.requests.append(seen)
            for target in (f"{path}?{parts.query}", path):
                answers = self._answers.get((parts.hostname or "", target))
                if answers:
                    return answers.pop(0) if len(answers) > 1 else answers[0]
        return None

    def _site_context(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        return context


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], publishers: Publishers) -> None:
        super().__init__(address, _ProxyHandler)
        self.publishers = publishers
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._live: set[socket.socket] = set()

    @contextlib.contextmanager
    def connected(self, sock: socket.socket) -> Iterator[None]:
        """Register a connection so that `stop` can end it."""
        with self._lock:
            self._live.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._live.discard(sock)

    def stop(self) -> None:
        """Stop serving and end open connections."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            for sock in self._live:
                with contextlib.suppress(OSError):
                    # The plain socket's: TLS's own would wait for the other side.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Log nothing: `Publishers.requests` is the log."""

    def refuse(self, status: HTTPStatus, sentence: str) -> None:
        """Send a short text answer that ends the connection."""
        body = sentence.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


class _ProxyHandler(_Quiet):
    # Not a byte more than the CONNECT: what follows belongs to TLS.
    rbufsize = 0

    def do_CONNECT(self) -> None:
        """End TLS for a host that has a site, else refuse."""
        server = cast("_ProxyServer", self.server)
        host = self.path.rpartition(":")[0].strip("[]").lower()
        context = server.publishers.site(host)
        if context is None:
            self.refuse(HTTPStatus.BAD_GATEWAY, f"no publisher named {host} is served here\n")
            return
        self.send_response(HTTPStatus.OK, "Connection established")
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._site(host, context, server)

    def _site(self, host: str, context: ssl.SSLContext, server: _ProxyServer) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        with server.connected(self.connection):
            tls = context.wrap_socket(
                self.connection, server_side=True, do_handshake_on_connect=False
            )
        with tls, server.connected(tls):
            tls.do_handshake()
            _SiteHandler(host, tls, self.client_address, server)


class _SiteHandler(_Quiet):
    wbufsize = -1
    connection: ssl.SSLSocket

    def __init__(
        self, host: str, tls: ssl.SSLSocket, client: tuple[str, int], server: _ProxyServer
    ) -> None:
        self.host = host
        self.proxy = server
        super().__init__(tls, client, server)

    def do_GET(self) -> None:
        """Give the answer that the URL has now."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"https://{self.host}{self.path}"
        seen = SeenRequest(self.command, url, headers, dt.datetime.now(dt.UTC))
        answer = self.proxy.publishers.answer(seen)
        if answer is None:
            self.refuse(HTTPStatus.NOT_FOUND, f"nothing is served at {self.path}\n")
            return
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self._reply(answer, headers)

    def do_HEAD(self) -> None:
        """Give the answer's head."""
        self.do_GET()

    def _reply(self, answer: Answer, request_headers: Mapping[str, str]) -> None:
        if answer.fault and answer.fault.kind == "drip_headers":
            self._drip_headers(1 / answer.fault.bytes_per_second)
            return
        tag = _etag(answer)
        status = HTTPStatus.NOT_MODIFIED if _held(answer, tag, request_headers) else answer.status
        self.send_response(status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        if status in _NO_BODY:
            self.end_headers()
            return
        self._frame(answer)
        self.end_headers()
        self.wfile.flush()
        if self.command != "HEAD":
            self._body(answer)

    def _drip_headers(self, pause: float) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.proxy.stopping.wait(pause):
            self.wfile.write(b"x")
            self.wfile.flush()

    def _frame(self, answer: Answer) -> None:
        if answer.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.framing == "close":
            self.send_header("Connection", "close")
        else:
            extra = answer.fault.extra_bytes if answer.fault else 0
            self.send_header("Content-Length", str(_size(answer.body) + extra))

    def _body(self, answer: Answer) -> None:
        fault = answer.fault
        breaks = fault is not None and fault.kind in {"cut", "reset", "stall"}
        most = fault.after_bytes if fault and breaks else None
        pause = 1 / fault.bytes_per_second if fault and fault.kind == "drip" else 0.0
        for block in _blocks(answer.body, most, 1 if pause else _BLOCK_BYTES):
            framed = b"%x\r\n%b\r\n" % (len(block), block)
            self.wfile.write(framed if answer.framing == "chunked" else block)
            self.wfile.flush()
            if pause and self.proxy.stopping.wait(pause):
                return
        if fault and fault.kind != "drip":
            self._break(fault)
        elif answer.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        elif answer.framing == "close":
            self._say_goodbye()

    def _break(self, fault: PublisherFault) -> None:
        self.close_connection = True
        if fault.kind == "stall":
            self.connection.recv(1)
        elif fault.kind == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif fault.goodbye:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        self.close_connection = True
        self.connection.settimeout(1.0)
        # It also waits for the client's goodbye, which most clients never send.
        with contextlib.suppress(OSError):
            self.connection.unwrap()


def _etag(answer: Answer) -> str | None:
    if not answer.etag or answer.status != HTTPStatus.OK:
        return None
    if isinstance(answer.body, bytes):
        return f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    with answer.body.open("rb") as file:
        return f'"{hashlib.file_digest(file, "sha256").hexdigest()[:32]}"'


def _held(answer: Answer, tag: str | None, request_headers: Mapping[str, str]) -> bool:
    """Check whether the client's copy is this one; a tag goes before a date (RFC 9110, 13.2.2)."""
    if tag is None:
        return False
    if "if-none-match" in request_headers:
        return request_headers["if-none-match"] in {tag, f"W/{tag}"}
    since = request_headers.get("if-modified-since")
    return since is not None and since == answer.headers.get("Last-Modified")


def _size(body: bytes | Path) -> int:
    return len(body) if isinstance(body, bytes) else body.stat().st_size


def _blocks(body: bytes | Path, most: int | None, size: int) -> Iterator[bytes]:
    left = _size(body) if most is None else min(most, _size(body))
    if isinstance(body, bytes):
        for start in range(0, left, size):
            yield body[start : min(start + size, left)]
        return
    with body.open("rb") as file:
        while left and (block := file.read(min(size, left))):
            left -= len(block)
            yield block
