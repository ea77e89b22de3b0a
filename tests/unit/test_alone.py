"""Unit tests that start a process, connect or look up a name fail."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

COMMAND = [sys.executable, "--version"]


def connect() -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", 9))


def start(method: str) -> Callable[[], None]:
    return lambda: multiprocessing.get_context(method).Process(target=int).start()


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: subprocess.run(COMMAND, check=False), "starts a process with subprocess"),
        (lambda: os.fork(), "starts a process with os.fork"),
        (lambda: os.posix_spawn(sys.executable, COMMAND, {}), "starts a process with os.posix_spawn"),
        (start("fork"), "starts a process with multiprocessing"),
        (start("spawn"), "starts a process with multiprocessing"),
        (connect, "connects to"),
        (lambda: socket.getaddrinfo("example.org", 443), "looks up the host example.org"),
        (lambda: socket.create_connection(("example.org", 443)), "looks up the host example.org"),
    ],
    ids=[
        "subprocess", "fork", "posix_spawn", "multiprocessing fork", "multiprocessing spawn",
        "connect", "getaddrinfo", "create_connection",
    ],
)  # fmt: skip
def test_it_is_refused(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        attempt()


def test_this_machine_has_a_name() -> None:
    assert socket.getaddrinfo("localhost", 80)
