"""Find Pulumi's CLI on PATH, or build it with Go from its modules into a cache.

`python -m local_cloud.pulumi.engine.cli find|go|build CACHE` prints a path, or nothing. `build` prints
nothing only where Go's modules cannot be reached; the command that failed is on standard error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

VERSION = "3.250.0"
"""What is built, and the oldest that is taken from PATH; the SDK of `uv.lock` works with it."""

GO = (1, 25)
"""The oldest Go that this version's modules take."""

_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"

_MODULE = f"""module citypulse.invalid/pulumi

go {GO[0]}.{GO[1]}

require (
\tgithub.com/pulumi/pulumi/pkg/v3 v{VERSION}
\tgithub.com/pulumi/pulumi/sdk/v3 v{VERSION}
)
"""


def find(cache: Path) -> Path | None:
    """Find a suitable CLI: on PATH, else in the cache; None where there is none."""
    found = shutil.which("pulumi")
    if found and _is_compatible(_output_of(found, "version")):
        return Path(found)
    built = _place(cache)
    return built if built.is_file() else None


def find_go() -> Path | None:
    """Find a Go on PATH that is new enough."""
    found = shutil.which("go")
    version = re.search(r"go(\d+)\.(\d+)", _output_of(found, "version")) if found else None
    new_enough = version and (int(version[1]), int(version[2])) >= GO
    return Path(found) if found and new_enough else None


def build(cache: Path) -> Path | None:
    """Build the CLI into the cache: some four minutes of two cores, once.

    Returns None where Go's modules cannot be reached. Raises CalledProcessError where the build fails.
    """
    binary = _place(cache)
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
        (Path(folder) / "go.mod").write_text(_MODULE, encoding="utf-8")
        # All modules first: what fails after that is the build, and no want of a network.
        if not _fetch(["go", "list", "-mod=mod", "-deps", _PACKAGE], Path(folder)):
            return None
        stamp = f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={VERSION}"
        subprocess.run(
            ["go", "build", "-mod=mod", "-ldflags", f"-s -w -X {stamp}", "-o", "pulumi", _PACKAGE],
            cwd=folder,
            check=True,
            stdout=sys.stderr,
        )
        (Path(folder) / "pulumi").replace(binary)
    return binary


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    command, cache = arguments or sys.argv[1:]
    ways = {"find": find, "go": lambda _: find_go(), "build": build}
    found = ways[command](Path(cache))
    sys.stdout.write(f"{found or ''}\n")
    return 0


def _place(cache: Path) -> Path:
    return cache / VERSION / "pulumi"


def _is_compatible(text: str) -> bool:
    """Check whether a CLI's version is of our major version and not older than ours."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    if not found:
        return False
    version, oldest = (
        [int(number) for number in numbers] for numbers in (found.groups(), VERSION.split("."))
    )
    return version[0] == oldest[0] and version >= oldest


def _output_of(program: str, *words: str) -> str:
    """Run a program and return what it prints; nothing where it fails or cannot be run."""
    try:
        return subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def _fetch(command: Sequence[str], folder: Path) -> bool:
    """Run a command that only fetches; return whether it succeeded, else print what failed."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        sys.stderr.write(f"failed: {' '.join(command)}\n{done.stderr[-2000:]}\n")
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main())
