"""Start `serve` on the local cloud's time: `python serve.py CLOCK OPTIONS…`.

The options are functions-framework's. Pages show ages, and reports without a table are queried as of
now; here now is the virtual clock's time, which `LocalCloud` writes to the file CLOCK. Nothing else of
the function is touched.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path


def write_time(clock: Path, moment: datetime) -> None:
    """Write the time down as a whole: a reader finds this time or the one before."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(moment.isoformat(), encoding="utf-8")
    fresh.replace(clock)


def read_time(clock: Path) -> datetime:
    """Read the time that was last written down, in UTC."""
    return datetime.fromisoformat(clock.read_text(encoding="utf-8"))


def follow(clock: Path) -> None:
    """Make every App of this process take its time from the file, by default.

    Raises RuntimeError where App no longer takes its time as `now`.
    """
    from functions.serve.app import App

    defaults = App.__init__.__kwdefaults__ or {}
    if "now" not in defaults:
        raise RuntimeError(
            "functions.serve.app.App has no option `now`: correct local_cloud/functions_runtime/serve.py"
        )
    defaults["now"] = lambda: read_time(clock)


def main(arguments: list[str]) -> None:
    """Run the function until the process is ended."""
    from functions_framework._cli import _cli

    clock, *options = arguments
    # -P keeps the folder of this file off the path; the function's own is where it is started.
    sys.path.insert(0, str(Path.cwd()))
    follow(Path(clock))
    _cli(options, prog_name="serve.py")


if __name__ == "__main__":
    main(sys.argv[1:])
