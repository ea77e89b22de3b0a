"""The contract of a data set: one TOML file that infrastructure, steps, docs and tests read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from croniter import croniter

from catalog.records import JobColumn, JobContract, LakeTable, Origin, TableColumn
from catalog.runs import Run
from catalog.slots import Calendar, Unit
from catalog.time_format import Form

DATASETS = Path(__file__).parent / "datasets"

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


class ContractError(ValueError):
    """A contract that cannot be kept: names the file, the facet and the way out."""


class Kind(StrEnum):
    """How a source publishes; decides a row's slot and which parts count."""

    FULL_EXPORT = "full_export"
    DAILY_DROP = "daily_drop"
    INCREMENTS = "increments"
    SNAPSHOT = "snapshot"
    STREAM = "stream"

    @property
    def replaced(self) -> bool:
        """Whether the newest run of a slot counts alone, instead of all of them."""
        return self not in (Kind.SNAPSHOT, Kind.STREAM)

    @property
    def by_run(self) -> bool:
        """Whether a row's slot is that of its run, not of its time column."""
        return self in (Kind.DAILY_DROP, Kind.SNAPSHOT)


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the contract: an unknown key is an error, never ignored."""


class Url(_Strict, frozen=True, kw_only=True):
    """One way to fetch the data set: the files of one run, tried in the contract's order.

    `{slot}` in a URL stands for the slot that was asked for; of a sliced source `{start}` and
    `{end}` stand for the slice's first instant and the next one's. Where an `index` is named, a JSON
    document that tells where each feed lies, the files are its `feeds` and there are no `urls`.
    """

    name: str
    """What claims and events call this source."""
    urls: tuple[str, ...] = ()
    """Addresses of the files of one run, https only."""
    files: tuple[str, ...] = ()
    """What the files are called in raw, one for each address."""
    index: str | None = None
    """Address of a JSON document that tells where each feed lies, in place of `urls`."""
    feeds: tuple[str, ...] = ()
    """Names of the index's feeds, as GBFS has them: objects with `name` and `url`."""


class Shape(_Strict, frozen=True, kw_only=True):
    """Where a JSON document keeps its records: array at `array`, fields below `record`, both paths."""

    name: str
    """What records call it."""
    array: str = ""
    """Path of the array of records; empty where the document is the array."""
    record: str = ""
    """Path, in a record, below which its fields lie; empty where they lie in it."""


class Times(StrEnum):
    """The clock that the times in a URL are told by."""

    UTC = "utc"
    LOCAL = "local"
    """The contract's zone."""


class Slices(_Strict, frozen=True, kw_only=True):
    """A source that is fetched slot by slot: a slice is one slot, in the data set's own unit."""

    first: str
    """The slot of the first slice; the last is the slot of the run's time."""
    times: Times
    """Whose clock `{start}` and `{end}` are told by."""
    form: str = "%Y-%m-%dT%H:%M:%S"
    """How they are written, as `strftime` has it; an offset or a `Z` stands in the URL itself."""


class Key(_Strict, frozen=True, kw_only=True):
    """A publisher's key: a secret of the project, sent in a header to the contract's hosts alone."""

    secret: str
    """Its id in Secret Manager; which version is read stands in the stack's configuration."""
    header: str
    """The header it is sent in."""

    @property
    def setting(self) -> str:
        """The environment variable that holds it."""
        return "SECRET_" + self.secret.upper().replace("-", "_")


class Source(_Strict, frozen=True, kw_only=True):
    """Where the data comes from and what forms it may take: URLs, or messages of a stream."""

    hosts: tuple[str, ...] = ()
    """Hosts that may be asked, redirects included."""
    fetch: tuple[Url, ...] = ()
    """The sources, the first and its fallbacks."""
    message: Literal["json"] | None = None
    """What a message of a stream is: an object of JSON."""
    encodings: tuple[str, ...] = ("utf-8",)
    """Encodings of its texts, tried in order."""
    separator: str = ";"
    """What separates the fields of a CSV."""
    separators: tuple[str, ...] = ()
    """Further ones that files have had: that counts of which the header has most."""
    shapes: tuple[Shape, ...] = ()
    """Where JSON documents keep their records; without one JSON is refused."""
    past_slots: bool = False
    """Whether the URL names the slot, so that a past one can be fetched again."""
    stale_after_hours: float | None = None
    """How old the newest report of one of several sources may be before the next one is tried; None
    for `freshness_hours`."""
    key: Key | None = None
    """What the publisher knows us by, where it wants to."""
    slices: Slices | None = None
    """How the source is cut where the whole is too large for one fetch."""
    join: tuple[str, ...] = ()
    """Names of fields by which the files of a run are one table, the first that a record has: a JSON
    file that lacks a required column fills in the records of the others."""


