"""Unit tests start no process and open no connection: both fail here."""

from __future__ import annotations

import multiprocessing.process
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest

REMEDY = "a unit test needs neither: move it to tests/integration"
LOCAL_NAMES = (None, "", "localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1", b"::1")
"""Hosts that `getaddrinfo` answers without a request to a name server."""


@pytest.fixture(autouse=True, scope="module")
def _alone() -> Iterator[None]:
    """Refuse new processes, connections and look-ups of names while unit tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", _refuse_process("subprocess"))
        patch.setattr(
            multiprocessing.process.BaseProcess, "start", _refuse_process("multiprocessing")
        )
        for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp"):
            patch.setattr(os, name, _refuse_process(f"os.{name}"))
        for name in ("connect", "connect_ex", "bind"):
            patch.setattr(socket.socket, name, _refuse_connection)
        patch.setattr(socket, "getaddrinfo", _local_names_only(socket.getaddrinfo))
        yield


def _refuse_process(way: str) -> Callable[..., NoReturn]:
    """Return a replacement for a function that starts a process."""

    def refuse(*arguments: Any, **_: Any) -> NoReturn:
        command = arguments[1] if len(arguments) > 1 else "no command"
        raise RuntimeError(f"this test starts a process with {way} ({command}): {REMEDY}")

    return refuse


def _refuse_connection(_: socket.socket, address: Any) -> NoReturn:
    raise RuntimeError(f"this test connects to {address}: {REMEDY}")


def _local_names_only[T](look_up: Callable[..., T]) -> Callable[..., T]:
    """Return a replacement for `getaddrinfo` that takes no name of another machine."""

    def refuse(host: Any, *rest: Any, **named: Any) -> T:
        if host not in LOCAL_NAMES:
            raise RuntimeError(f"this test looks up the host {host}: {REMEDY}")
        return look_up(host, *rest, **named)

    return refuse
