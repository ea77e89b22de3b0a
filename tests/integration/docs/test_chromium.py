"""How `nox -s browser` comes by a browser, and what it says where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.browser import chromium


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH with nothing on it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_one_on_path_is_taken(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("google-chrome", "chromium"):
        program = machine / name
        program.touch(mode=0o755)
    assert chromium.main(["find"]) == 0
    assert capsys.readouterr().out == f"{machine / 'chromium'}\n"


def test_root_installs_it(machine: Path) -> None:
    ran: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> int:
        ran.append(command)
        if "install" in command:
            (machine / "chromium").touch(mode=0o755)
        return 0

    assert chromium.find() is None
    assert chromium.install(run, user=0) == machine / "chromium"
    assert ran == list(chromium.INSTALL)
    assert "--no-install-recommends" in ran[-1]


@pytest.mark.parametrize(
    ("user", "code", "told"),
    [(0, 100, "apt-get update -qq: exit code 100"), (1000, 0, "as root")],
)
def test_what_failed_is_told(
    machine: Path, capsys: pytest.CaptureFixture[str], user: int, code: int, told: str
) -> None:
    assert chromium.install(lambda _: code, user=user) is None
    assert told in capsys.readouterr().err


def test_a_machine_without_apt_is_no_crash(
    machine: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert chromium.install(user=0) is None
    assert "apt-get update -qq: exit code 127" in capfd.readouterr().err
