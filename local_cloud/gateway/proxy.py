"""The one HTTP port that clients know: storage, BigQuery, Dataproc and tokens.

It sees who calls, refuses what was not granted, and can let a call crash before or after its effect.
"""

from __future__ import annotations

import contextlib
import enum
import json
import select
import socket
import socketserver
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from io import BufferedReader
from typing import Any, Protocol, cast

from local_cloud.gateway import http1
from local_cloud.gateway.calls import Call, body_bytes_read, read_call
from local_cloud.iam.accounts import issue_token
from local_cloud.storage.resumable import Chunks

__all__ = ["Call", "Gate", "Intervention", "Phase", "RestHandler"]

_IDLE_SECONDS = 2.0

_CONNECT_SECONDS = 5.0


class Phase(enum.Enum):
    """When a call is intercepted: before anything is forwarded, or when its effect has happened."""

    BEFORE = "before"
    AFTER = "after"


class Intervention(enum.Enum):
    """What happens to an intercepted call."""

    PASS = "pass"  # noqa: S105
    REFUSE = "refuse"
    """400 with reason "crashed", which no client tries again; after the effect: a lost reply."""
    UNAVAILABLE = "unavailable"
    """503, which clients try again."""


class RestHandler(Protocol):
    """A service that answers in this process, as Dataproc's stand-in does."""

    def handle(
        self, method: str, path: str, query: dict[str, str], body: bytes, account: str
    ) -> tuple[int, dict[str, Any]]:
        """Give the status code and the JSON object of the answer."""


