"""A file that kills `split`, next to healthy data sets: `nox -s bench -- poison`.

A virtual day is simulated event by event, without a wait. Pub/Sub pushes with the back-off and the tries of
`catalog.retry_policy`; `split` has the instances of `infra_pulumi`; a busy function answers 429, which
counts as a try. The sweep comes by its schedule and decides with `functions.sweep.resend.decide`, or as it
did before: again at every sweep. Cold starts, the limits of Pub/Sub and the sweep's own time are not
simulated.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from croniter import croniter

from catalog import retry_policy
from functions.sweep import resend
from functions.sweep.resend import Action, Resend
from functions.sweep.stalled_work import PATIENCE
from infra_pulumi.schedules import SWEEP
from infra_pulumi.steps import STEPS

START = datetime(2026, 11, 30, tzinfo=UTC)
DAY = timedelta(days=1)
EVERY = timedelta(minutes=10)
"""How often each healthy data set has a new file."""
HEALTHY_SECONDS = (3, 4, 5, 6, 8, 10)
"""How long `split` takes for a file of each healthy data set; all of them come at once."""
POISON_SECONDS = 140
"""How long `split` works on the poison before it dies."""
REPEAT_SECONDS = 1
"""How long `split` takes for a file that it has recorded already."""

Policy = Callable[[Resend | None, datetime], Action]
"""When stalled work is sent again, as `functions.sweep.resend.decide`."""


def at_every_sweep(last: Resend | None, now: datetime) -> Action:
    """Send stalled work again at every sweep, as the sweep did until November 2026."""
    del last, now
    return Action.SEND


@dataclass
class File:
    """An object that `split` is to work on."""

    accepted_at: datetime
    seconds: int
    poison: bool = False
    recorded_at: datetime | None = None
    """When a split recorded it."""
    last: Resend | None = None
    is_refused: bool = False


@dataclass(frozen=True)
class Day:
    """The counts and latencies of a day."""

    resends: int
    tries: int
    busy_seconds: int
    dead_letters: int
    unfinished: int
    latencies: tuple[float, ...]
    """Seconds from acceptance to record of each healthy file; to the day's end if unfinished."""

    def latency(self, share: float) -> float:
        """Return the seconds within which this share of the healthy files were recorded."""
        ordered = sorted(self.latencies)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass
