"""The contract of a data set: one TOML file that infrastructure, steps, docs and tests read."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from catalog.records import JobColumn, JobContract, LakeTable, Origin, TableColumn
from catalog.runs import Run
from catalog.slots import Calendar, Unit


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
    def newest_run_wins(self) -> bool:
        """Whether the newest run of a slot counts alone, instead of all of them."""
        return self not in (Kind.SNAPSHOT, Kind.STREAM)

    @property
    def slot_from_run(self) -> bool:
        """Whether a row's slot is that of its run, not of its time column."""
        return self in (Kind.DAILY_DROP, Kind.SNAPSHOT)


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the contract: an unknown key is an error, never ignored."""


class FetchSpec(_Strict, frozen=True, kw_only=True):
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
    time_format: str = "%Y-%m-%dT%H:%M:%S"
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


class SourceSpec(_Strict, frozen=True, kw_only=True):
    """Where the data comes from and what forms it may take: URLs, or messages of a stream."""

    hosts: tuple[str, ...] = ()
    """Hosts that may be asked, redirects included."""
    fetch: tuple[FetchSpec, ...] = ()
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
    lookup_keys: tuple[str, ...] = ()
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
    min_rows_publisher: int | None = None
    """Fewest rows of the whole as its publisher has it: fewer of his are a page or a piece, and
    refused. A sample or what was made up may be a piece."""
    rejected_share: float = 0.05
    """Largest share of rejected rows in a run, and in a slot."""
    reject_allowance: int = 20
    """So many rejected rows are borne whatever their share, but never more than half."""
    field_bytes_max: int = 131_072
    """Most bytes of a field; a longer one rejects its row."""
    ratio_max: float = 200.0
    """Largest ratio of decoded to sent bytes."""
    drop_max: float | None = None
    """Largest relative fall in rows against the run before; None for no bound."""
    drop_from: int = 1000
    """How many rows the run before must have had for a fall to count."""

    def min_rows_for(self, origin: Origin) -> int:
        """Fewest rows that a run of an origin must have."""
        return max(
            self.rows_min, (self.min_rows_publisher or 0) if origin is Origin.PUBLISHER else 0
        )

    def accepts_rejects(self, rejected: int, rows: int) -> bool:
        """Whether so many rejected among so many rows are within the contract's share."""
        return rejected <= max(self.rejected_share * rows, min(self.reject_allowance, rows / 2))

    def dropped_too_far(self, rows: int, before: int) -> bool:
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
    value_map: dict[str, str] = {}
    """What a publisher writes, in any case → the value that is meant."""
    mojibake: bool = False
    """Whether UTF-8 that was read as Windows-1252, once or more, is read as it was meant."""
    decimal: Literal[","] | None = None
    """What stands before the decimals of a `float` beside a point: `18,1`, and with blanks between
    thousands `1 234,5`."""
    time_format: str | None = None
    """How a `timestamp` or `date` is written where it is not ISO, in %d %m %Y %y %H %M %S and %z:
    local time of the contract's zone where there is no %z."""
    personal: bool = False
    """Refused: no step keeps what personal data need."""


class GeoPoint(_Strict, frozen=True, kw_only=True):
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


class TableSpec(_Strict, frozen=True, kw_only=True):
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


class LatestTable(_Strict, frozen=True, kw_only=True):
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
    source: SourceSpec
    """Where it comes from."""
    bounds: Bounds
    """What a run must keep to."""
    columns: tuple[Column, ...]
    """Its columns."""
    key: tuple[str, ...]
    """Columns that tell a row: of rows with one key one counts."""
    tables: tuple[TableSpec, ...]
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
    geo_points: tuple[GeoPoint, ...] = ()
    """Pairs of columns that are latitude and longitude."""
    latest_table: LatestTable | None = None
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
    def base(self) -> TableSpec:
        """The table whose rows reconcile with the rows that came in."""
        return next(table for table in self.tables if table.base)

    @property
    def refetchable(self) -> bool:
        """Whether a message may name a past run or slot; never for snapshots and streams."""
        return self.kind.newest_run_wins and (
            self.kind is not Kind.DAILY_DROP or self.source.past_slots
        )

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
            filled = filled.replace(name, quote(moment.strftime(slices.time_format), safe=":"))
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
        if self.kind.newest_run_wins:
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
