"""Debian's chromium: `python -m tests.browser.chromium find|install` prints its path, or nothing.

`install` prints nothing where it cannot be had; the command that failed stands on standard error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""What it may be called on PATH, first choice first."""
INSTALL = (
    ("apt-get", "update", "-qq"),
    ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"),
)
"""Takes some 20 seconds and 400 MB, once."""

Run = Callable[[Sequence[str]], int]
"""Runs a command and gives its exit code."""


def find() -> Path | None:
    """The browser on PATH; None where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


def install(run: Run | None = None, user: int | None = None) -> Path | None:
    """Install it where we may: as root, with apt-get. None where that cannot be done."""
    if (os.geteuid() if user is None else user) != 0:
        _say(f"not root: run {' && '.join(map(' '.join, INSTALL))} as root")
        return None
    for command in INSTALL:
        code = (run or _run)(command)
        if code:
            _say(f"{' '.join(command)}: exit code {code}")
            return None
    return find()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    (command,) = arguments or sys.argv[1:]
    found = {"find": find, "install": install}[command]()
    sys.stdout.write(f"{found or ''}\n")
    return 0


def _run(command: Sequence[str]) -> int:
    """Run a command, all it says on standard error; 127 where there is no such program."""
    try:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode
    except FileNotFoundError:
        return 127


def _say(text: str) -> None:
    sys.stderr.write(f"chromium: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
