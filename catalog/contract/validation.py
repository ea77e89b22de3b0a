"""Check a contract for what its types cannot express: one rule per struct of the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from croniter import croniter

from catalog.contract.model import (
    Column,
    Contract,
    FetchSpec,
    GeoPoint,
    Key,
    Kind,
    LatestTable,
    Slices,
)
from catalog.time_format import TimeFormat

STREAM_SECONDS = 300
"""How long Pub/Sub gathers messages into one file of a stream."""

STREAM_ROWS_LEAST = 2_000
"""Twice the fewest messages that Pub/Sub accepts as the bound of a file."""

STREAM_BYTES_LEAST, STREAM_BYTES_MOST = 40_000_000, 10 << 30
"""Bounds of a file's bytes: room for four of Pub/Sub's largest messages, and the most it accepts."""

JOINED_ROWS_MOST = 200_000
"""Most rows of a run whose files are joined."""

NEWEST_ROWS_MOST = 20_000
"""Most rows of a run that is published at once: they travel in the request of one script (ADR 36)."""

TYPES = ("text", "code", "integer", "float", "boolean", "timestamp", "date")
"""Types of a column. A `code` is text that a spreadsheet may have turned into `75001.0`."""

NEWEST_ADDED = ("fetched_at", "age_minutes", "sample_size", "run", "line", "data_as_of", "origin")
"""Columns that a table of newest rows has in addition to the contract's."""

SECRET = re.compile(r"[a-z][a-z0-9-]{0,59}")
"""Id of a publisher's key in Secret Manager."""

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

_OUR_HEADERS = ("accept", "accept-encoding", "user-agent", "host", "if-none-match")

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")

_RESERVED_COLUMNS = ("run", "line", "file", "slot", "slot_start", "row_slot", "context")
"""Columns that split and the Spark job add to those of a contract."""


def contract_faults(contract: Contract, path: Path) -> list[str]:
    """List the faults that the types of the model cannot find, each as a sentence.

    Args:
        contract: The contract, as decoded.
        path: The file of the contract.

    Returns:
        The faults in the order of the rules; empty if the contract is sound.
    """
    faults = list(chain(validate_dataset(contract, path), *(rule(contract) for rule in RULES)))
    # The check of slices fills in URLs for a slot, which needs a sound unit and zone.
    return faults or list(validate_slices(contract))


def validate_dataset(contract: Contract, path: Path) -> Iterator[str]:
    """Check that the data set has the name of its file."""
    if contract.dataset != path.stem:
        yield f"dataset is {contract.dataset!r}: the file must have its name"


def validate_calendar(contract: Contract) -> Iterator[str]:
    """Check that the zone exists and allows slots of the unit."""
    try:
        contract.calendar  # noqa: B018 - building it is the check
    except (ValueError, ZoneInfoNotFoundError) as error:
        yield str(error)


def validate_column_names(contract: Contract) -> Iterator[str]:
    """Check that every field that names a column names a column of the contract."""
    names = _column_names(contract)
    yield from (f"key {name!r} is not a column" for name in contract.key if name not in names)
    for group in contract.require_one:
        for name in group or ("",):
            if name not in names:
                yield f"require_one: {name!r} is not a column"
    yield from (f"revised_by: {n!r} is not a column" for n in contract.revised_by if n not in names)
    if not contract.kind.slot_from_run and contract.time_column not in names:
        yield f"a {contract.kind} needs time_column, the name of a column"


def validate_columns(contract: Contract) -> Iterator[str]:
    """Check the columns, each alone and all together."""
    names = _column_names(contract)
    yield from (f"column {n!r} is declared twice" for n in sorted(set(names)) if names.count(n) > 1)
    for column in contract.columns:
        yield from validate_column(column)
        yield from _decimal_faults(column)
        yield from _time_format_faults(column)
    if any(column.personal for column in contract.columns):
        yield "a personal column needs retention and suppression, which no step keeps yet"


def validate_column(column: Column) -> Iterator[str]:
    """Check the type of a column, and that its name is free."""
    if column.type not in TYPES:
        yield f"column {column.name}: type {column.type!r} is not one of {', '.join(TYPES)}"
    if column.name in _RESERVED_COLUMNS or column.name.startswith("_"):
        yield (
            f"column {column.name}: the name is taken, every row has {', '.join(_RESERVED_COLUMNS)} "
            "and names with _ in front"
        )


def _decimal_faults(column: Column) -> Iterator[str]:
    where = f"column {column.name}"
    if column.decimal is None:
        return
    if column.type != "float":
        yield f"{where}: decimal is for type float, not {column.type}"
    if any(" + " in alias for alias in column.aliases):
        yield f"{where}: decimal and a sum in aliases: a sum reads decimal points alone"
    if any(re.search("#[0-9]+$", alias) for alias in column.aliases):
        yield f"{where}: decimal and an item in aliases: commas separate the items"


