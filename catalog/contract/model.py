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
    """A contract has a fault: the text names the file, the field and the fix."""


class Kind(StrEnum):
    """How a source publishes; the kind decides the slot of a row and which parts count."""

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
        """Whether a row gets the slot of its run instead of the slot of its time column."""
        return self in (Kind.DAILY_DROP, Kind.SNAPSHOT)


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the contract: an unknown field is an error, never ignored."""


class FetchSpec(_Strict, frozen=True, kw_only=True):
    """One way to fetch the data set: the files of one run, tried in the contract's order.

    `{slot}` in a URL becomes the requested slot. In a source with slices, `{start}` becomes the first
    instant of the slice and `{end}` the first instant of the next slice. Set either `urls`, or an
    `index` and its `feeds`.
    """

    name: str
    """Name of this source in claims and events."""
    urls: tuple[str, ...] = ()
    """Addresses of the files of one run, https only."""
    files: tuple[str, ...] = ()
    """Names of the files in the raw bucket, one for each address or feed."""
    index: str | None = None
    """Address of a JSON document that lists the address of each feed; replaces `urls`."""
    feeds: tuple[str, ...] = ()
    """Names of the feeds to fetch. The index lists them as GBFS does: objects with `name` and `url`."""


class Shape(_Strict, frozen=True, kw_only=True):
    """Where a JSON document has its records: `array` and `record` are paths of keys with dots."""

    name: str
    """Name of the shape in split records."""
    array: str = ""
    """Path of the array of records; empty if the document itself is the array."""
    record: str = ""
    """Path from a record to the object with its fields; empty if the record has them itself."""


class Times(StrEnum):
    """The clock of the times in a URL."""

    UTC = "utc"
    LOCAL = "local"
    """The zone of the contract."""


class Slices(_Strict, frozen=True, kw_only=True):
    """A source that is fetched slot by slot: a slice is one slot, in the unit of the data set."""

    first: str
    """Slot of the first slice, such as `2019-01`; the last slice is the slot of the run's time."""
    times: Times
    """Clock of `{start}` and `{end}`: UTC, or local time in the zone of the contract."""
    time_format: str = "%Y-%m-%dT%H:%M:%S"
    """Format of `{start}` and `{end}` for `strftime`. Write an offset or a `Z` in the URL itself."""


class Key(_Strict, frozen=True, kw_only=True):
    """A publisher's key: a secret of the project, sent in a header to the contract's hosts only."""

    secret: str
    """Id of the secret in Secret Manager. The stack's configuration pins the version."""
    header: str
    """Name of the header that carries the key."""

    @property
    def setting(self) -> str:
        """The environment variable with the key."""
        return "SECRET_" + self.secret.upper().replace("-", "_")


class SourceSpec(_Strict, frozen=True, kw_only=True):
    """Where the data comes from and in which formats: files at URLs, or messages of a stream."""

    hosts: tuple[str, ...] = ()
    """Hosts that may be contacted, redirects included. A stream has none."""
    fetch: tuple[FetchSpec, ...] = ()
    """The sources in the order they are tried: the first and its fallbacks. A stream has none."""
    message: Literal["json"] | None = None
    """Format of a message, a JSON object. A stream needs it; other kinds have none."""
    encodings: tuple[str, ...] = ("utf-8",)
    """Text encodings, tried in order."""
    separator: str = ";"
    """Separator of the fields in a CSV file."""
    separators: tuple[str, ...] = ()
    """Further separators of a CSV file. The separator that occurs most often in the header is used."""
    shapes: tuple[Shape, ...] = ()
    """Where JSON documents have their records. Without a shape, JSON is refused."""
    past_slots: bool = False
    """Whether the URL names the slot, so that a past slot can be fetched again."""
    stale_after_hours: float | None = None
    """Age of the newest report above which the next source is tried, in hours. If not set,
    `freshness_hours` applies. A page's warning of stale data always uses `freshness_hours`."""
    key: Key | None = None
    """The key that the publisher requires, if it requires one."""
    slices: Slices | None = None
    """How to cut a source that is too large for one fetch."""
    lookup_keys: tuple[str, ...] = ()
    """Fields that join the files of a run into one table; the first field that a record has is used.
    A JSON file without a required column adds its values to the records of the other files."""


