"""The Cloud Functions in this process, for tests that crash a step at a chosen call.

Faster to start, but all share one environment and modules. Each step has clients of its own account.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import google.oauth2.credentials
from cloudevents.http import CloudEvent
from google.api_core.exceptions import PermissionDenied
from google.cloud import bigquery, dataproc_v1, storage  # type: ignore[attr-defined,unused-ignore]

from functions.core import handler
from functions.core.clients import Clients
from functions.core.settings import Settings, settings
from local_cloud.functions_runtime.processes import Environment, FunctionSpec
from local_cloud.iam.accounts import access_token
from local_cloud.ports import free_port

ACCOUNT = "in-process@demo.iam.gserviceaccount.com"


class InProcessFunctions:
    """Serves pushes by calling the entry points of `functions.main` as it is imported here.

    The environment of this process is changed from `create` to `stop`. Contracts are those of the
    repository: data sets of other roots are not seen.
    """

    def __init__(
        self,
        environment: Environment,
        gate_url: str,
        may_publish: Callable[[str, str], str | None] = lambda account, topic: None,  # noqa: ARG005
    ) -> None:
        self._environment = environment
        self._gate_url = gate_url
        self._may_publish = may_publish
        self._accounts: dict[str, str] = {}
        self._clients: dict[str, Clients] = {}
        self._shared = handler.clients
        self._before: dict[str, str | None] = {}
        self._server: http.server.ThreadingHTTPServer | None = None
        self._url = f"http://127.0.0.1:{free_port()}"
        self._lock = threading.Lock()

    def create(self, spec: FunctionSpec) -> str:
        """Take over a function's settings and give the URL of its entry point."""
        with self._lock:
            if self._server is None:
                self._set(self._environment(ACCOUNT))
                self._server = _serve(int(self._url.rpartition(":")[2]))
                handler.clients = self._of_the_step
            self._set(spec.env)
            self._accounts[spec.entry_point] = spec.account
        return f"{self._url}/{spec.entry_point}"

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Forget clients and settings that were made from another environment."""
        del timeout  # nothing is waited for
        self._forget()

    def concurrency(self, url: str) -> int:
        """Return 1 for each subscription, as most functions have it."""
        del url
        return 1

    def address(self, name: str) -> str:
        """Return the URL of a function by its name; here it takes pushes alone, no readers."""
        return f"{self._url}/{name}"

    def stop(self) -> None:
        """Stop serving and put the environment back."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()
        handler.clients = self._shared
        self._forget()

    def _set(self, env: Any) -> None:
        for name, value in env.items():
            self._before.setdefault(name, os.environ.get(name))
            os.environ[name] = value

    def _forget(self) -> None:
        settings.cache_clear()
        handler._CLIENTS.clear()
        self._clients.clear()

    def _of_the_step(self) -> Clients:
        """Return the clients of the step that works in this thread, for `handler.clients`."""
        step = getattr(_WORKING, "step", "")
        if step not in self._accounts:
            return self._shared()
        with self._lock:
            if step not in self._clients:
                account = self._accounts[step]
                self._clients[step] = AccountClients(
                    settings(), account, self._gate_url, self._may_publish
                )
            return self._clients[step]


class AccountClients(Clients):
    """The clients of one account, next to those of others in this process.

    Pub/Sub's client takes its endpoint from the environment, which is shared: whether the account
    may publish is checked here, with its e-mail and the topic's full name.
    """

    def __init__(
        self,
        settings: Settings,
        account: str,
        gate_url: str,
        may_publish: Callable[[str, str], str | None],
    ) -> None:
        super().__init__(settings)
        self.account = account
        self._may_publish = may_publish
        self._options = {"api_endpoint": gate_url}

    @cached_property
    def storage(self) -> storage.Client:
        """Cloud Storage."""
        return storage.Client(
            self.settings.project, self._credentials(), client_options=self._options
        )

    @cached_property
    def bigquery(self) -> bigquery.Client:
        """BigQuery, in the region of the data."""
        return bigquery.Client(
            self.settings.project,
            self._credentials(),
            location=self.settings.region,
            client_options=self._options,
        )

    @cached_property
    def batches(self) -> dataproc_v1.BatchControllerClient:
        """Dataproc batches, over REST."""
        return dataproc_v1.BatchControllerClient(
            credentials=self._credentials(), transport="rest", client_options=self._options
        )

    def publish(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        """Publish one message; raises PermissionDenied where the account may not."""
        self.require_publishing(topic)
        super().publish(topic, data, attributes)

    def publish_events(self, events: Sequence[tuple[bytes, dict[str, str]]]) -> list[BaseException]:
        """Publish telemetry; raises PermissionDenied where the account may not."""
        self.require_publishing("events")
        return super().publish_events(events)

    def require_publishing(self, topic: str) -> None:
        """Raise PermissionDenied where the account may not publish to a topic."""
        path = f"projects/{self.settings.project}/topics/{topic}"
        if denied := self._may_publish(self.account, path):
            raise PermissionDenied(denied)  # type: ignore[no-untyped-call]

    def _credentials(self) -> google.oauth2.credentials.Credentials:
        credentials_class: Callable[..., Any] = google.oauth2.credentials.Credentials
        credentials: google.oauth2.credentials.Credentials = credentials_class(
            access_token(self.account)
        )
        return credentials


_WORKING = threading.local()
"""Holds in `step` the step that works in this thread."""


@contextmanager
def working_as(step: str) -> Iterator[None]:
    """Let `handler.clients` return a step's clients in this thread."""
    _WORKING.step = step
    try:
        yield
    finally:
        _WORKING.step = ""


def _serve(port: int) -> http.server.ThreadingHTTPServer:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Push)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, args=(0.1,), name="functions", daemon=True
    ).start()
    return server


class _Push(http.server.BaseHTTPRequestHandler):
    """Handler of a push request: 204 when the entry point returns, 500 when it raises."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Call the entry point that the path names."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        step = self.path.strip("/")
        try:
            with working_as(step):
                entry_point(step)(_event(body))
            status = 204
        except Exception:  # noqa: BLE001 - the framework's boundary: what a function raises is a 500
            traceback.print_exc(file=sys.stderr)
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(
        self,
        format: str,  # noqa: A002
        *args: object,
    ) -> None:
        """Log nothing: Pub/Sub records deliveries."""


def entry_point(name: str) -> Callable[[CloudEvent], None]:
    """Look up an entry point of `functions.main`, imported at the first call."""
    from functions import main

    found: Callable[[CloudEvent], None] = getattr(main, name)
    return found


def _event(body: dict[str, Any]) -> CloudEvent:
    """Build the CloudEvent that functions-framework makes of a push."""
    message = body["message"]
    attributes = {
        "id": message["messageId"],
        "source": "//pubsub.googleapis.com/",
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "time": message["publishTime"],
    }
    return CloudEvent(attributes, {"message": message})
