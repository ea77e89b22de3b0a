"""The child processes of the local cloud: started alike, watched, ended with their parent."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_FIRST_BACKOFF = 0.1
_LONGEST_BACKOFF = 5.0
_STEADY_SECONDS = 10.0
_TAIL_BYTES = 3000


class ChildFailedError(RuntimeError):
    """A child process ended or stayed silent before it was ready; the text ends with its log."""


@dataclass(frozen=True)
class ChildSpec:
    """How one child is started: its name, command, environment and what happens when it ends."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path | None
    restart: bool


def cache_dir() -> Path:
    """Give the folder for what is made once per user: `citypulse` in the XDG cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "citypulse"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def dying_with_parent(signal_name: str, parent: int | None = None) -> list[str]:
    """Give what to put before a command so that it gets this signal when its starter dies.

    The kernel reports no death from before the child registered; with `parent`, the starter's
    process id, a child that registers too late does not run its command. Empty without
    util-linux's setpriv.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    command = [setpriv, "--pdeathsig", signal_name]
    if parent is None:
        return command
    return [*command, "/bin/sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"', str(parent)]


class Supervisor:
    """Starts children with their own HOME, environment and log in `folder`; stops them all.

    The kernel sends a child its death signal when the *thread* that started it ends, so one thread
    starts them all and lives as long as the supervisor (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="child-starter")
        self._children: dict[str, Child] = {}
        self._stopping = threading.Event()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        restart: bool = False,
    ) -> Child:
        """Start `command` and return at once; with `restart` it is started again when it ends.

        `env` is added to a fresh environment (PATH, LANG, HOME, bytecode cache), nothing of the
        parent's is inherited. Raises `ValueError` for a name in use, `OSError` when it cannot run.
        """
        if name in self._children:
            raise ValueError(f"child process {name} runs already: give each child its own name")
        home = self.folder / "homes" / name
        home.mkdir(parents=True, exist_ok=True)
        spec = ChildSpec(name, command, {**_fresh_env(home), **(env or {})}, cwd, restart)
        child = Child(spec, self.folder / f"{name}.log", self._starter, self._stopping)
        self._children[name] = child
        child.launch()
        return child

    def pids(self) -> list[int]:
        """List the process ids of the children."""
        return [child.pid for child in self._children.values()]

    def stop(self, grace_seconds: float = 1.0) -> None:
        """End every child's process group: asked first, killed after `grace_seconds` in all."""
        self._stopping.set()
        children = list(self._children.values())
        for child in children:
            child.signal_group(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for child in children:
            child.wait(max(0.0, deadline - time.monotonic()))
            child.signal_group(signal.SIGKILL)
            child.wait(1.0)
        self._starter.shutdown()
        self._children.clear()


class Child:
    """One supervised process; after a restart it is another process under the same name."""

    def __init__(
        self, spec: ChildSpec, log: Path, starter: ThreadPoolExecutor, stopping: threading.Event
    ) -> None:
        self.spec = spec
        self.log = log
        self.restarts = 0
        self._starter = starter
        self._stopping = stopping
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, which is its group's too; raises `ChildFailedError` before the start."""
        if self._process is None:
            raise ChildFailedError(f"child process {self.spec.name} was not started")
        return self._process.pid

    def launch(self) -> None:
        """Start the process from the starter's thread and watch for its end from another."""
        self._process = self._starter.submit(_spawn, self.spec, self.log).result()
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def wait_ready(self, probe: str | Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until `probe`, a URL that answers anything or a callable, says that the child is up.

        Raises `ChildFailedError` with the end of the log when the child ends or `timeout` seconds pass.
        """
        is_up = _answers(probe) if isinstance(probe, str) else probe
        deadline = time.monotonic() + timeout
        while not is_up():
            if self._process and self._process.poll() is not None and not self.spec.restart:
                raise self._failure(f"ended with code {self._process.returncode}")
            if self._stopping.wait(0.02) or time.monotonic() > deadline:
                raise self._failure(f"was not ready after {timeout:g} s")

    def wait(self, timeout: float) -> bool:
        """Wait for the end of the process; False when it still runs after `timeout` seconds."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal_group(self, number: int) -> None:
        """Send a signal to the child and all that it started; nothing happens when all are gone."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        started = time.monotonic()
        process.wait()
        if not self.spec.restart or self._stopping.is_set():
            return
        if time.monotonic() - started > _STEADY_SECONDS:
            self.restarts = 0
        pause = min(_FIRST_BACKOFF * 2**self.restarts, _LONGEST_BACKOFF)
        self.restarts += 1
        if not self._stopping.wait(pause):
            self._launch_again()

    def _launch_again(self) -> None:
        try:
            self.launch()
        except RuntimeError:
            return  # the starter was shut down between the pause and now

    def _failure(self, what: str) -> ChildFailedError:
        text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
        return ChildFailedError(
            f"child process {self.spec.name} {what}; its log {self.log} ends:\n{text}"
        )


def _fresh_env(home: Path) -> dict[str, str]:
    """Build a child's environment; the cache has its bytecode, which costs seconds to compile."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "PYTHONPYCACHEPREFIX": str(cache_dir() / "bytecode"),
    }


def _spawn(spec: ChildSpec, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*dying_with_parent("SIGTERM", os.getpid()), *spec.command],
            env=dict(spec.env),
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _answers(url: str) -> Callable[[], bool]:
    parts = urllib.parse.urlsplit(url)

    def is_up() -> bool:
        """Check whether the address answers at all."""
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2)
        try:
            connection.request("GET", parts.path or "/")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    return is_up