class Bounds(_Strict, frozen=True, kw_only=True):
    """Limits of a run: a run outside of them is refused. With slices, they apply to each slice."""

    bytes_max: int
    """Most bytes of a run."""
    bytes_min: int = 1
    """Fewest bytes of a run."""
    rows_max: int
    """Most rows of a run."""
    rows_min: int = 1
    """Fewest rows of a run."""
    min_rows_publisher: int | None = None
    """Fewest rows of a run that comes from the publisher, so that one page of the data does not pass for
    the whole. Samples and synthetic data may be smaller."""
    rejected_share: float = 0.05
    """Largest share of rejected rows in a run, and in a slot."""
    reject_allowance: int = 20
    """Number of rejected rows that is accepted at any share, up to half of the rows."""
    field_bytes_max: int = 131_072
    """Most bytes of one value; a longer value rejects its row."""
    ratio_max: float = 200.0
    """Largest ratio of decompressed bytes to downloaded bytes."""
    drop_max: float | None = None
    """Largest relative decrease in rows since the previous run; not set for no limit."""
    drop_from: int = 1000
    """Rows that the previous run must have had for `drop_max` to apply."""

    def min_rows_for(self, origin: Origin) -> int:
        """Return the fewest rows that a run must have.

        Args:
            origin: Where the rows of the run come from.

        Returns:
            `rows_min`, or `min_rows_publisher` if it is larger and the publisher sent the rows.
        """
        return max(
            self.rows_min, (self.min_rows_publisher or 0) if origin is Origin.PUBLISHER else 0
        )

    def accepts_rejects(self, rejected: int, rows: int) -> bool:
        """Return whether the rejected rows are few enough.

        Args:
            rejected: Number of rejected rows.
            rows: Number of all rows, the rejected rows included.

        Returns:
            True if `rejected` is within `rejected_share`, or within `reject_allowance` and half of
            the rows.
        """
        return rejected <= max(self.rejected_share * rows, min(self.reject_allowance, rows / 2))

    def dropped_too_far(self, rows: int, before: int) -> bool:
        """Return whether a run has too few rows compared with the previous run.

        Args:
            rows: Rows of the run.
            before: Rows of the previous accepted run.

        Returns:
            True if the relative decrease is larger than `drop_max`. False without `drop_max`, and if
            the previous run had fewer than `drop_from` rows.
        """
        if self.drop_max is None or before < self.drop_from:
            return False
        return rows < before * (1 - self.drop_max)


class Column(_Strict, frozen=True, kw_only=True):
    """A column: its canonical name and every other name it has had in the source.

    An alias may be a path:

    - `point.lat` is a key of an object, or of the first object in a list.
    - `point#0` is an item of a list, or of a text separated by commas.
    - `Name@2` is the second column with the name `Name`.
    - `one + other` is the sum of columns.
    - `@message_id` and `@publish_time` are attributes of a Pub/Sub message, in a stream.

    Case, accents, blanks and punctuation of a name do not matter, except an `@` at its start.
    """

    name: str
    """Canonical name, used in parts, Spark frames and reject reasons."""
    type: str
    """Type of the values; see [column types](#which-texts-a-column-type-accepts)."""
    description: str
    """Meaning of the column."""
    aliases: tuple[str, ...] = ()
    """Every other name of the column, or a path to its value."""
    unit: str = ""
    """Unit of measurement."""
    required: bool = False
    """Whether the header must have the column."""
    nullable: bool = True
    """Whether a row may leave the column empty."""
    allowed: tuple[str, ...] = ()
    """The only accepted values; if empty, every value is accepted."""
    pattern: str | None = None
    """Regular expression that the whole value must match."""
    minimum: float | str | None = None
    """Smallest value; for times, the earliest as ISO text."""
    maximum: float | str | None = None
    """Largest value; for times, the latest as ISO text."""
    value_map: dict[str, str] = {}
    """Text as published, in upper or lower case → the value to use."""
    mojibake: bool = False
    """Whether to fix UTF-8 text that was decoded as Windows-1252, once or several times."""
    decimal: Literal[","] | None = None
    """Further decimal mark of a `float`, in addition to the point: `18,1`, or `1 234,5` with blanks
    between thousands."""
    time_format: str | None = None
    """Format of a `timestamp` or `date` that is not ISO, from %d %m %Y %y %H %M %S and %z. Without %z,
    times are local times in the zone of the contract."""
    personal: bool = False
    """Must be false: no step supports personal data yet."""


