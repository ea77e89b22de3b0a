"""Children start alike, come back when asked to, and never outlive their parent."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from local_cloud.ports import free_port
from local_cloud.processes import ChildFailedError, Supervisor, cache_dir

FOREVER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
DEAF = [
    sys.executable,
    "-c",
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\n"  # noqa: ISC004
    "while True: signal.pause()",
]


@pytest.fixture
def supervisor(tmp_path: Path):  # type: ignore[no-untyped-def]
    started = Supervisor(tmp_path)
    yield started
    started.stop(0.1)


def ended(pid: int, seconds: float = 5.0) -> bool:
    """Wait for the end of a process that may be nobody's child, by its descriptor."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ready, _, _ = select.select([descriptor], [], [], seconds)
    os.close(descriptor)
    return bool(ready)


def test_a_child_gets_a_fresh_environment(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "the-user's")
    code = "import os; print(dict(os.environ))"
    child = supervisor.start("env", [sys.executable, "-c", code], env={"DATASET": "wifi"})
    assert child.wait(10)
    seen = child.log.read_text()
    assert "'DATASET': 'wifi'" in seen
    assert f"'HOME': '{tmp_path / 'homes' / 'env'}'" in seen
    assert "PYTHONPYCACHEPREFIX" in seen
    assert "PYTHONDONTWRITEBYTECODE" not in seen
    assert "GOOGLE_CLOUD_PROJECT" not in seen


def test_a_child_that_ends_early_shows_its_log(supervisor: Supervisor) -> None:
    child = supervisor.start("bad", [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with pytest.raises(ChildFailedError, match=r"bad ended with code 1(?s:.*)no such thing"):
        child.wait_ready(lambda: False, timeout=10)


def test_a_silent_child_is_named_when_time_is_up(supervisor: Supervisor) -> None:
    child = supervisor.start("silent", FOREVER)
    with pytest.raises(ChildFailedError, match=r"silent was not ready after 0\.1 s"):
        child.wait_ready(f"http://127.0.0.1:{free_port()}/", timeout=0.1)


def test_a_server_is_ready_when_it_answers(supervisor: Supervisor, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    child = supervisor.start("server", command, cwd=tmp_path)
    child.wait_ready(f"http://127.0.0.1:{port}/missing")
    with pytest.raises(ValueError, match="server runs already"):
        supervisor.start("server", command)


def test_a_killed_function_comes_back(supervisor: Supervisor) -> None:
    child = supervisor.start("function", FOREVER, restart=True)
    first = child.pid
    child.signal_group(signal.SIGKILL)
    child.wait_ready(lambda: child.pid != first, timeout=10)
    assert ended(first)
    assert child.restarts == 1


def test_stop_ends_groups_that_do_not_listen(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    children = [supervisor.start(name, DEAF, restart=True) for name in ("a", "b")]
    for child in children:
        child.wait_ready(lambda log=child.log: "up" in log.read_text())  # type: ignore[misc]
    pids = [child.pid for child in children]
    supervisor.stop(0.1)
    assert all(ended(pid) for pid in pids)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux's setpriv is not here")
@pytest.mark.parametrize("slow", [False, True], ids=["at once", "before it asks to be told"])
def test_children_die_with_a_killed_parent(tmp_path: Path, slow: bool) -> None:
    parent = _Parent(tmp_path, slow_to_ask=slow)
    orphan = parent.child()
    assert not ended(orphan, 0)
    parent.kill()
    (tmp_path / "dead").touch()
    assert ended(orphan)
    assert "up" not in (tmp_path / "orphan.log").read_text() or not slow


class _Parent:
    """A process with one child; `slow_to_ask` keeps the child from its guard until `dead` is there."""

    CODE = (
        "import sys, signal; from pathlib import Path\n"
        "from local_cloud.processes import Supervisor\n"
        "child = Supervisor(Path(sys.argv[1])).start('orphan', sys.argv[2:])\n"
        "print(child.pid, flush=True); signal.pause()"
    )

    def __init__(self, folder: Path, *, slow_to_ask: bool) -> None:
        path = os.environ["PATH"]
        if slow_to_ask:
            guard = folder / "bin" / "setpriv"
            guard.parent.mkdir()
            wait = f"while [ ! -e '{folder / 'dead'}' ]; do sleep 0.01; done"
            guard.write_text(f'#!/bin/sh\n{wait}\nexec {shutil.which("setpriv")} "$@"\n')
            guard.chmod(0o755)
            path = f"{guard.parent}{os.pathsep}{path}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, str(folder), *FOREVER],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PATH": path},
        )

    def child(self) -> int:
        """The child's process id, once it is started."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def kill(self) -> None:
        """Kill the parent, and be sure that it is gone."""
        with self._process:
            self._process.kill()


def test_ports_are_free_and_given_once() -> None:
    ports: list[int] = []
    threads = [
        threading.Thread(target=lambda: ports.extend(free_port() for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ports)) == 80
    assert all(1024 < port < 32768 for port in ports)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[0]))


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        busy = listener.getsockname()[1]
        free = busy + 1 if busy + 1 < 32000 else 12000
        monkeypatch.setattr("local_cloud.ports._untried_ports", lambda: iter([busy, free]))
        assert free_port() != busy


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "citypulse"
    assert cache_dir().is_dir()