class Simulation:
    """A day of `split` and its subscription: the events to come, and the counts so far."""

    policy: Policy
    now: datetime = START
    busy: int = 0
    resends: int = 0
    tries: int = 0
    busy_seconds: int = 0
    dead_letters: int = 0
    files: list[File] = field(default_factory=list)
    _due: list[tuple[datetime, int, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def run(self, poison: bool) -> Day:
        """Run the day's events in their order; return its counts."""
        for tick in _ticks():
            self._at(tick, self._sweep, rank=2)
        for file in _arrivals(poison):
            self._at(file.accepted_at, lambda file=file: self._accept(file))  # type: ignore[misc]
        while self._due and self._due[0][0] < START + DAY:
            self.now, _, _, happen = heapq.heappop(self._due)
            happen()
        healthy = [file for file in self.files if not file.poison]
        return Day(
            resends=self.resends,
            tries=self.tries,
            busy_seconds=self.busy_seconds,
            dead_letters=self.dead_letters,
            unfinished=sum(file.recorded_at is None for file in healthy),
            latencies=tuple(
                ((file.recorded_at or START + DAY) - file.accepted_at).total_seconds()
                for file in healthy
            ),
        )

    def _at(self, when: datetime, happen: Callable[[], None], rank: int = 1) -> None:
        """Schedule an event; at the same instant the lowest rank comes first."""
        heapq.heappush(self._due, (when, rank, next(self._order), happen))

    def _accept(self, file: File) -> None:
        self.files.append(file)
        self._deliver(file, 1)

    def _deliver(self, file: File, number: int) -> None:
        """Push a message the `number`-th time; a busy function refuses it."""
        self.tries += 1
        if self.busy == INSTANCES:
            self._fail(file, number)
            return
        seconds = REPEAT_SECONDS if file.recorded_at else file.seconds
        self.busy += 1
        self.busy_seconds += seconds
        self._at(self.now + timedelta(seconds=seconds), lambda: self._end(file, number), rank=0)

    def _end(self, file: File, number: int) -> None:
        """End a try: the poison kills its instance, any other file is recorded."""
        self.busy -= 1
        if file.poison:
            self._fail(file, number)
        else:
            file.recorded_at = file.recorded_at or self.now

    def _fail(self, file: File, number: int) -> None:
        """Let a message wait for its next try, or make it a dead letter."""
        if number == retry_policy.MAX_TRIES:
            self.dead_letters += 1
            return
        after = self.now + retry_policy.backoff(number)
        self._at(after, lambda: self._deliver(file, number + 1))

    def _sweep(self) -> None:
        """Decide about each file that has neither record nor refusal."""
        for file in self.files:
            if file.recorded_at or file.is_refused or self.now - file.accepted_at < PATIENCE:
                continue
            action = self.policy(file.last, self.now)
            file.is_refused = action is Action.REFUSE
            if action is Action.SEND:
                file.last = Resend(file.last.number + 1 if file.last else 1, self.now)
                self.resends += 1
                self._deliver(file, 1)


_SPLIT = next(step for step in STEPS if step.name == "split")
INSTANCES = _SPLIT.max_instances * _SPLIT.concurrency
"""How many messages `split` works on at once."""


def _ticks() -> Iterator[datetime]:
    """List the sweep's ticks of the day."""
    schedule = croniter(SWEEP, START - timedelta(seconds=1))
    return itertools.takewhile(
        lambda tick: tick < START + DAY, (schedule.get_next(datetime) for _ in itertools.count())
    )


def _arrivals(poison: bool) -> Iterator[File]:
    """List the day's files: the poison at its beginning, the healthy ones every ten minutes."""
    if poison:
        yield File(START, POISON_SECONDS, poison=True)
    for number in range(DAY // EVERY):
        yield from (File(START + number * EVERY, seconds) for seconds in HEALTHY_SECONDS)


def days(new: Policy = resend.decide) -> dict[str, Day]:
    """Simulate the three days that are compared; the keys name the table's rows."""
    return {
        "without poison": Simulation(new).run(poison=False),
        "poison, sent at every sweep": Simulation(at_every_sweep).run(poison=True),
        "poison, sent as the sweep decides": Simulation(new).run(poison=True),
    }


def verdict(found: dict[str, Day]) -> str:
    """Return the fault of the three days; nothing if the poison harms no other file."""
    without, before, after = found.values()
    if after.latencies != without.latencies:
        return "the poison delays healthy files: see MAX_RESENDS and decide in functions/sweep/resend.py"
    if before.latency(0.95) <= without.latency(0.95):
        return "the old policy delays nothing: this day cannot distinguish one policy from another"
    return ""


def run() -> int:
    """Simulate, print the table and the verdict; return the exit code."""
    found = days()
    print(
        f"{INSTANCES} instances of split, {len(list(_ticks()))} sweeps, "
        f"{len(HEALTHY_SECONDS)} healthy data sets with a file every {EVERY.seconds // 60} minutes, "
        f"a file that kills split after {POISON_SECONDS} s"
    )
    print(
        "| day | sent by the sweep | tries | busy instance-seconds | dead letters "
        "| healthy latency, s: median | 95 % | max | healthy files unfinished |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for name, day in found.items():
        shares = " | ".join(f"{day.latency(share):,.0f}" for share in (0.5, 0.95, 1))
        print(
            f"| {name} | {day.resends:,} | {day.tries:,} | {day.busy_seconds:,} "
            f"| {day.dead_letters:,} | {shares} | {day.unfinished:,} |"
        )
    fault = verdict(found)
    print(fault or "verdict: the poison delays no healthy file")
    return 1 if fault else 0