def _time_format_faults(column: Column) -> Iterator[str]:
    where = f"column {column.name}"
    if column.time_format is None:
        return
    if column.type not in ("timestamp", "date"):
        yield f"{where}: time_format is for type timestamp or date, not {column.type}"
    try:
        time_format = TimeFormat(column.time_format)
    except ValueError as error:
        yield f"{where}: time_format {column.time_format!r}: {error}"
        return
    if column.type == "date" and time_format.offset:
        yield f"{where}: time_format {column.time_format!r}: a date has no %z; make it a timestamp"


def validate_geo_points(contract: Contract) -> Iterator[str]:
    """Check every pair of latitude and longitude."""
    floats = {column.name for column in contract.columns if column.type == "float"}
    return chain.from_iterable(validate_geo_point(point, floats) for point in contract.geo_points)


def validate_geo_point(point: GeoPoint, floats: set[str]) -> Iterator[str]:
    """Check that the columns are in `floats`, and that the box separates their values."""
    for name in (point.latitude, point.longitude):
        if name not in floats:
            yield f"geo_points: {name!r} is not a column of type float"
    if not (point.south < point.north and point.west < point.east):
        yield f"geo_points: the box of {point.latitude}, {point.longitude} is empty"
    elif max(point.south, point.west) <= min(point.north, point.east):
        yield (
            f"geo_points: {point.latitude} and {point.longitude} share values in their box, so that "
            "they could not be distinguished where they are exchanged: make it smaller"
        )


def validate_tables(contract: Contract) -> Iterator[str]:
    """Check that one lake table reconciles with the rows that came in."""
    if sum(table.base for table in contract.tables) != 1:
        yield "exactly one table must have base = true"


def validate_latest_table(contract: Contract) -> Iterator[str]:
    """Check the table that publishes the newest run, if the contract has one."""
    if contract.latest_table is None:
        return
    if contract.kind is not Kind.SNAPSHOT:
        yield f"latest_table shows the newest run of a snapshot: a {contract.kind} has none"
    if contract.time_column is None:
        yield "latest_table needs time_column: of two rows of a key the newer is shown"
    yield from _latest_column_faults(contract.latest_table, _column_names(contract))
    if contract.bounds.rows_max > NEWEST_ROWS_MOST:
        yield f"latest_table needs bounds.rows_max of {NEWEST_ROWS_MOST} at most"


def _latest_column_faults(latest: LatestTable, names: list[str]) -> Iterator[str]:
    for name in (latest.table, *names):
        if not _IDENTIFIER.fullmatch(name):
            yield f"latest_table: {name!r} cannot name a table or column: a-z, 0-9 and _ only"
    if not latest.key:
        yield "latest_table.key must name columns"
    for name in latest.key:
        if name not in names:
            yield f"latest_table.key {name!r} is not a column"
    for name in names:
        if name in NEWEST_ADDED:
            yield f"column {name}: latest_table.table has another of that name"


def validate_schedule(contract: Contract) -> Iterator[str]:
    """Check the schedule: a stream has none, every other kind has one off the full hour."""
    if contract.kind is Kind.STREAM:
        if contract.schedule:
            yield "a stream is not fetched: leave out schedule"
    elif not croniter.is_valid(contract.schedule):
        yield f"schedule {contract.schedule!r} is not unix cron"
    elif {0, "*"} & set(croniter.expand(contract.schedule)[0][0]):
        yield "schedule fires on the hour, when platforms fire twice: choose a minute"


def validate_lateness(contract: Contract) -> Iterator[str]:
    """Check that a stream says how late a row may come and how long a slot waits."""
    if contract.kind is not Kind.STREAM:
        return
    if contract.late_until_hours is None:
        yield "a stream needs late_until_hours, else one message opens a slot of any age again"
    if contract.grace_minutes < STREAM_SECONDS / 60:
        yield (
            f"a stream needs grace_minutes of at least {STREAM_SECONDS // 60}: so long a file "
            "gathers messages"
        )


def validate_source(contract: Contract) -> Iterator[str]:
    """Check that the source has what its kind needs, and nothing else."""
    source = contract.source
    if source.stale_after_hours is not None and (
        contract.time_column is None or len(source.fetch) < 2
    ):
        yield "source.stale_after_hours needs time_column and a second [[source.fetch]]"
    yield from _stream_faults(contract) if contract.kind is Kind.STREAM else _fetch_faults(contract)


def _stream_faults(contract: Contract) -> Iterator[str]:
    if contract.source.message is None:
        yield 'a stream needs source.message = "json"'
    for name in ("hosts", "fetch", "shapes", "past_slots", "slices", "lookup_keys"):
        if getattr(contract.source, name):
            yield f"a stream is not fetched: leave out source.{name}"


