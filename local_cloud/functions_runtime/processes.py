"""The Cloud Functions on a laptop: functions-framework on the archive, a process each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local_cloud.ports import free_port
from local_cloud.processes import Child, Supervisor

type Environment = Callable[[str], Mapping[str, str]]
"""A service account's e-mail → the settings that point Google's clients at the stand-ins."""


@dataclass(frozen=True)
class FunctionSpec:
    """One function as its resource describes it."""

    name: str
    entry_point: str
    folder: Path
    """Where its source archive is unpacked."""
    env: Mapping[str, str]
    account: str
    concurrency: int


class FunctionHost(Protocol):
    """Runs the functions: as processes, or in this process in tests of crashes."""

    def create(self, spec: FunctionSpec) -> str:
        """Begin to start a function and give its URL."""

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until all answer."""

    def concurrency(self, url: str) -> int:
        """Return how many requests the function at `url` takes at once."""

    def address(self, name: str) -> str:
        """Return the URL of a function by its name; raise KeyError where there is none."""

    def stop(self) -> None:
        """Take no more requests."""


class FunctionProcesses:
    """Each function in its own gunicorn, started again with back-off when it ends.

    It cannot show: 429 from a busy function (gunicorn queues), instances beyond one, memory limits,
    OIDC on push, and the build of the archive's requirements. `clock` is the file of the virtual
    time that readers are answered by; without one they are by the machine's.
    """

    def __init__(
        self, supervisor: Supervisor, environment: Environment, clock: Path | None = None
    ) -> None:
        self._supervisor = supervisor
        self._environment = environment
        self._clock = clock
        self._children: dict[str, Child] = {}
        self._concurrency: dict[str, int] = {}
        self._addresses: dict[str, str] = {}

    def create(self, spec: FunctionSpec) -> str:
        """Begin to start a function and give its URL; nothing but its archive is on its path."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = [
            sys.executable, "-P", *self._framework(spec.entry_point),
            "--target", spec.entry_point, "--source", "main.py",
            "--host", "127.0.0.1", "--port", str(port),
        ]  # fmt: skip
        env = {
            **self._environment(spec.account),
            **spec.env,
            "WORKERS": "1",
            "THREADS": str(spec.concurrency),
        }
        self._concurrency[url] = spec.concurrency
        self._addresses[spec.name] = url
        self._children[url] = self._supervisor.start(
            f"function-{spec.name}", command, env=env, cwd=spec.folder, restart=True
        )
        return url

    def _framework(self, entry_point: str) -> list[str]:
        """Choose the command of a function: only `serve` also gets the file of the virtual time."""
        if self._clock and entry_point == "serve":
            return [str(Path(__file__).with_name("serve.py")), str(self._clock)]
        return ["-m", "functions_framework"]

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until all answer; raises `ChildFailedError` with the log of one that does not."""
        for url, child in list(self._children.items()):
            child.wait_ready(url, timeout)

    def concurrency(self, url: str) -> int:
        """Return how many requests the function at `url` takes at once."""
        return self._concurrency[url]

    def address(self, name: str) -> str:
        """Return the URL of a function by its name; raise KeyError where there is none."""
        return self._addresses[name]

    def child(self, name: str) -> Child:
        """Return the process of a function, to read its log or to kill it."""
        return next(c for c in self._children.values() if c.spec.name == f"function-{name}")

    def stop(self) -> None:
        """Do nothing: the supervisor ends the processes."""