class Gate:
    """Forwards each request by its path and shows every call to whoever asked to see it.

    `intercept` is asked twice for each mutating call, from many threads; `grants` once for each
    call, False being answered 403; `refusal` too, why a call is answered 403, None for one that is
    let through; with `record` all calls are kept in `calls`, in order of arrival.
    Signatures and scopes of tokens are not checked, and what local-bigquery reads from a bucket
    comes without an account: neither can be shown to fail here.
    """

    def __init__(
        self,
        port: int,
        *,
        storage: tuple[str, int] | None = None,
        bigquery: tuple[str, int] | None = None,
        dataproc: RestHandler | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.dataproc = dataproc
        self.intercept: Callable[[Call, Phase], Intervention] | None = None
        self.grants: Callable[[Call], bool] | None = None
        self.refusal: Callable[[Call], str | None] | None = None
        self.record = False
        self.calls: list[Call] = []
        self.uploads: dict[str, str] = {}
        self.finished_uploads: dict[str, tuple[http1.Head, bytes]] = {}
        self.chunks = Chunks()
        self._upstreams = {"storage": storage, "bigquery": bigquery}
        self._server: _Server | None = None

    def environment(self) -> dict[str, str]:
        """Give the settings that point Google's Python clients here and keep all else inside.

        google-auth asks iamcredentials.googleapis.com where a service account may be used from,
        whatever the endpoints are: https of other hosts comes here as to a proxy and is refused.
        Both spellings are set: where a machine has a proxy in small letters, that one wins.
        """
        around = "127.0.0.1,localhost"
        return {
            "API_ENDPOINT_OVERRIDE": self.url,
            "BIGQUERY_EMULATOR_HOST": self.url,
            "HTTPS_PROXY": self.url,
            "https_proxy": self.url,
            "NO_PROXY": around,
            "no_proxy": around,
        }

    def start(self) -> None:
        """Listen on the port; raises `OSError` when it is taken."""
        self._server = _Server(("127.0.0.1", self.port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, cut the connections that are open and drop uploads in progress."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_connections()
            self._server = None
        self.chunks.close()

    def upstream(self, service: str) -> tuple[str, int]:
        """Give the address of a service's server; raises `LookupError` when the cloud has none."""
        address = self._upstreams.get(service)
        if address is None:
            raise LookupError(f"this local cloud has no {service}: give its address to Gate")
        return address

    def verdict(self, call: Call, phase: Phase) -> Intervention:
        """Ask `intercept` about a mutating call; anything else passes."""
        if self.intercept is None or not call.mutating:
            return Intervention.PASS
        return self.intercept(call, phase)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], gate: Gate) -> None:
        self.gate = gate
        self._open: set[socket.socket] = set()
        super().__init__(address, _Connection)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection and forget it."""
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    def cut_connections(self) -> None:
        """End every open connection."""
        for connection in list(self._open):
            _shut(connection)


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection: its requests one after another, each with its reply."""

    def setup(self) -> None:
        """Take the connection into the list of open ones."""
        self.sock = cast("socket.socket", self.request)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.gate = cast("_Server", self.server).gate
        self.reader = self.sock.makefile("rb")
        self.upstreams: dict[str, _Upstream] = {}

    def handle(self) -> None:
        """Answer requests until the client goes."""
        try:
            while self._serve_one():
                pass
        except ConnectionError:
            return  # the client went away, or a server did in the middle of its reply

    def finish(self) -> None:
        """Take the connection off the list."""
        for upstream in self.upstreams.values():
            upstream.close()
        self.reader.close()

    def _serve_one(self) -> bool:
        head = http1.read_head(self.reader)
        if head is None:
            return False
        if head.get("expect").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = http1.request_body(head, self.reader)
        call = read_call(head, body.peek(body_bytes_read(head)), self.gate.uploads)
        if self.gate.record:
            self.gate.calls.append(call)
        self._answer(call, head, body)
        body.drain()
        return head.get("connection").lower() != "close"

    def _answer(self, call: Call, head: http1.Head, body: http1.MessageBody) -> None:
        if call.service == "token":
            self._answer_token(body)
        elif call.service == "outside":
            self._refuse(body, 403, "forbidden", f"{call.name} is outside the local cloud")
        elif self.gate.grants and not self.gate.grants(call):
            self._refuse(body, *_forbidden(call))
        elif self.gate.refusal and (denied := self.gate.refusal(call)):
            self._refuse(body, 403, "forbidden", denied)
        elif (verdict := self.gate.verdict(call, Phase.BEFORE)) is not Intervention.PASS:
            self._refuse(body, *_crashed(call, verdict, Phase.BEFORE))
        elif call.service == "dataproc":
            self._answer_here(call, body)
        elif call.upload_id in self.gate.finished_uploads:
            self._answer_again(call, body)
        elif call.service == "storage" and call.upload_id in self.gate.uploads:
            self._take_chunk(call, head, body)
        else:
            self._forward(call, head, body)

    def _take_chunk(self, call: Call, head: http1.Head, body: http1.MessageBody) -> None:
        if call.action == "uploads.chunk":
            headers = self.gate.chunks.keep(call.upload_id, head, body)
            answer = http1.Head(
                "HTTP/1.1 308 Resume Incomplete", (*headers, ("Content-Length", "0"))
            )
            self.sock.sendall(answer.encode())
        elif call.action == "uploads.cancel":
            self.gate.chunks.forget(call.upload_id)
            self._forward(call, head, body)
        else:
            self._forward(call, *self.gate.chunks.whole(call.upload_id, head, body))

    def _answer_token(self, body: http1.MessageBody) -> None:
        try:
            self._reply(200, issue_token(body.read()))
        except ValueError as error:
            self._reply(400, {"error": "invalid_grant", "error_description": str(error)})

    def _answer_here(self, call: Call, body: http1.MessageBody) -> None:
        if self.gate.dataproc is None:
            self._refuse(body, 501, "notImplemented", "this local cloud has no Dataproc")
            return
        path, _, query = call.path.partition("?")
        fields = {key: values[0] for key, values in urllib.parse.parse_qs(query).items()}
        code, answer = self.gate.dataproc.handle(
            call.method, path, fields, body.read(), call.account
        )
        if (verdict := self.gate.verdict(call, Phase.AFTER)) is not Intervention.PASS:
            self._refuse(body, *_crashed(call, verdict, Phase.AFTER))
        else:
            self._reply(code, answer)

    def _forward(self, call: Call, head: http1.Head, body: http1.MessageBody) -> None:
        try:
            upstream = self._upstream(call.service)
            answer = upstream.ask(head, body)
        except LookupError as error:
            self._refuse(body, 501, "notImplemented", str(error))
            return
        except OSError as error:
            self._lose_upstream(call, body, error)
            return
        reply = http1.response_body(answer, head.start.split(" ", 1)[0], upstream.reader)
        if call.upload_id and call.mutating and answer.status == 200:
            self._finish_upload(call, answer, reply)
        if (verdict := self.gate.verdict(call, Phase.AFTER)) is not Intervention.PASS:
            reply.drain()
            self._refuse(body, *_crashed(call, verdict, Phase.AFTER))
        elif call.upload_id in self.gate.finished_uploads:
            self._answer_again(call, body)
        else:
            http1.send(self.sock, self._rewritten(call, answer).forwarded(), reply)
        upstream.settle(answer, reply)

    def _finish_upload(self, call: Call, answer: http1.Head, reply: http1.MessageBody) -> None:
        """Keep the reply to an upload's last chunk, which Cloud Storage gives again when asked.

        fake-gcs-server forgets a finished upload, and a client whose reply was lost gets a 404.
        """
        self.gate.chunks.forget(call.upload_id)
        text = reply.read()
        head = answer.without("transfer-encoding", "content-length")
        sized = http1.Head(head.start, (*head.headers, ("Content-Length", str(len(text)))))
        self.gate.finished_uploads[call.upload_id] = sized, text

    def _answer_again(self, call: Call, body: http1.MessageBody) -> None:
        body.drain()
        head, text = self.gate.finished_uploads[call.upload_id]
        self.sock.sendall(head.forwarded().encode() + text)

    def _rewritten(self, call: Call, answer: http1.Head) -> http1.Head:
        """Point `Location`, where a resumable upload goes on, at the gate and remember its name."""
        location = urllib.parse.urlsplit(answer.get("location"))
        if not location.netloc:
            return answer
        upload_id = urllib.parse.parse_qs(location.query).get("upload_id", [""])[0]
        if upload_id:
            self.gate.uploads[upload_id] = call.name
        here = location._replace(scheme="http", netloc=f"127.0.0.1:{self.gate.port}")
        head = answer.without("location")
        return http1.Head(head.start, (*head.headers, ("Location", here.geturl())))

    def _upstream(self, service: str) -> _Upstream:
        if service not in self.upstreams:
            self.upstreams[service] = _Upstream(self.gate.upstream(service))
        return self.upstreams[service]

    def _lose_upstream(self, call: Call, body: http1.MessageBody, error: OSError) -> None:
        """Answer for a server that did not; half a body ends here, its upstream closed with it."""
        if upstream := self.upstreams.pop(call.service, None):
            upstream.close()
        self._refuse(body, 503, "backendError", f"{call.service} does not answer: {error}")

    def _refuse(self, body: http1.MessageBody, code: int, reason: str, message: str) -> None:
        body.drain()
        problem = {"message": message, "domain": "global", "reason": reason}
        self._reply(code, {"error": {"code": code, "message": message, "errors": [problem]}})

    def _reply(self, code: int, answer: Mapping[str, Any]) -> None:
        text = json.dumps(answer).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(text))))
        head = http1.Head(f"HTTP/1.1 {code} {_REASONS.get(code, 'Answer')}", headers)
        self.sock.sendall(head.encode() + text)