def _fetch_faults(contract: Contract) -> Iterator[str]:
    source = contract.source
    if source.message is not None:
        yield f"a {contract.kind} has no messages: leave out source.message"
    if not source.fetch:
        yield f"a {contract.kind} needs source.fetch, the URLs it is fetched from"
    if source.key:
        yield from validate_key(source.key)
    for fetch in source.fetch:
        yield from validate_fetch(fetch, source.hosts)


def validate_key(key: Key) -> Iterator[str]:
    """Check the id of a publisher's secret, and that its header is free for a key."""
    if not SECRET.fullmatch(key.secret):
        yield f"source.key: secret {key.secret!r} must be of the form {SECRET.pattern}"
    if not _HEADER.fullmatch(key.header) or key.header.lower() in _OUR_HEADERS:
        yield f"source.key: header {key.header!r} is none that a key can be sent in"


def validate_fetch(fetch: FetchSpec, hosts: tuple[str, ...]) -> Iterator[str]:
    """Check the addresses of a source: https, and only the hosts of the contract."""
    if bool(fetch.urls) == bool(fetch.index) or bool(fetch.feeds) != bool(fetch.index):
        yield f"source.fetch {fetch.name}: name urls, or an index and its feeds"
    for url in (*fetch.urls, *((fetch.index,) if fetch.index else ())):
        host = url.removeprefix("https://").partition("/")[0]
        if not url.startswith("https://") or host not in hosts:
            yield f"{url}: https only, and the host must be listed in source.hosts"


def validate_bounds(contract: Contract) -> Iterator[str]:
    """Check the limits of a run that depend on how the data comes."""
    bounds = contract.bounds
    if contract.kind is not Kind.STREAM:
        if contract.source.lookup_keys and bounds.rows_max > JOINED_ROWS_MOST:
            yield (
                "source.lookup_keys holds the rows of a run in memory: bounds.rows_max of "
                f"{JOINED_ROWS_MOST} at most"
            )
        return
    if bounds.drop_max is not None:
        yield "a stream's files have any number of messages: leave out bounds.drop_max"
    if not bounds.rows_max >= STREAM_ROWS_LEAST:
        yield f"a stream needs bounds.rows_max of at least {STREAM_ROWS_LEAST}"
    if not STREAM_BYTES_LEAST <= bounds.bytes_max <= STREAM_BYTES_MOST:
        yield (
            f"a stream needs bounds.bytes_max of {STREAM_BYTES_LEAST} to {STREAM_BYTES_MOST}: a "
            "message may have ten million bytes"
        )


RULES: tuple[Callable[[Contract], Iterable[str]], ...] = (
    validate_column_names,
    validate_columns,
    validate_geo_points,
    validate_latest_table,
    validate_tables,
    validate_calendar,
    validate_schedule,
    validate_lateness,
    validate_source,
    validate_bounds,
)
"""The rules in the order in which their faults are listed."""


def validate_slices(contract: Contract) -> Iterator[str]:
    """Check the placeholders of the URLs, and the slices of a source that has them."""
    slices = contract.source.slices
    urls = [url for fetch in contract.source.fetch for url in fetch.urls]
    yield from _placeholder_faults(urls, sliced=slices is not None)
    if slices is None:
        return
    if not contract.refetchable:
        yield (
            f"a {contract.kind} cannot be fetched in slices: its publisher shows the present only; "
            "slices are for full_export and increments"
        )
    try:
        contract.calendar.parse(slices.first)
    except ValueError as error:
        yield f"source.slices.first: {error}"
        return
    yield from (fault for url in urls if (fault := _slice_url_fault(contract, slices, url)))


def _placeholder_faults(urls: Iterable[str], *, sliced: bool) -> Iterator[str]:
    allowed = {"{slot}", "{start}", "{end}"} if sliced else {"{slot}"}
    for url in urls:
        for name in sorted(set(_PLACEHOLDER.findall(url)) - allowed):
            yield f"{url}: {name} is no placeholder; known are {', '.join(sorted(allowed))}" + (
                "" if sliced else "; {start} and {end} need [source.slices]"
            )


def _slice_url_fault(contract: Contract, slices: Slices, url: str) -> str | None:
    """Return why a URL is the same for two slices; None if it is not."""
    if "{slot}" in url:
        return None
    if "{start}" not in url or "{end}" not in url:
        return f"{url}: a slice's URL must name {{slot}}, or both {{start}} and {{end}}"
    if contract.address("{start}", slices.first) == contract.address("{end}", slices.first):
        return (
            f"source.slices.time_format {slices.time_format!r} does not distinguish one "
            f"{contract.slot_unit} from the next"
        )
    return None


def _column_names(contract: Contract) -> list[str]:
    return [column.name for column in contract.columns]