class Bounds(_Strict, frozen=True, kw_only=True):
    """What a run must keep to, else it is refused; of a sliced source, what each slice must."""

    bytes_max: int
    """Most bytes of a run."""
    bytes_min: int = 1
    """Fewest bytes of a run."""
    rows_max: int
    """Most rows of a run."""
    rows_min: int = 1
    """Fewest rows of a run."""
    rows_whole: int | None = None
    """Fewest rows of the whole as its publisher has it: fewer of his are a page or a piece, and
    refused. A sample or what was made up may be a piece."""
    rejected_share: float = 0.05
    """Largest share of rejected rows in a run, and in a slot."""
    rejected_free: int = 20
    """So many rejected rows are borne whatever their share, but never more than half."""
    field_bytes_max: int = 131_072
    """Most bytes of a field; a longer one rejects its row."""
    ratio_max: float = 200.0
    """Largest ratio of decoded to sent bytes."""
    drop_max: float | None = None
    """Largest relative fall in rows against the run before; None for no bound."""
    drop_from: int = 1000
    """How many rows the run before must have had for a fall to count."""

    def least(self, origin: Origin) -> int:
        """Fewest rows that a run of an origin must have."""
        return max(self.rows_min, (self.rows_whole or 0) if origin is Origin.PUBLISHER else 0)

    def bears(self, rejected: int, rows: int) -> bool:
        """Whether so many rejected among so many rows are within the contract's share."""
        return rejected <= max(self.rejected_share * rows, min(self.rejected_free, rows / 2))

    def fell(self, rows: int, before: int) -> bool:
        """Whether a run of `rows` after one of `before` rows fell further than it may."""
        if self.drop_max is None or before < self.drop_from:
            return False
        return rows < before * (1 - self.drop_max)


class Column(_Strict, frozen=True, kw_only=True):
    """A column: its canonical name and every other name it has had.

    An alias may be a path: `point.lat` is a key of an object, or of the first in a list, `point#0` an item of a list or of a
    text separated by commas, `Name@2` the second column of that name, `one + other` the sum of columns.
    Case, accents, blanks and punctuation of a name do not matter, but for an `@` before it: in a
    stream `@message_id` and `@publish_time` are what Pub/Sub says of the message.
    """

    name: str
    """Its name in parts, frames and reasons."""
    type: str
    """One of the types below."""
    description: str
    """What it tells."""
    aliases: tuple[str, ...] = ()
    """Every other name it has had, or a path."""
    unit: str = ""
    """What it is measured in."""
    required: bool = False
    """The header must have it."""
    nullable: bool = True
    """Whether a row may leave it empty."""
    allowed: tuple[str, ...] = ()
    """The only values it may have; none named: any."""
    pattern: str | None = None
    """Regular expression that all of a value must be of."""
    minimum: float | str | None = None
    """Least value; of times the earliest, as ISO text."""
    maximum: float | str | None = None
    """Greatest value; of times the latest, as ISO text."""
    words: dict[str, str] = {}
    """What a publisher writes, in any case → the value that is meant."""
    mojibake: bool = False
    """Whether UTF-8 that was read as Windows-1252, once or more, is read as it was meant."""
    decimal: Literal[","] | None = None
    """What stands before the decimals of a `float` beside a point: `18,1`, and with blanks between
    thousands `1 234,5`."""
    form: str | None = None
    """How a `timestamp` or `date` is written where it is not ISO, in %d %m %Y %y %H %M %S and %z:
    local time of the contract's zone where there is no %z."""
    personal: bool = False
    """Refused: no step keeps what personal data need."""


