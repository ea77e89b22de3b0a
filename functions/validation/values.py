"""Check the values of a column against its contract, value by value.

A part keeps the text as the publisher wrote it, except that a `code` loses the `.0` of a
spreadsheet, and that `repairs` has
already normalized a `decimal` comma and a `time_format`, and that `value_map` replaces a text. The
Spark job casts by the same rules. Nulls are the empty text, blanks, and `-` for times.

| type | accepted texts |
|---|---|
| text | anything |
| code | anything; `75001.0` is `75001` |
| integer | digits with a sign, `2.0` too, within 64 bits |
| float | digits with a point and an exponent; finite |
| boolean | oui, non, true, false, 1, 0 in any case |
| date | `2025-06-05` |
| timestamp | ISO with any offset or none (the contract's zone), a date alone, seconds since 1970 (milliseconds from twelve digits on) |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from catalog.contract import Column, Contract
from catalog.runs import Run

Values = Sequence[str | None]
Check = Callable[[str], str | None]
"""Returns what is wrong with a value, in a few words that are the same for all such values; None if
nothing is."""

FUTURE = timedelta(days=1)
"""How far after its run an event time may be: clocks differ, and zones."""

_EPOCH_BEGINS = datetime.fromtimestamp(0, UTC)
_MOST_VERDICTS = 100_000
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}(\.0*)?")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = re.compile(r"[0-9]{9,11}(\.[0-9]*)?")
_EPOCH_MILLIS = re.compile(r"[0-9]{12,14}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
    r"\s?(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)?"
)
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_CODE = re.compile(r"([0-9]+)\.0+")
_BOOLEANS = frozenset({"oui", "non", "true", "false", "1", "0"})


class ColumnCheck:
    """The checks of one column, over many values at once; remembers values that passed."""

    def __init__(self, column: Column, contract: Contract, run: Run) -> None:
        """Collect the checks of `column`; times after `run` are in the future."""
        self.column = column
        self._checks = tuple(_checks(column, contract, run))
        self._value_map = {word.casefold(): value for word, value in column.value_map.items()}
        self._passed: set[str | None] = {None} if column.nullable else set()

    def clean(self, values: list[str]) -> list[str | None]:
        """Convert values to the form that the part keeps: None for nulls, codes without `.0`."""
        timed = self.column.type in ("timestamp", "date")
        cleaned: dict[str, str | None] = {}
        for value in set(values):
            if not value or value.isspace() or (timed and value.strip() == "-"):
                cleaned[value] = None
            elif self.column.type == "code" and _CODE.fullmatch(value):
                cleaned[value] = _CODE.sub(r"\1", value)
            elif self._value_map and value.strip().casefold() in self._value_map:
                cleaned[value] = self._value_map[value.strip().casefold()]
        return [cleaned.get(value, value) for value in values] if cleaned else list(values)

    def faults(self, values: Values) -> dict[int, str]:
        """Map the index of each wrong value to its reason, as `<column>: <reason>`."""
        if not self._checks and self.column.nullable:
            return {}
        if len(self._passed) > _MOST_VERDICTS:
            self._passed = {None} if self.column.nullable else set()
        wrong: dict[str | None, str] = {}
        for value in set(values) - self._passed:
            fault = self._fault(value)
            if fault is None:
                self._passed.add(value)
            else:
                wrong[value] = f"{self.column.name}: {fault}"
        return {at: wrong[v] for at, v in enumerate(values) if v in wrong} if wrong else {}

    def _fault(self, value: str | None) -> str | None:
        if value is None:
            return "empty"
        return next((fault for check in self._checks if (fault := check(value))), None)


def checks(contract: Contract, run: Run) -> tuple[ColumnCheck, ...]:
    """Build the checks of every column of a contract, in its order."""
    return tuple(ColumnCheck(column, contract, run) for column in contract.columns)


def time_limits(column: Column, contract: Contract, run: Run) -> tuple[float, float]:
    """Return the first and last allowed second since 1970 of a timestamp column."""
    zone = contract.calendar.zone
    low, high = _bound(column, column.minimum, zone), _bound(column, column.maximum, zone)
    last = high.timestamp() if high else float("inf")
    if column.name == contract.time_column:
        last = min(last, (run.time + FUTURE).timestamp())
    return low.timestamp() if low else float("-inf"), last


@lru_cache(maxsize=65_536)
def instant(text: str, zone: ZoneInfo) -> datetime | None:
    """Parse a timestamp's text to an aware instant; None if it is not one.

    Without an offset the text is local time of `zone`. A local time that the clocks skip is not an
    instant; one that comes twice is the first of the two.
    """
    stripped = text.strip()
    try:
        if _INSTANT.fullmatch(stripped):
            return _aware(datetime.fromisoformat(_plain(stripped)), zone)
        if _DATE.fullmatch(stripped):
            return _aware(datetime.fromisoformat(stripped), zone)
        if _EPOCH.fullmatch(stripped):
            return datetime.fromtimestamp(float(stripped), UTC)
        if _EPOCH_MILLIS.fullmatch(stripped):
            return _EPOCH_BEGINS + timedelta(milliseconds=int(stripped))
    except (ValueError, OverflowError):
        return None
    return None


def _plain(text: str) -> str:
    """Remove what `fromisoformat` does not read: nanoseconds, a blank, a small z."""
    compact = text[:10] + "T" + text[11:].replace(" ", "")
    return _FRACTION.sub(r"\1", compact).replace("z", "Z")


def _aware(moment: datetime, zone: ZoneInfo) -> datetime | None:
    if moment.tzinfo is not None:
        # Raises if the instant has no form in UTC, such as 0001-01-01T00:00+02:00.
        moment.astimezone(UTC)
        return moment
    local = moment.replace(tzinfo=zone)
    back = local.astimezone(UTC).astimezone(zone)
    return local if back.replace(tzinfo=None) == moment else None


def _checks(column: Column, contract: Contract, run: Run) -> list[Check]:
    """Build the checks of a column, in the order in which they run."""
    zone = contract.calendar.zone
    found: list[Check] = []
    typed = {
        "integer": _integer,
        "float": _float,
        "boolean": _boolean,
        "date": _date,
        "timestamp": lambda text: None if instant(text, zone) else "not a timestamp",
    }.get(column.type)
    if typed is not None:
        found.append(typed)
    if column.time_format is not None:
        found.append(_no_epoch)
    if column.allowed:
        found.append(lambda text: None if text in column.allowed else "not an allowed value")
    if column.pattern is not None:
        pattern = re.compile(column.pattern)
        found.append(lambda text: None if pattern.fullmatch(text) else "not of the pattern")
    found += _limits(column, zone)
    if column.type == "timestamp" and column.name == contract.time_column:
        latest = run.time + FUTURE
        found.append(lambda text: _when(text, zone, lambda at: at > latest, "in the future"))
    return found


def _limits(column: Column, zone: ZoneInfo) -> list[Check]:
    """Build the checks of the smallest and the largest value."""
    low, high = column.minimum, column.maximum
    found: list[Check] = []
    if column.type in ("timestamp", "date"):
        first, last = _bound(column, low, zone), _bound(column, high, zone)
        if first is not None:
            found.append(lambda text: _when(text, zone, lambda at: at < first, f"before {low}"))
        if last is not None:
            found.append(lambda text: _when(text, zone, lambda at: at > last, f"after {high}"))
        return found
    if low is not None:
        least = float(low)
        found.append(lambda text: f"below {low}" if float(text) < least else None)
    if high is not None:
        most = float(high)
        found.append(lambda text: f"above {high}" if float(text) > most else None)
    return found


def _bound(column: Column, value: float | str | None, zone: ZoneInfo) -> datetime | None:
    if value is None:
        return None
    found = instant(str(value), zone)
    if found is None:
        raise ValueError(f"contract: {column.name}: {value!r} is not a time")
    return found


def _when(text: str, zone: ZoneInfo, wrong: Callable[[datetime], bool], fault: str) -> str | None:
    at = instant(text, zone)
    return fault if at is not None and wrong(at) else None


def _integer(text: str) -> str | None:
    stripped = text.strip()
    if not _INTEGER.fullmatch(stripped):
        return "not an integer"
    whole = int(stripped.partition(".")[0])
    return None if -(2**63) <= whole < 2**63 else "an integer above 64 bits"


def _float(text: str) -> str | None:
    stripped = text.strip()
    if not _FLOAT.fullmatch(stripped) or abs(float(stripped)) == float("inf"):
        return "not a number"
    return None


def _no_epoch(text: str) -> str | None:
    """Reject digits alone: a time without its blanks would look like seconds since 1970."""
    stripped = text.strip()
    epoch = _EPOCH.fullmatch(stripped) or _EPOCH_MILLIS.fullmatch(stripped)
    return "not of the form" if epoch else None


def _boolean(text: str) -> str | None:
    return None if text.strip().lower() in _BOOLEANS else "not a boolean"


def _date(text: str) -> str | None:
    stripped = text.strip()
    try:
        good = bool(_DATE.fullmatch(stripped) and date.fromisoformat(stripped))
    except ValueError:
        good = False
    return None if good else "not a date"
