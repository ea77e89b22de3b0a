"""Check a contract for what its types cannot: one generator of faults for each part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

from croniter import croniter

from catalog.contract.model import Column, Contract, Key, Kind, Slices
from catalog.time_format import TimeFormat

STREAM_SECONDS = 300
"""How long Pub/Sub gathers messages into one file of a stream."""

STREAM_ROWS_LEAST = 2_000
"""Twice the fewest messages that Pub/Sub takes as the bound of a file."""

STREAM_BYTES_LEAST, STREAM_BYTES_MOST = 40_000_000, 10 << 30
"""Bounds of a file's bytes: room for four of Pub/Sub's largest messages, and the most it takes."""

JOINED_ROWS_MOST = 200_000
"""Most rows of a run whose files are joined."""

NEWEST_ROWS_MOST = 20_000
"""Most rows of a run that is shown at once: they travel in the request of one script (ADR 36)."""

TYPES = ("text", "code", "integer", "float", "boolean", "timestamp", "date")
"""Types of a column. A `code` is text that a spreadsheet may have turned into `75001.0`."""

NEWEST_ADDED = ("fetched_at", "age_minutes", "sample_size", "run", "line", "data_as_of", "origin")
"""Columns that a table of newest rows has beside the contract's."""


def contract_faults(contract: Contract, path: Path) -> list[str]:
    """What no type can say of a contract, each as a sentence."""
    names = [column.name for column in contract.columns]
    faults = [f"key {name!r} is not a column" for name in contract.key if name not in names]
    faults += [f"column {n!r} is declared twice" for n in sorted(set(names)) if names.count(n) > 1]
    faults += [
        f"column {c.name}: type {c.type!r} is not one of {', '.join(TYPES)}"
        for c in contract.columns
        if c.type not in TYPES
    ]
    faults += [fault for column in contract.columns for fault in _written_faults(column)]
    faults += _place_faults(contract)
    faults += _newest_faults(contract, names)
    faults += [
        f"require_one: {name!r} is not a column"
        for group in contract.require_one
        for name in group or ("",)
        if name not in names
    ]
    faults += [
        f"column {n}: the name is taken, every row has {', '.join(_BESIDE)} and names with _ in front"
        for n in names
        if n in _BESIDE or n.startswith("_")
    ]
    faults += [f"revised_by: {n!r} is not a column" for n in contract.revised_by if n not in names]
    if contract.dataset != path.stem:
        faults.append(f"dataset is {contract.dataset!r}: the file must bear its name")
    if sum(table.base for table in contract.tables) != 1:
        faults.append("exactly one table must have base = true")
    if not contract.kind.slot_from_run and contract.time_column not in names:
        faults.append(f"a {contract.kind} needs time_column, the name of a column")
    if any(c.personal for c in contract.columns):
        faults.append("a personal column needs retention and suppression, which no step keeps yet")
    if contract.source.stale_after_hours is not None and (
        contract.time_column is None or len(contract.source.fetch) < 2
    ):
        faults.append("source.stale_after_hours needs time_column and a second [[source.fetch]]")
    try:
        contract.calendar  # noqa: B018 - building it is the check
    except (ValueError, ZoneInfoNotFoundError) as error:
        faults.append(str(error))
    streams = contract.kind is Kind.STREAM
    faults += _stream_faults(contract) if streams else _fetch_faults(contract)
    # A slice's URLs are tried out on a slot, for which unit and zone must be sound.
    return faults or _slice_faults(contract)


