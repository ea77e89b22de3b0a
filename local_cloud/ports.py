"""Find free TCP ports for the stand-ins, below the range of outgoing connections."""

from __future__ import annotations

import functools
import os
import socket
import threading
from collections.abc import Iterator

_LOWEST = 12000
_HIGHEST = 32000


def free_port() -> int:
    """Give a port on 127.0.0.1 that nothing listens on and that this process never gave before.

    Ports below 32768 are never taken by an outgoing connection, as one from `bind(0)` may be
    between its probe and its use. Raises `OSError` when the whole range is taken.
    """
    ports = _untried_ports()
    with _lock():
        for port in ports:
            if _is_free(port):
                return port
    raise OSError(f"no free TCP port between {_LOWEST} and {_HIGHEST} on 127.0.0.1: stop a server")


@functools.cache
def _lock() -> threading.Lock:
    return threading.Lock()


@functools.cache
def _untried_ports() -> Iterator[int]:
    """Give every port once, from a place that differs between processes started together."""
    size = _HIGHEST - _LOWEST
    first = os.getpid() * 97 % size
    return (_LOWEST + (first + step) % size for step in range(size))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
