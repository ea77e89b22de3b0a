"""The parts of an hour in plain Python, millisecond thresholds by hand: slow, and easy to believe."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MINUTE = 60_000
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Seen:
    """A report of a station as a fetch showed it; times in milliseconds from the hour's start.

    A fetch before the hour's start is context.
    """

    fetched: int
    reported: int
    mechanical: int | None
    ebike: int | None
    docks: int | None
    is_installed: bool | None = True

    @property
    def bikes(self) -> int | None:
        """All bikes; null where a kind is."""
        if self.mechanical is None or self.ebike is None:
            return None
        return self.mechanical + self.ebike


def parts(seen: Sequence[Seen]) -> dict[str, int | None]:
    """The additive parts of a station's hour, minute by its reports."""
    last = {each.reported: each for each in sorted(seen, key=lambda s: s.fetched)}
    line = [last[reported] for reported in sorted(last)]
    total: dict[str, int | None] = dict.fromkeys(
        (
            "observations", "stale_observations", "covered_ms", "open_ms", "bike_ms",
            "mechanical_ms", "ebike_ms", "dock_ms", "empty_ms", "full_ms", "unusable_ms",
        ),
        0,
    )  # fmt: skip
    sane = [each for each in line if each.reported - each.fetched <= 10 * MINUTE]
    held = [(each, _held(each, after)) for each, after in itertools.zip_longest(sane, sane[1:])]
    _add(total, "observations", sum(each.fetched >= 0 for each in line))
    stale = [
        each for each in line if each.fetched >= 0 and each.fetched - each.reported >= 24 * HOUR
    ]
    _add(total, "stale_observations", len(stale))
    _add(total, "covered_ms", sum(length for _, length in held))
    used = [(each, length) for each, length in held if each.is_installed is not False and length]
    for each, length in used:
        _spend(total, each, length)
    for name, counts in (
        ("bikes", [each.bikes for each, _ in used]),
        ("ebikes", [each.ebike for each, _ in used]),
    ):
        present = [count for count in counts if count is not None]
        total[f"{name}_min"] = min(present, default=None)
        total[f"{name}_max"] = max(present, default=None)
    return total | _moves(seen, sane)


def _held(each: Seen, after: Seen | None) -> int:
    """For how many milliseconds of the hour a report holds."""
    if each.bikes is None or each.docks is None:
        return 0
    end = min(HOUR, each.reported + 20 * MINUTE)
    if after is not None:
        end = min(end, after.reported)
    return max(0, end - max(0, each.reported))


def _spend(total: dict[str, int | None], each: Seen, length: int) -> None:
    """Add a report's open time to every sum that it belongs to."""
    assert each.bikes is not None
    assert each.docks is not None
    assert each.mechanical is not None
    assert each.ebike is not None
    _add(total, "open_ms", length)
    _add(total, "bike_ms", each.bikes * length)
    _add(total, "mechanical_ms", each.mechanical * length)
    _add(total, "ebike_ms", each.ebike * length)
    _add(total, "dock_ms", each.docks * length)
    lacking = (each.bikes == 0, each.docks == 0)
    state = {(True, False): "empty_ms", (False, True): "full_ms", (True, True): "unusable_ms"}
    if lacking in state:
        _add(total, state[lacking], length)


def _moves(seen: Iterable[Seen], line: Sequence[Seen]) -> dict[str, int]:
    """Pairs of reports, and the bikes that left and came at least."""
    first_reports = {each.reported for each in seen if each.fetched < 0}
    moved = {"differences": 0, "departures": 0, "arrivals": 0}
    for before, each in itertools.pairwise(line):
        if each.reported in first_reports or each.reported - before.reported > HOUR:
            continue
        kinds = ((before.mechanical, each.mechanical), (before.ebike, each.ebike))
        falls = [a - b for a, b in kinds if a is not None and b is not None]
        if len(falls) == 2:
            moved["differences"] += 1
            moved["departures"] += sum(fall for fall in falls if fall > 0)
            moved["arrivals"] -= sum(fall for fall in falls if fall < 0)
    return moved


def _add(total: dict[str, int | None], name: str, value: int) -> None:
    """Raise a sum."""
    total[name] = (total[name] or 0) + value