class Place(_Strict, frozen=True, kw_only=True):
    """Two columns that tell a place, in degrees, and the box that all places lie in.

    What lies in it only with latitude and longitude exchanged is exchanged; what lies outside either
    way, as 0, 0 does, is emptied. Both are counted, and no row is lost for it.
    """

    latitude: str
    """Name of the column of latitudes."""
    longitude: str
    """Name of the column of longitudes."""
    south: float
    """Least latitude."""
    north: float
    """Greatest latitude."""
    west: float
    """Least longitude."""
    east: float
    """Greatest longitude."""

    def holds(self, latitude: float, longitude: float) -> bool:
        """Whether a place lies in the box."""
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


class Table(_Strict, frozen=True, kw_only=True):
    """A table of the lake; `slot_start` is added to its columns."""

    name: str
    """Its name in the lake."""
    description: str
    """What a row of it is."""
    columns: tuple[TableColumn, ...]
    """Its columns: name, type of BigQuery, description, mode, unit."""
    base: bool = False
    """Whether its rows reconcile with those that came in: one table has it."""
    partition: Literal["DAY", "MONTH", "YEAR"] = "MONTH"
    """Unit of its partitions: DAY, MONTH or YEAR."""
    cluster: tuple[str, ...] = ()
    """Columns it is clustered by."""


class Newest(_Strict, frozen=True, kw_only=True):
    """A table of `reports` that shows the newest run of a snapshot at once, before any batch."""

    table: str
    """Its name in `reports`."""
    description: str
    """What a row of it is."""
    key: tuple[str, ...]
    """Columns of which the table has one row for each value: that of the newest report."""


