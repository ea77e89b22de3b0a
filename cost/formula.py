"""The formula: the use of a stack in a month of 30 days, by price, idle and running.

Idle: everything ticks, no publisher has anything new; storage is not counted.
Running: each fetch brings `share` of the most that its contract admits, and all of that changed. An
unknown figure is set high: all columns are read, and only `window_days` prunes anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from cost import statements
from cost.prices import Assumed, Prices
from cost.statements import LEAST, CostedStatement
from cost.workload import DAYS, Feed, Stack, System, ticks
from infra_pulumi.schedules import SEAL, SWEEP
from infra_pulumi.spark import PROPERTIES
from infra_pulumi.steps import STEPS


class Quantities(dict[str, float]):
    """Price → units of a month; 0 for a price that is missing."""

    def __missing__(self, name: str) -> float:
        """Return 0 for a missing price."""
        return 0.0

    def __add__(self, other: dict[str, float]) -> Quantities:
        """Return the sum by price."""
        return Quantities({name: self[name] + other.get(name, 0.0) for name in self | other})


SHARED = "all systems"
LEAST_MESSAGE = 1000
"""Bytes that Pub/Sub bills for a request, however few it has."""
LEAST_BATCH_SECONDS = 60.0
_LAKE_DAYS = 30
"""How long the lake's files are kept (`infra_pulumi/zones.py`)."""
_MEMORY_GIB = {"512Mi": 0.5, "1Gi": 1.0}
_MEMORY_CPUS = {"512Mi": 0.333, "1Gi": 0.583}
"""Processors that come with the memory (cloud.google.com/functions/docs/configuring/memory)."""


def month(stack: Stack, prices: Prices, share: float | None) -> dict[str, Quantities]:
    """Return the use of each system and of the shared parts; idle if `share` is None."""
    found = {each.name: of_system(each, prices.assumed, share) for each in stack.systems}
    shared = Quantities({"jobs": stack.jobs, "alerts": stack.alerts})
    shared += _calls("sweep", ticks(SWEEP), prices.assumed.call_seconds, prices.assumed)
    return found | {SHARED: shared}


def of_system(system: System, assumed: Assumed, share: float | None) -> Quantities:
    """Return the use of one system; idle if `share` is None."""
    used = Quantities({"jobs": float(system.jobs)})
    used += _watching(system, assumed)
    for feed in system.feeds:
        used += _calls("download", feed.fetches, assumed.call_seconds, assumed)
        used["class_a"] += feed.fetches
        used["class_b"] += 2 * feed.fetches
    if share is not None:
        for feed in system.feeds:
            used += _working(system, feed, assumed, share)
        used += _reporting(system, assumed, share) + _storing(system, assumed, share)
    return used


def batch(seconds: float, assumed: Assumed) -> Quantities:
    """Return the use of a batch: the smallest size, at least a minute."""
    lasting = max(seconds, LEAST_BATCH_SECONDS)
    executors = int(PROPERTIES["spark.executor.instances"])
    cores = int(PROPERTIES["spark.driver.cores"])
    cores += executors * int(PROPERTIES["spark.executor.cores"])
    disk = _gigabytes("spark.dataproc.driver.disk.size")
    disk += executors * _gigabytes("spark.dataproc.executor.disk.size")
    dcu = cores * (0.6 + 0.1 * assumed.executor_gb_per_core)
    return Quantities({"dcu": dcu * lasting, "shuffle": disk * lasting})


def _gigabytes(key: str) -> float:
    return float(PROPERTIES[key].removesuffix("g"))


def _calls(step: str, count: float, seconds: float, assumed: Assumed) -> Quantities:
    """Return the use of calls of a function, with their messages, events and log lines."""
    size = next(each for each in STEPS if each.name == step)
    cpus = float(size.cpu) if size.cpu else _MEMORY_CPUS[size.memory]
    return Quantities(
        {
            "calls": count,
            "processor": count * seconds * cpus,
            "memory": count * seconds * _MEMORY_GIB[size.memory],
            "messages": 4 * LEAST_MESSAGE * count,  # a message and an event, each in and out
            "logs": assumed.line_bytes * count,
        }
    )