def _written_faults(column: Column) -> Iterator[str]:
    """What is wrong with how the values of a column are said to be written."""
    where = f"column {column.name}"
    if column.decimal is not None:
        if column.type != "float":
            yield f"{where}: decimal is for type float, not {column.type}"
        if any(" + " in alias for alias in column.aliases):
            yield f"{where}: decimal and a sum in aliases: a sum reads decimal points alone"
        if any(re.search("#[0-9]+$", alias) for alias in column.aliases):
            yield f"{where}: decimal and an item in aliases: commas part the items"
    if column.time_format is None:
        return
    if column.type not in ("timestamp", "date"):
        yield f"{where}: time_format is for type timestamp or date, not {column.type}"
    try:
        form = TimeFormat(column.time_format)
    except ValueError as error:
        yield f"{where}: time_format {column.time_format!r}: {error}"
        return
    if column.type == "date" and form.offset:
        yield f"{where}: time_format {column.time_format!r}: a date has no %z; make it a timestamp"


def _place_faults(contract: Contract) -> Iterator[str]:
    """What is wrong with the places: columns that are none, and boxes that cannot tell them apart."""
    floats = {column.name for column in contract.columns if column.type == "float"}
    for place in contract.geo_points:
        for name in (place.latitude, place.longitude):
            if name not in floats:
                yield f"geo_points: {name!r} is not a column of type float"
        if not (place.south < place.north and place.west < place.east):
            yield f"geo_points: the box of {place.latitude}, {place.longitude} is empty"
        elif max(place.south, place.west) <= min(place.north, place.east):
            yield (
                f"geo_points: {place.latitude} and {place.longitude} share values in their box, so that "
                "they could not be told apart where they are exchanged: make it smaller"
            )


def _newest_faults(contract: Contract, names: list[str]) -> Iterator[str]:
    """What is wrong with the table that shows the newest run."""
    newest = contract.latest_table
    if newest is None:
        return
    if contract.kind is not Kind.SNAPSHOT:
        yield f"latest_table shows the newest run of a snapshot: a {contract.kind} has none"
    if contract.time_column is None:
        yield "latest_table needs time_column: of two rows of a key the newer is shown"
    for name in (newest.table, *names):
        if not _IDENTIFIER.fullmatch(name):
            yield f"latest_table: {name!r} cannot name a table or column: a-z, 0-9 and _ only"
    if not newest.key:
        yield "latest_table.key must name columns"
    yield from (
        f"latest_table.key {name!r} is not a column" for name in newest.key if name not in names
    )
    taken = [name for name in names if name in NEWEST_ADDED]
    yield from (f"column {name}: latest_table.table has another of that name" for name in taken)
    if contract.bounds.rows_max > NEWEST_ROWS_MOST:
        yield f"latest_table needs bounds.rows_max of {NEWEST_ROWS_MOST} at most"


def _stream_faults(contract: Contract) -> Iterator[str]:
    """What is wrong with a stream: it is sent, not fetched, in files that Pub/Sub cuts."""
    source, bounds = contract.source, contract.bounds
    if source.message is None:
        yield 'a stream needs source.message = "json"'
    if contract.schedule:
        yield "a stream is not fetched: leave out schedule"
    for name in ("hosts", "fetch", "shapes", "past_slots", "slices", "lookup_keys"):
        if getattr(source, name):
            yield f"a stream is not fetched: leave out source.{name}"
    if contract.late_until_hours is None:
        yield "a stream needs late_until_hours, else one message opens a slot of any age again"
    if contract.grace_minutes < STREAM_SECONDS / 60:
        yield (
            f"a stream needs grace_minutes of at least {STREAM_SECONDS // 60}: so long a file "
            "gathers messages"
        )
    if bounds.drop_max is not None:
        yield "a stream's files have any number of messages: leave out bounds.drop_max"
    if not bounds.rows_max >= STREAM_ROWS_LEAST:
        yield f"a stream needs bounds.rows_max of at least {STREAM_ROWS_LEAST}"
    if not STREAM_BYTES_LEAST <= bounds.bytes_max <= STREAM_BYTES_MOST:
        yield (
            f"a stream needs bounds.bytes_max of {STREAM_BYTES_LEAST} to {STREAM_BYTES_MOST}: a "
            "message may have ten million bytes"
        )