class GeoPoint(_Strict, frozen=True, kw_only=True):
    """Two columns with a location in degrees, and the bounding box of all locations.

    If a location is in the box only with latitude and longitude swapped, the two are swapped. If it is
    outside of the box both ways, such as 0, 0, both are set to null. Both repairs are counted; neither
    rejects a row.
    """

    latitude: str
    """Name of the latitude column."""
    longitude: str
    """Name of the longitude column."""
    south: float
    """Smallest latitude, in degrees."""
    north: float
    """Largest latitude, in degrees."""
    west: float
    """Smallest longitude, in degrees."""
    east: float
    """Largest longitude, in degrees."""

    def holds(self, latitude: float, longitude: float) -> bool:
        """Return whether a location is in the box.

        Args:
            latitude: Latitude in degrees.
            longitude: Longitude in degrees.

        Returns:
            True if the location is in the box or on its border.
        """
        return self.south <= latitude <= self.north and self.west <= longitude <= self.east


class TableSpec(_Strict, frozen=True, kw_only=True):
    """A table of the lake. The column `slot_start` is added to it."""

    name: str
    """Name of the table in the lake."""
    description: str
    """What one row is."""
    columns: tuple[TableColumn, ...]
    """Columns of the table."""
    base: bool = False
    """Whether the rows of the table are reconciled with the rows that came in. Exactly one table has it."""
    partition: Literal["DAY", "MONTH", "YEAR"] = "MONTH"
    """Unit of the partitions."""
    cluster: tuple[str, ...] = ()
    """Columns that cluster the table."""


class LatestTable(_Strict, frozen=True, kw_only=True):
    """A table of `reports` with the newest run of a snapshot, published before any batch."""

    table: str
    """Name of the table in `reports`."""
    description: str
    """What one row is."""
    key: tuple[str, ...]
    """Columns that identify a row. Of several rows with one key, the newest report is published."""