def _watching(system: System, assumed: Assumed) -> Quantities:
    """Return the idle use: seal, the sweep's share, the gate of the reports."""
    feeds, sweeps, seals = len(system.feeds), ticks(SWEEP), ticks(SEAL)
    lists = sweeps * (assumed.sweep_lists_per_dataset * feeds + assumed.sweep_lists_per_system)
    used = _calls("seal", seals, assumed.call_seconds, assumed)
    used["class_a"] += lists + seals * assumed.seal_lists_per_dataset * feeds
    used["query"] += LEAST * sweeps  # the ledger, once a sweep
    used["query"] += system.report_ticks * _billed(system.script.gate, {})
    return used


def _working(system: System, feed: Feed, assumed: Assumed, share: float) -> Quantities:
    """Return the use of a data set's fetches, from the download to the swap."""
    brought = feed.bytes * share
    reading = brought / assumed.download_bytes_per_second
    cutting = brought / assumed.split_bytes_per_second
    worked = brought * feed.fetches / feed.batches if feed.batches else 0.0
    lasting = assumed.batch_start_seconds + worked / assumed.batch_bytes_per_second
    per_batch = batch(lasting, assumed)
    used = _calls("split", feed.fetches, assumed.call_seconds + cutting, assumed)
    used["processor"] += reading * feed.fetches * _MEMORY_CPUS["512Mi"]
    used["memory"] += reading * feed.fetches * _MEMORY_GIB["512Mi"]
    used += _calls("submit", feed.batches, assumed.call_seconds, assumed)
    used += _calls("load", feed.batches, assumed.load_seconds, assumed)
    used += Quantities({name: each * feed.batches for name, each in per_batch.items()})
    if feed.latest:
        used += _calls("show", feed.fetches, assumed.show_seconds, assumed)
        used["class_b"] += 2 * feed.fetches
        used["query"] += feed.fetches * _billed(feed.latest, {})
    writes = feed.fetches * (4 + 2 * feed.slots)  # of each slot a part and a marker
    files = feed.batches * feed.slots * (1 + len(feed.derived))
    used["class_a"] += writes + files * assumed.batch_writes_per_file
    used["class_b"] += writes + files * assumed.batch_reads_per_file
    used["messages"] += 2 * LEAST_MESSAGE * 3 * feed.slots * feed.fetches
    used["logs"] += assumed.line_bytes * 3 * feed.slots * feed.fetches
    used["query"] += feed.batches * 2 * LEAST  # the ledger, by seal and by load
    used["query"] += feed.batches * _billed(system.swap.rest, _sizes(system, assumed, share))
    return used


def _reporting(system: System, assumed: Assumed, share: float) -> Quantities:
    """Return the use of the reports after their gate, once for each load."""
    loads = sum(feed.batches for feed in system.feeds)
    sizes = _sizes(system, assumed, share)
    windows = {name: days / assumed.history_days for name, days in system.windows.items()}
    billed = _billed(system.script.rest, sizes, windows)
    return Quantities({"query": min(system.report_ticks, loads) * billed})


def _billed(
    some: Iterable[CostedStatement],
    sizes: dict[str, float],
    windows: dict[str, float] | None = None,
) -> float:
    shares = windows or {}
    return sum(statements.billed(s, sizes, min(1.0, shares.get(s.makes, 1.0))) for s in some)


def _sizes(system: System, assumed: Assumed, share: float) -> dict[str, float]:
    """Return the bytes of the lake's tables after `history_days`."""
    sizes: dict[str, float] = {}
    for feed in system.feeds:
        months = 1.0 if feed.whole else feed.fetches * assumed.history_days / DAYS
        sizes[feed.base] = feed.bytes * share * months
        sizes |= dict.fromkeys(feed.derived, sizes[feed.base] * assumed.derived_share)
    return sizes


def _storing(system: System, assumed: Assumed, share: float) -> Quantities:
    """Return the bytes in storage after `history_days`."""
    used = Quantities()
    for feed in system.feeds:
        fetched = feed.bytes * share * feed.fetches
        used["objects"] += fetched * (1 + assumed.parts_share) * assumed.history_days / DAYS
        used["objects"] += fetched * _LAKE_DAYS / DAYS
    used["warehouse"] += sum(_sizes(system, assumed, share).values())
    return used
