"""Push subscriptions: POST each message; the HTTP status is its acknowledgement."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from local_cloud.pubsub.backlog import Backlog, Pending, Subscription
from local_cloud.pubsub.specs import SubscriptionSpec, rfc3339

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

ACK_STATUSES = frozenset({102, 200, 201, 202, 204})
"""The HTTP statuses that acknowledge a push; every other answer is a negative acknowledgement."""


class Pusher:
    """Pushes what the push subscriptions of `backlog` owe; made for several threads at once."""

    def __init__(self, backlog: Backlog) -> None:
        """Push from `backlog`; nothing is sent before `push_one`."""
        self.refusal: Callable[[str], str | None] | None = None
        """Account that a push is signed as → why Pub/Sub may not sign; None where it may."""
        self._backlog = backlog
        self._connections: set[http.client.HTTPConnection] = set()

    def push_one(self) -> bool:
        """Wait for one due message and push it; False when the backlog was closed."""
        backlog = self._backlog
        with backlog.lock:
            leased = backlog.take_any(self._subscriptions())
            while leased is None and backlog.running:
                backlog.push_ready.wait(self._until_next())
                leased = backlog.take_any(self._subscriptions())
            if not backlog.running or leased is None:
                return False
        subscription, pending = leased
        began = time.monotonic()
        status, error = self._post(subscription.spec, pending)
        backlog.settle(subscription, pending, status, error, time.monotonic() - began)
        return True

    def hang_up(self) -> None:
        """Cut the open connections: a push may otherwise wait for its whole ack deadline."""
        with self._backlog.lock:
            for connection in self._connections:
                _hang_up(connection)

    def _subscriptions(self) -> list[Subscription]:
        return [s for s in self._backlog.subscriptions.values() if s.spec.push_endpoint]

    def _until_next(self) -> float | None:
        due = [s.waiting[0].due for s in self._subscriptions() if s.waiting and s.has_room()]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _post(self, spec: SubscriptionSpec, pending: Pending) -> tuple[int | None, str]:
        """POST one message; give the HTTP status, and why it is no acknowledgement (else '')."""
        if self.refusal and spec.service_account and (why := self.refusal(spec.service_account)):
            return None, why
        target = urlsplit(spec.push_endpoint or "")
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        try:
            with self._connection(target.netloc, spec.ack_deadline_seconds) as connection:
                connection.request(
                    "POST",
                    path,
                    json.dumps(_push_body(spec, pending)).encode(),
                    {"Content-Type": "application/json"},
                )
                status = connection.getresponse().status
        except TimeoutError:
            return None, f"no answer within {spec.ack_deadline_seconds} s"
        except (OSError, http.client.HTTPException) as failure:
            return None, f"{type(failure).__name__}: {failure}"
        return status, "" if status in ACK_STATUSES else f"HTTP {status}"

    @contextmanager
    def _connection(self, netloc: str, seconds: float) -> Iterator[http.client.HTTPConnection]:
        """Connect; all that is done with the connection has to end within `seconds` from now."""
        until = time.monotonic() + seconds
        connection = http.client.HTTPConnection(netloc, timeout=seconds)
        with self._backlog.lock:
            self._connections.add(connection)
        try:
            connection.connect()
            with self._backlog.lock:
                connection.sock = _BoundedSocket(connection.sock, until)
            yield connection
        finally:
            with self._backlog.lock:
                self._connections.discard(connection)
            connection.close()


class _BoundedSocket(socket.socket):
    """Takes over a connected socket and sends and receives until one moment, however slowly.

    A socket's own timeout starts again with each receive: an endpoint that drips would outlast it.
    """

    def __init__(self, connected: socket.socket, until: float) -> None:
        super().__init__(fileno=connected.detach())
        self._until = until

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send within the time that is left."""
        self._bound()
        super().sendall(data, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0, /) -> int:
        """Receive within the time that is left."""
        self._bound()
        return super().recv_into(buffer, nbytes, flags)

    def _bound(self) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


def _push_body(spec: SubscriptionSpec, pending: Pending) -> dict[str, Any]:
    message = pending.message
    published = rfc3339(message.publish_time)
    body: dict[str, Any] = {
        "message": {
            "attributes": dict(message.attributes),
            "data": base64.b64encode(message.data).decode(),
            "messageId": message.message_id,
            "message_id": message.message_id,
            "publishTime": published,
            "publish_time": published,
        },
        "subscription": spec.name,
    }
    return body | {"deliveryAttempt": pending.attempt} if spec.dead_letter_topic else body


def _hang_up(connection: http.client.HTTPConnection) -> None:
    open_socket = connection.sock
    if open_socket is not None:
        with suppress(OSError):
            open_socket.shutdown(socket.SHUT_RDWR)
