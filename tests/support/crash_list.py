"""The crash list: where a process can die, each death's test id, and the tenth that CI runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from local_cloud.gateway.proxy import Phase

NOTIFIER, BATCH, QUERY = "storage", "spark", "query"
"""Who changes something without being a step: the bucket, the batch, the scheduled query."""
FOLDER = Path(__file__).parents[1] / "data" / "crash"
POINTS = FOLDER / "points.json"
RENEW = ".venv/bin/nox -s crashes -- --renew"
SHARES = 10
"""How many commits in a row run every death once."""


@dataclass(frozen=True, order=True)
class Point:
    """A request that changes something, described so that another run of the same work has it too."""

    who: str
    action: str
    name: str
    number: int

    def __str__(self) -> str:
        """For a test's report."""
        return f"{self.who} {self.action} {self.name} #{self.number}"


type Crash = tuple[Point, Phase]
"""Where a process dies: before the request has its effect, or after it, the reply being lost."""


def read_points(path: Path = POINTS) -> list[Point]:
    """Read the points of the undisturbed run; those of the batch in the order of that run."""
    return [Point(*fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def write_points(points: Sequence[Point], path: Path = POINTS) -> None:
    """Write the points, one to a line, in an order that is the same in every run.

    What a step does in threads comes in any order, so that only the batch keeps its own.
    """
    others = sorted(point for point in points if point.who != BATCH)
    ordered = [*others, *(point for point in points if point.who == BATCH)]
    lines = [json.dumps(astuple(point), ensure_ascii=False) for point in ordered]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def crash_id(crash: Crash) -> str:
    """Name a death in a test's id; the same in every run, whatever other points there are."""
    point, phase = crash
    words = (phase.value, *map(str, astuple(point)))
    return "-".join(re.sub(r"[^\w.=]+", "-", word) for word in words)


def sweeps_needed(crash: Crash) -> int:
    """Count the sweeps after which the death has no more effect.

    Steps and queries are delivered again by themselves. A batch is not, unless it died after its
    last effect; a lost notification is not, unless it was on its way already.
    """
    point, phase = crash
    if point.who == NOTIFIER:
        return int(phase is Phase.BEFORE)
    if point.who == BATCH:
        return int(not (phase is Phase.AFTER and "/receipts/" in point.name))
    return 0


def reaches_reports(crash: Crash) -> bool:
    """Whether a death can change a report other than through the lake, which is compared anyway."""
    return crash[0].who in ("load", QUERY)


def tenth(ids: Sequence[str], seed: int) -> set[str]:
    """Choose a tenth of the test ids; ten consecutive seeds choose every id once.

    The ids are shuffled by their hashes, so that each tenth has deaths of all processes.
    """
    shuffled = sorted(ids, key=lambda each: hashlib.sha256(each.encode()).digest())
    return set(shuffled[seed % SHARES :: SHARES])


@dataclass(frozen=True)
class Seed:
    """The number that chooses a tenth, and its origin for the report."""

    number: int
    origin: str


def seed_of_commit(git: Callable[..., str]) -> Seed:
    """Take the number of commits up to HEAD, so that the tenths rotate from commit to commit.

    A shallow clone does not know this number. There the seed is HEAD's hash, so that the tenth is
    random and ten commits may miss a death.

    Args:
        git: Runs git with these arguments and returns its output.
    """
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        number = int(git("rev-parse", "HEAD").strip(), 16)
        return Seed(
            number % SHARES, "HEAD's hash: this clone is shallow, so the tenths do not rotate"
        )
    return Seed(int(git("rev-list", "--count", "HEAD")), "the number of commits")


def repeat_command(node_id: str) -> str:
    """Give the command that runs one test of the list."""
    return f'.venv/bin/nox -s crashes -- "{node_id}"'
