"""One local cloud without Spark a process, the choice of a tenth, and how to repeat what is red."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from local_cloud.cloud import LocalCloud
from tests.support.crash_list import SHARES, Point, Seed, repeat_command, seed_of_commit, tenth
from tests.support.crashes import Witness, replay
from tests.support.house import START, House
from tests.support.recorded_batch import RecordedBatch


@dataclass(frozen=True)
class Undisturbed:
    """What the run without a death left, and every request by which it did."""

    state: dict[str, list[str]]
    points: tuple[Point, ...]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--tenth`, alone for the commit that is checked out or with a number."""
    text = "run a tenth of the list, chosen by a number (by default the number of commits)"
    parser.addoption("--tenth", nargs="?", const="HEAD", metavar="NUMBER", help=text)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print which tenth runs and why, and the command that runs the same one."""
    if not (seed := _seed(config.getoption("tenth"))):
        return None
    number = seed.number % SHARES
    again = f"nox -s crashes -- --tenth={seed.number}"
    return f"crashes: tenth {number} of 0-{SHARES - 1}, by {seed.origin}; again: {again}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that have no parameter, and with `--tenth` a tenth of the others."""
    if not (seed := _seed(config.getoption("tenth"))):
        return
    chosen = tenth([item.nodeid for item in items if hasattr(item, "callspec")], seed.number)
    kept = [item for item in items if not hasattr(item, "callspec") or item.nodeid in chosen]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Print below a failure the command that repeats it."""
    report = yield
    if report.failed:
        report.sections.append(("Repeat this test alone", repeat_command(item.nodeid)))
    return report


@functools.cache
def _seed(option: str | None) -> Seed | None:
    """Read the seed of the tenth; None if everything runs."""
    if option is None:
        return None
    if option.isdecimal():
        return Seed(int(option), "--tenth")
    if option != "HEAD":
        raise pytest.UsageError(f"--tenth={option}: not a number: use one, as in --tenth=3")
    try:
        return seed_of_commit(_git)
    except (OSError, subprocess.CalledProcessError) as error:
        raise pytest.UsageError(
            f"--tenth: git knows no commit of this folder ({error}): use a number, as in --tenth=3"
        ) from error


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """Start the house of all replays, which each replay empties."""
    with LocalCloud(in_process=True, start=START, batch_server=RecordedBatch) as cloud:
        yield House(cloud)
        refused = cloud.authority.refused()
    assert refused == [], "calls were made that the stack does not grant"


@pytest.fixture(scope="session")
def witness(house: House) -> Iterator[Witness]:
    """See every request, and let processes die."""
    with Witness(house.cloud) as witness:
        yield witness


@pytest.fixture(scope="session")
def undisturbed(house: House, witness: Witness) -> Callable[[bool], Undisturbed]:
    """Give the run without a death, with or without reports; each is run once a process."""

    @functools.cache
    def run(reports: bool) -> Undisturbed:
        assert replay(house, witness, reports=reports) == 0
        points = tuple(witness.seen)
        return Undisturbed(house.state(), points)

    return run