class Contract(_Strict, frozen=True, kw_only=True, dict=True):
    """Everything that is agreed about a data set."""

    dataset: str
    """Its name, that of the file."""
    title: str
    """Its title for readers."""
    description: str
    """What a row is."""
    publisher: str
    """Who publishes it."""
    homepage: str
    """Where it is described."""
    licence: str
    """SPDX name of the licence."""
    licence_url: str
    """Text of the licence."""
    attribution: str
    """How its source must be named."""
    system: str
    """The job and the folder of SQL that work on it."""
    kind: Kind
    """How it is published: full_export, daily_drop, increments, snapshot or stream."""
    zone: str
    """Zone of its clock, such as Europe/Paris: naive times and slots are told by it."""
    slot_unit: Unit
    """Unit of its slots: month, day, or hour (in a zone whose clocks never change, such as UTC)."""
    schedule: str = ""
    """Unix cron, read in UTC, off the hour; a stream has none."""
    freshness_hours: float
    """The objective: how old the last good fetch may be."""
    source: Source
    """Where it comes from."""
    bounds: Bounds
    """What a run must keep to."""
    columns: tuple[Column, ...]
    """Its columns."""
    key: tuple[str, ...]
    """Columns that tell a row: of rows with one key one counts."""
    tables: tuple[Table, ...]
    """Its lake tables."""
    time_column: str | None = None
    """The column that tells when: it makes the slot, but for daily_drop and snapshot."""
    late_until_hours: float | None = None
    """How long after its slot a row may come; None for any time."""
    grace_minutes: float = 0
    """How long after its end a slot of a snapshot or stream waits for rows."""
    lookback: int = 0
    """How many slots before are read as context."""
    ignored: tuple[str, ...] = ()
    """Names of columns that are known and not wanted."""
    require_one: tuple[tuple[str, ...], ...] = ()
    """Groups of columns of which a header must have at least one."""
    revised_by: tuple[str, ...] = ()
    """Columns that make a row of a known key a revised one; all of them where none is named."""
    places: tuple[Place, ...] = ()
    """Pairs of columns that are latitude and longitude."""
    newest: Newest | None = None
    """Where the newest run is shown without waiting for its slot; snapshots only."""
    retired: bool = False
    """Whether it is worked on no more."""

    @cached_property
    def calendar(self) -> Calendar:
        """How the data set cuts time."""
        return Calendar(self.slot_unit, ZoneInfo(self.zone))

    @cached_property
    def hash(self) -> str:
        """Hash of the whole contract, 16 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    @property
    def base(self) -> Table:
        """The table whose rows reconcile with the rows that came in."""
        return next(table for table in self.tables if table.base)

    @property
    def refetchable(self) -> bool:
        """Whether a message may name a past run or slot; never for snapshots and streams."""
        return self.kind.replaced and (self.kind is not Kind.DAILY_DROP or self.source.past_slots)

    @property
    def names_slots(self) -> bool:
        """Whether a fetch can ask for one slot alone."""
        return self.source.past_slots or self.source.slices is not None

    def address(self, url: str, slot: str | None) -> str:
        """A URL of the source for the slot that is asked for, its placeholders filled."""
        filled = url.replace("{slot}", slot or "")
        slices = self.source.slices
        if slices is None or slot is None:
            return filled
        for name, begin in (("{start}", slot), ("{end}", self.calendar.shift(slot, 1))):
            local = self.calendar.parse(begin)
            moment = local if slices.times is Times.LOCAL else local.astimezone(UTC)
            filled = filled.replace(name, quote(moment.strftime(slices.form), safe=":"))
        return filled

    def lake_tables(self) -> tuple[LakeTable, ...]:
        """The data set's tables as a manifest tells them, the one of its rejects included."""
        start = TableColumn(
            name="slot_start",
            type=self.calendar.slot_start_type,
            description=f"Start of the slot, a {self.slot_unit} in {self.zone}",
            mode="REQUIRED",
        )
        made = [
            LakeTable(
                name=table.name,
                dataset=self.dataset,
                base=table.base,
                columns=(start, *table.columns),
            )
            for table in self.tables
        ]
        rejects = LakeTable(
            name=f"{self.dataset}_rejects",
            dataset=self.dataset,
            base=False,
            columns=(start, *REJECT_COLUMNS),
        )
        return (*made, rejects)

    def for_job(self) -> JobContract:
        """What a Spark job is told of the contract."""
        columns = tuple(
            JobColumn(name=c.name, type=c.type, required=not c.nullable) for c in self.columns
        )
        return JobContract(
            zone=self.zone,
            slot_unit=self.slot_unit,
            kind=self.kind,
            columns=columns,
            key=self.key,
            hash=self.hash,
            revised_by=self.revised_by,
        )

    def closed(self, slot: str, now: datetime) -> bool:
        """Whether `slot` may be worked on at the instant `now`."""
        if self.kind.replaced:
            return True
        return self.calendar.end(slot) + timedelta(minutes=self.grace_minutes) <= now

    def too_late(self, slot: str, run: Run) -> bool:
        """Whether a row of `slot` comes after `late_until`; never for full exports or asked slots."""
        if self.late_until_hours is None or self.kind is Kind.FULL_EXPORT or run.asked:
            return False
        return run.time > self.calendar.end(slot) + timedelta(hours=self.late_until_hours)


REJECT_COLUMNS = (
    TableColumn(name="run", type="STRING", description="Run that the row came with"),
    TableColumn(name="line", type="INT64", description="Line of the row in its file, from 1"),
    TableColumn(name="reason", type="STRING", description="Why the row was rejected"),
    TableColumn(name="row", type="STRING", description="The row as JSON text"),
)

TYPES = ("text", "code", "integer", "float", "boolean", "timestamp", "date")
"""Types of a column. A `code` is text that a spreadsheet may have turned into `75001.0`."""

NEWEST_ADDED = ("fetched_at", "age_minutes", "sample_size", "run", "line", "data_as_of", "origin")
"""Columns that a table of newest rows has beside the contract's."""


def load(path: Path) -> Contract:
    """The contract in the TOML file at `path`; raises ContractError naming file and facet."""
    try:
        contract = msgspec.toml.decode(path.read_bytes(), type=Contract)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ContractError(f"{path.name}: {error}") from error
    faults = list(_faults(contract, path))
    if faults:
        raise ContractError(f"{path.name}: " + "; ".join(faults))
    return contract


def load_all(folder: Path = DATASETS) -> dict[str, Contract]:
    """Every contract of a folder by data set, in order of name."""
    contracts = {path.stem: load(path) for path in sorted(folder.glob("*.toml"))}
    refuse_shared_tables(contracts)
    return contracts