def _fetch_faults(contract: Contract) -> list[str]:
    """What is wrong with the schedule and the URLs of what is fetched."""
    faults = []
    if not croniter.is_valid(contract.schedule):
        faults.append(f"schedule {contract.schedule!r} is not unix cron")
    elif {0, "*"} & set(croniter.expand(contract.schedule)[0][0]):
        faults.append("schedule fires on the hour, when platforms fire twice: choose a minute")
    if contract.source.message is not None:
        faults.append(f"a {contract.kind} has no messages: leave out source.message")
    if not contract.source.fetch:
        faults.append(f"a {contract.kind} needs source.fetch, the URLs it is fetched from")
    if contract.source.lookup_keys and contract.bounds.rows_max > JOINED_ROWS_MOST:
        faults.append(
            f"source.lookup_keys holds the rows of a run in memory: bounds.rows_max of {JOINED_ROWS_MOST} "
            "at most"
        )
    faults += _key_faults(contract.source.key) if contract.source.key else ()
    for fetch in contract.source.fetch:
        if bool(fetch.urls) == bool(fetch.index) or bool(fetch.feeds) != bool(fetch.index):
            faults.append(f"source.fetch {fetch.name}: name urls, or an index and its feeds")
        for url in (*fetch.urls, *((fetch.index,) if fetch.index else ())):
            host = url.removeprefix("https://").partition("/")[0]
            if not url.startswith("https://") or host not in contract.source.hosts:
                faults.append(f"{url}: https only, and the host must stand in source.hosts")
    return faults


def _key_faults(key: Key) -> Iterator[str]:
    """What cannot be an id of a secret, or the name of a header that is the contract's to set."""
    if not _SECRET.fullmatch(key.secret):
        yield f"source.key: secret {key.secret!r} must be of the form {_SECRET.pattern}"
    if not _HEADER.fullmatch(key.header) or key.header.lower() in _OUR_HEADERS:
        yield f"source.key: header {key.header!r} is none that a key can be sent in"


_SECRET = re.compile(r"[a-z][a-z0-9-]{0,59}")

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*")

_OUR_HEADERS = ("accept", "accept-encoding", "user-agent", "host", "if-none-match")

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")

_BESIDE = ("run", "line", "file", "slot", "slot_start", "row_slot", "context")
"""Columns that split and the Spark job put beside those of a contract."""


def _slice_faults(contract: Contract) -> list[str]:
    """What is wrong with the placeholders of the URLs, and with the slices of a sliced source."""
    slices = contract.source.slices
    known = {"{slot}", "{start}", "{end}"} if slices else {"{slot}"}
    urls = [url for fetch in contract.source.fetch for url in fetch.urls]
    faults = [
        f"{url}: {name} is no placeholder; known are {', '.join(sorted(known))}"
        + ("" if slices else "; {start} and {end} need [source.slices]")
        for url in urls
        for name in sorted(set(_PLACEHOLDER.findall(url)) - known)
    ]
    if slices is None:
        return faults
    if not contract.refetchable:
        faults.append(
            f"a {contract.kind} cannot be fetched in slices: its publisher shows the present only; "
            "slices are for full_export and increments"
        )
    try:
        contract.calendar.parse(slices.first)
    except ValueError as error:
        return [*faults, f"source.slices.first: {error}"]
    return faults + [fault for url in urls if (fault := _unsliced(contract, slices, url))]


def _unsliced(contract: Contract, slices: Slices, url: str) -> str | None:
    """Why a URL does not tell one slice from the next; None where it does."""
    if "{slot}" in url:
        return None
    if "{start}" not in url or "{end}" not in url:
        return f"{url}: a slice's URL must name {{slot}}, or both {{start}} and {{end}}"
    if contract.address("{start}", slices.first) == contract.address("{end}", slices.first):
        return f"source.slices.time_format {slices.time_format!r} does not tell one {contract.slot_unit} from the next"
    return None
