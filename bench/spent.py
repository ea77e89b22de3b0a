"""Cost of a piece of work: wall seconds, and CPU seconds of this process and its children."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil


@dataclass
class Spent:
    """Seconds of a piece of work, set at its end; `cpu_by` has CPU seconds by kind of process."""

    wall: float = 0.0
    cpu_by: Mapping[str, float] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes."""
        return sum(self.cpu_by.values())


@contextmanager
def measured(kinds: Mapping[str, str] | None = None) -> Iterator[Spent]:
    """Measure the body: `kinds` maps a piece of a child's command line to a name.

    A child of no kind counts as this process, as do children that ended and were waited for. Work
    from before the body is left out; a child that ends without a wait would be lost.
    """
    spent = Spent()
    began, before = time.monotonic(), _cpu(kinds or {})
    yield spent
    spent.wall = time.monotonic() - began
    after = _cpu(kinds or {})
    spent.cpu_by = {kind: after[kind] - before[kind] for kind in sorted(after)}


def _cpu(kinds: Mapping[str, str]) -> Counter[str]:
    """Return CPU seconds so far, by kind."""
    seconds: Counter[str] = Counter()
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            times, command = process.cpu_times(), " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        found = [kind for piece, kind in kinds.items() if piece in command]
        total = times.user + times.system + times.children_user + times.children_system
        seconds[found[0] if found and process != own else "here"] += total
    return seconds
