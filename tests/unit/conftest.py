"""Unit tests start no process and open no connection: both fail here."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

MOVE = "a unit test needs neither: move it to tests/integration"


@pytest.fixture(autouse=True, scope="module")
def _alone() -> Iterator[None]:
    """Refuse new processes and connections for as long as unit tests run."""

    def no_process(*arguments: Any, **named: Any) -> NoReturn:
        raise RuntimeError(f"this test starts a process ({arguments[1:2]}): {MOVE}")

    def no_connection(self: socket.socket, address: Any) -> NoReturn:
        raise RuntimeError(f"this test connects to {address}: {MOVE}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", no_process)
        for name in ("connect", "connect_ex", "bind"):
            patch.setattr(socket.socket, name, no_connection)
        yield
