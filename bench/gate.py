"""The cost of a call through the gate, compared with the same call past it."""

from __future__ import annotations

import http.client
import statistics
import tempfile
import time
from pathlib import Path

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from local_cloud.gateway.proxy import Gate
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor
from local_cloud.storage.server import StorageServer

_BODY = b"x" * 100
_PATH = "/storage/v1/b/raw/o/small?alt=media"


def run(calls: int) -> int:
    """Read a small object `calls` times each way, one connection each; print medians in ms."""
    with tempfile.TemporaryDirectory() as name:
        supervisor = Supervisor(Path(name))
        port, past = free_port(), free_port()
        gate = Gate(port, storage=("127.0.0.1", past))
        server = StorageServer(supervisor, past, gate_url=gate.url)
        try:
            gate.start()
            server.start()
            server.wait_ready()
            _fill(server)
            direct, gated = _milliseconds(past, calls), _milliseconds(port, calls)
        finally:
            gate.stop()
            supervisor.stop()
    print(f"past the gate {direct:.2f} ms, through it {gated:.2f} ms, medians of {calls} calls")
    return 0


def _fill(server: StorageServer) -> None:
    server.create_bucket("raw")
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]
    client = storage.Client("demo", anonymous, client_options={"api_endpoint": server.url})
    client.bucket("raw").blob("small").upload_from_string(_BODY)


def _milliseconds(port: int, calls: int) -> float:
    """Return the median of the calls on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    durations = []
    for _ in range(calls):
        begin = time.perf_counter()
        connection.request("GET", _PATH)
        if connection.getresponse().read() != _BODY:
            raise RuntimeError(f"port {port} returned another body")
        durations.append(1000 * (time.perf_counter() - begin))
    connection.close()
    return statistics.median(durations)