def refuse_shared_tables(contracts: dict[str, Contract]) -> None:
    """Raise ContractError where two data sets write one table of the lake, or show one."""
    owners: dict[str, str] = {}
    for contract in contracts.values():
        tables = [f"lake table {table.name}" for table in contract.lake_tables()]
        if contract.newest is not None:
            tables.append(f"newest.table {contract.newest.table}")
        for table in tables:
            other = owners.setdefault(table, contract.dataset)
            if other != contract.dataset:
                raise ContractError(
                    f"{contract.dataset}.toml: {table} belongs to {other}: name it otherwise"
                )


def systems(contracts: dict[str, Contract]) -> dict[str, tuple[Contract, ...]]:
    """The contracts that are not retired, by system."""
    found: dict[str, list[Contract]] = {}
    for contract in contracts.values():
        if not contract.retired:
            found.setdefault(contract.system, []).append(contract)
    return {system: tuple(members) for system, members in sorted(found.items())}


def _faults(contract: Contract, path: Path) -> list[str]:
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
    if not contract.kind.by_run and contract.time_column not in names:
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
    if column.form is None:
        return
    if column.type not in ("timestamp", "date"):
        yield f"{where}: form is for type timestamp or date, not {column.type}"
    try:
        form = Form(column.form)
    except ValueError as error:
        yield f"{where}: form {column.form!r}: {error}"
        return
    if column.type == "date" and form.offset:
        yield f"{where}: form {column.form!r}: a date has no %z; make it a timestamp"


def _place_faults(contract: Contract) -> Iterator[str]:
    """What is wrong with the places: columns that are none, and boxes that cannot tell them apart."""
    floats = {column.name for column in contract.columns if column.type == "float"}
    for place in contract.places:
        for name in (place.latitude, place.longitude):
            if name not in floats:
                yield f"places: {name!r} is not a column of type float"
        if not (place.south < place.north and place.west < place.east):
            yield f"places: the box of {place.latitude}, {place.longitude} is empty"
        elif max(place.south, place.west) <= min(place.north, place.east):
            yield (
                f"places: {place.latitude} and {place.longitude} share values in their box, so that "
                "they could not be told apart where they are exchanged: make it smaller"
            )


def _newest_faults(contract: Contract, names: list[str]) -> Iterator[str]:
    """What is wrong with the table that shows the newest run."""
    newest = contract.newest
    if newest is None:
        return
    if contract.kind is not Kind.SNAPSHOT:
        yield f"newest shows the newest run of a snapshot: a {contract.kind} has none"
    if contract.time_column is None:
        yield "newest needs time_column: of two rows of a key the newer is shown"
    for name in (newest.table, *names):
        if not _IDENTIFIER.fullmatch(name):
            yield f"newest: {name!r} cannot name a table or column: a-z, 0-9 and _ only"
    if not newest.key:
        yield "newest.key must name columns"
    yield from (f"newest.key {name!r} is not a column" for name in newest.key if name not in names)
    taken = [name for name in names if name in NEWEST_ADDED]
    yield from (f"column {name}: newest.table has another of that name" for name in taken)
    if contract.bounds.rows_max > NEWEST_ROWS_MOST:
        yield f"newest needs bounds.rows_max of {NEWEST_ROWS_MOST} at most"


def _stream_faults(contract: Contract) -> Iterator[str]:
    """What is wrong with a stream: it is sent, not fetched, in files that Pub/Sub cuts."""
    source, bounds = contract.source, contract.bounds
    if source.message is None:
        yield 'a stream needs source.message = "json"'
    if contract.schedule:
        yield "a stream is not fetched: leave out schedule"
    for name in ("hosts", "fetch", "shapes", "past_slots", "slices", "join"):
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
    if contract.source.join and contract.bounds.rows_max > JOINED_ROWS_MOST:
        faults.append(
            f"source.join holds the rows of a run in memory: bounds.rows_max of {JOINED_ROWS_MOST} "
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
        return f"source.slices.form {slices.form!r} does not tell one {contract.slot_unit} from the next"
    return None