class _Upstream:
    """A connection to one server, opened again when it may have been closed meanwhile."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._sock: socket.socket | None = None
        self._last_used = 0.0
        self.reader: BufferedReader

    def ask(self, head: http1.Head, body: http1.MessageBody) -> http1.Head:
        """Send a request and give the head of its answer."""
        sock = self._fresh()
        host, port = self._address
        # A server may answer, and close, before it has read the whole body.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            http1.send(sock, head.forwarded(("Host", f"{host}:{port}")), body)
        answer = http1.read_head(self.reader)
        if answer is None:
            raise http1.CutShortError("connection closed without an answer")
        return answer

    def settle(self, answer: http1.Head, reply: http1.MessageBody) -> None:
        """Keep the connection for the next request, unless its end was the reply's end."""
        self._last_used = time.monotonic()
        unbounded = reply.length is None and not reply.chunked
        if unbounded or answer.get("connection").lower() == "close":
            self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._sock:
            self.reader.close()
            self._sock.close()
            self._sock = None

    def _fresh(self) -> socket.socket:
        if self._sock and (
            time.monotonic() - self._last_used > _IDLE_SECONDS or _is_readable(self._sock)
        ):
            self.close()
        if self._sock is None:
            self._sock = socket.create_connection(self._address, _CONNECT_SECONDS)
            self._sock.settimeout(None)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.reader = self._sock.makefile("rb")
        return self._sock


_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict", 429: "Too Many Requests", 501: "Not Implemented", 503: "Service Unavailable"}  # fmt: skip


def _forbidden(call: Call) -> tuple[int, str, str]:
    who = call.account or "an anonymous caller"
    return 403, "forbidden", f"{who} was not granted {call.action} on {call.service} {call.name}"


def _crashed(call: Call, verdict: Intervention, phase: Phase) -> tuple[int, str, str]:
    what = f"{call.action} {call.name} {phase.value} its effect"
    if verdict is Intervention.UNAVAILABLE:
        return 503, "backendError", f"made unavailable: {what}"
    return 400, "crashed", f"made to crash: {what}"


def _is_readable(sock: socket.socket) -> bool:
    """Check a connection at rest: one with something to read was closed by the other side."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
