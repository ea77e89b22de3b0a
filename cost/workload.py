"""The work of a stack in a month of 30 days, from its contracts, reports and schedules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from pathlib import Path

from croniter import croniter

from catalog import reports
from catalog.contract import STREAM_SECONDS, Contract, Kind, LatestTable, load_all, systems
from catalog.latest_table import columns
from catalog.object_names import SplitKey
from catalog.records import Counts, Manifest, Origin, SlotParts
from catalog.runs import Run
from catalog.slots import Unit
from catalog.versions import Version
from cost import statements
from functions.load.swap import swap_script
from functions.publish_latest.rows import LatestSnapshot
from functions.publish_latest.step import show_script
from functions.split.part_writer import MOST_SLOTS
from infra_pulumi.alerts import alerts
from infra_pulumi.reports import SCHEDULE

DAYS = 30
_SECONDS = DAYS * 86_400
_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
_SLOTS = {Unit.HOUR: DAYS * 24.0, Unit.DAY: float(DAYS), Unit.MONTH: DAYS * 12 / 365}


@dataclass(frozen=True)
class Feed:
    """A data set: how often it is fetched, and its most bytes."""

    dataset: str
    base: str
    """Its base table in the lake."""
    derived: tuple[str, ...]
    """Its other tables, the table of rejects included."""
    fetches: float
    """Fetches a month; for a stream, files."""
    bytes: float
    """Bytes of one fetch, the most that the contract admits."""
    slots: float
    """Slots that one fetch may touch."""
    batches: float
    """Batches a month if each fetch brings something."""
    whole: bool = False
    """Whether a fetch replaces everything, so that nothing accumulates in the lake."""
    latest: tuple[statements.CostedStatement, ...] = ()
    """Statements that publish each run at once, if the data set has a latest table."""


@dataclass(frozen=True)
class System:
    """A system's feeds, its script, and its swap."""

    name: str
    feeds: tuple[Feed, ...]
    script: statements.CostedScript
    swap: statements.CostedScript
    report_ticks: float
    """Runs of its scheduled query in a month."""
    jobs: int
    """Scheduler jobs: its fetches and its seal."""
    windows: dict[str, int] = field(default_factory=dict)
    """Report → days of slots that it reads, if it does not read all."""


@dataclass(frozen=True)
class Stack:
    """All systems, and their shared parts: the sweep's job and the alerts."""

    systems: tuple[System, ...]
    alerts: int
    jobs: int = 1


@cache
def ticks(cron: str) -> float:
    """Count how often a Unix cron fires in 30 days in UTC, as the mean of a year."""
    minute, hour, *days = cron.split()
    a_day = _fires(f"{minute} {hour} * * *", timedelta(days=1))
    return a_day * _fires(f"0 0 {' '.join(days)}", timedelta(days=365)) * DAYS / 365


def _fires(cron: str, span: timedelta) -> int:
    """Count how often a cron fires from the first instant of the year on, which counts too."""
    times = croniter(cron, _YEAR - timedelta(seconds=1))
    return sum(1 for _ in takewhile(lambda at: at < _YEAR + span, times.all_next(datetime)))


def read_stack(root: Path) -> Stack:
    """Return the stack of the contracts and SQL below `root`."""
    contracts = load_all(root / "catalog" / "datasets")
    found = tuple(
        system(name, some, root / "bq_sql" / name) for name, some in systems(contracts).items()
    )
    return Stack(found, len(alerts(contracts.values(), 1)))


def system(name: str, contracts: Sequence[Contract], folder: Path) -> System:
    """Return a system from its contracts and its folder of SQL, which may be missing."""
    generated = reports.script(name, folder) if folder.is_dir() else None
    every = re.match(r"every (\d+) minutes", SCHEDULE)
    minutes = int(every[1]) if every else DAYS * 24 * 60
    windows = {r.name: r.declared.window_days for r in (generated.reports if generated else ())}
    return System(
        name=name,
        feeds=tuple(map(feed, contracts)),
        script=statements.script(generated.text if generated else ""),
        swap=statements.script(_swap(contracts)),
        report_ticks=DAYS * 24 * 60 / minutes if generated else 0.0,
        jobs=1 + sum(contract.kind is not Kind.STREAM for contract in contracts),
        windows={report: days for report, days in windows.items() if days is not None},
    )


def feed(contract: Contract) -> Feed:
    """Return the feed of a data set at the limits of its contract."""
    stream = contract.kind is Kind.STREAM
    fetches = _SECONDS / STREAM_SECONDS if stream else ticks(contract.schedule)
    closing = fetches if contract.kind.newest_run_wins else min(fetches, _SLOTS[contract.slot_unit])
    whole = contract.kind is Kind.FULL_EXPORT
    return Feed(
        dataset=contract.dataset,
        base=f"lake.{contract.base.name}",
        derived=tuple(f"lake.{t.name}" for t in contract.lake_tables() if not t.base),
        fetches=fetches,
        bytes=contract.bounds.bytes_max,
        slots=float(MOST_SLOTS) if whole and contract.source.slices is None else 1.0,
        batches=closing,
        whole=whole,
        latest=statements.script(_publish_latest(contract, contract.latest_table)).rest
        if contract.latest_table
        else (),
    )


def _publish_latest(contract: Contract, newest: LatestTable) -> str:
    """Return the script that publishes a run, as `show` sends it."""
    key = SplitKey(Run.at(_YEAR))
    snapshot = LatestSnapshot(
        dataset=contract.dataset, table=newest.table, columns=columns(contract, newest), key=key,
        origin=str(Origin.PUBLISHER), reaches=_YEAR, rows=(),
    )  # fmt: skip
    return show_script(snapshot, _YEAR).sql


def _swap(contracts: Sequence[Contract]) -> str:
    """Return the swap of one slot of the widest data set, as `load` sends it."""
    widest = max(contracts, key=lambda contract: len(contract.lake_tables()))
    tables, slot = widest.lake_tables(), widest.calendar.slot(_YEAR)
    parts = SlotParts(
        dataset=widest.dataset, slot=slot, slot_start=widest.calendar.slot_start(slot),
        version=str(Version("20250101T000000Z", 1)), revision="", origin=Origin.PUBLISHER,
        parts=(), rows_in=0,
    )  # fmt: skip
    manifest = Manifest(
        id="x", system=widest.system, sealed_at="", lake="", bytes=0, slots=(parts,),
        tables=tables, contracts={},
    )  # fmt: skip
    counts = [Counts(dataset=widest.dataset, slot=slot, rows_in=0, rows_out=0)]
    return swap_script(manifest, counts, frozenset(t.name for t in tables), _YEAR).sql