class Contract(_Strict, frozen=True, kw_only=True, dict=True):
    """The contract of a data set; its fields come before the first section of the file."""

    dataset: str
    """Name of the data set; the same as the name of the file."""
    title: str
    """Title for readers."""
    description: str
    """What the data set contains, and what one row is."""
    publisher: str
    """Name of the publisher."""
    homepage: str
    """Web page that describes the data set."""
    licence: str
    """SPDX name of the licence."""
    licence_url: str
    """Web page with the text of the licence."""
    attribution: str
    """Attribution that the licence requires."""
    system: str
    """Name of the Spark job and of the SQL folder that process the data set."""
    kind: Kind
    """How the data set is published; see [kinds](adding-a-data-set.md#choosing-the-kind)."""
    zone: str
    """Time zone, such as Europe/Paris, of slots and of times without an offset."""
    slot_unit: Unit
    """Length of a slot. `hour` needs a zone without clock changes, such as UTC."""
    schedule: str = ""
    """Unix cron expression in UTC, not on the full hour. A stream has none; every other kind needs it."""
    freshness_hours: float
    """Freshness objective: highest age of the last accepted run, in hours."""
    source: SourceSpec
    """Where the data comes from."""
    bounds: Bounds
    """Limits of a run."""
    columns: tuple[Column, ...]
    """Columns of the source."""
    key: tuple[str, ...]
    """Columns that identify a row. Of several rows with one key, one counts."""
    tables: tuple[TableSpec, ...]
    """Tables of the lake."""
    time_column: str | None = None
    """Column with the time of a row. It decides the slot, except for `daily_drop` and `snapshot`; the other
    kinds need it."""
    late_until_hours: float | None = None
    """Hours after the end of a slot in which its rows are accepted; not set for any time. A stream needs
    it."""
    grace_minutes: float = 0
    """Minutes that a slot of a snapshot or stream waits for rows after its end."""
    lookback: int = 0
    """Number of earlier slots that the Spark job reads as context."""
    ignored: tuple[str, ...] = ()
    """Columns of the source that are not wanted."""
    require_one: tuple[tuple[str, ...], ...] = ()
    """Groups of columns. The header must have at least one column of each group."""
    revised_by: tuple[str, ...] = ()
    """Columns whose change makes a row with a known key a revised row; if empty, all columns."""
    geo_points: tuple[GeoPoint, ...] = ()
    """Pairs of latitude and longitude columns."""
    latest_table: LatestTable | None = None
    """Table that publishes the newest run without waiting for its slot; for snapshots only."""
    retired: bool = False
    """Whether the data set is no longer processed."""

    @cached_property
    def calendar(self) -> Calendar:
        """The calendar that cuts time into the slots of the data set."""
        return Calendar(self.slot_unit, ZoneInfo(self.zone))

    @cached_property
    def hash(self) -> str:
        """Hash of the whole contract, 16 hex digits."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    @property
    def base(self) -> TableSpec:
        """The table whose rows are reconciled with the rows that came in."""
        return next(table for table in self.tables if table.base)

    @property
    def refetchable(self) -> bool:
        """Whether a message may name a past run or slot; never for snapshots and streams."""
        return self.kind.newest_run_wins and (
            self.kind is not Kind.DAILY_DROP or self.source.past_slots
        )

    @property
    def names_slots(self) -> bool:
        """Whether a fetch can request one slot alone."""
        return self.source.past_slots or self.source.slices is not None

    def address(self, url: str, slot: str | None) -> str:
        """Return a URL of the source with its placeholders filled.

        Args:
            url: URL with `{slot}`, or with `{start}` and `{end}` if the source has slices.
            slot: The requested slot, such as `2024-05`; None for none.

        Returns:
            The URL to fetch.

        Raises:
            ValueError: If the source has slices and `slot` is not a slot of the data set.
        """
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
        """Return the lake tables of the data set as a manifest lists them.

        Returns:
            One entry per table with `slot_start` as its first column; the last entry is the table of
            rejected rows, `<dataset>_rejects`.
        """
        start = TableColumn(
            name="slot_start",
            type=self.calendar.slot_start_type,
            description=f"Start of the slot, a {self.slot_unit} in {self.zone}",
            mode="REQUIRED",
        )
        declared = [
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
        return (*declared, rejects)

    def for_job(self) -> JobContract:
        """Return what a Spark job needs of the contract.

        Returns:
            The zone, slots, kind, columns and keys, with the hash of the contract.
        """
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
        """Return whether a slot is closed: complete enough to be processed.

        Args:
            slot: A slot of the data set.
            now: An aware instant.

        Returns:
            True if the newest run counts alone. For snapshots and streams, True once the slot and
            its `grace_minutes` are over.

        Raises:
            ValueError: If `slot` is not a slot of the data set.
        """
        if self.kind.newest_run_wins:
            return True
        return self.calendar.end(slot) + timedelta(minutes=self.grace_minutes) <= now

    def too_late(self, slot: str, run: Run) -> bool:
        """Return whether a row of a slot comes too late in a run.

        Args:
            slot: The slot of the row.
            run: The run that fetched the row.

        Returns:
            True if the run is more than `late_until_hours` after the end of the slot. False without
            that field, for full exports, and for runs that requested one slot.

        Raises:
            ValueError: If `slot` is not a slot of the data set.
        """
        if self.late_until_hours is None or self.kind is Kind.FULL_EXPORT or run.requested_slot:
            return False
        return run.time > self.calendar.end(slot) + timedelta(hours=self.late_until_hours)


REJECT_COLUMNS = (
    TableColumn(name="run", type="STRING", description="Run that the row came with"),
    TableColumn(name="line", type="INT64", description="Line of the row in its file, from 1"),
    TableColumn(name="reason", type="STRING", description="Why the row was rejected"),
    TableColumn(name="row", type="STRING", description="The row as JSON text"),
)
