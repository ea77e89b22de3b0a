"""The records that steps leave for each other, and the telemetry message: `format: 1`.

Every record is JSON. A reader refuses a record of a newer format, so that an old function that is
still running during a deployment stops instead of guessing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import ClassVar, Self

import msgspec

FORMAT = 1


class NewerFormatError(ValueError):
    """A record was written by a newer release than the one that reads it."""


class Origin(StrEnum):
    """Where rows come from; travels from the run to the reports."""

    PUBLISHER = "publisher"
    SAMPLE = "sample"
    SYNTHETIC = "synthetic"

    @classmethod
    def worst(cls, origins: Iterable[Origin]) -> Origin:
        """Return the origin of mixed rows: synthetic if any is, else sample if any is.

        Raises ValueError if there are none.
        """
        return max(origins, key=list(cls).index)


class Outcome(StrEnum):
    """The result of a run."""

    ACCEPTED = "accepted"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON document with its format."""

    what: ClassVar[str] = "record"
    format: int = FORMAT

    def encode(self) -> bytes:
        """Return the record as JSON: keys in declared order, same bytes for same values."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, body: bytes | str) -> Self:
        """Read the record in `body`.

        Raises NewerFormatError, or msgspec.ValidationError that names the field.
        """
        head = msgspec.json.decode(body, type=_Head)
        if head.format > FORMAT:
            raise NewerFormatError(
                f"{cls.what}: format {head.format} is newer than {FORMAT}, which this release "
                "reads: deploy the release that wrote it"
            )
        return msgspec.json.decode(body, type=cls)


class _Head(msgspec.Struct):
    """The one field that every format has."""

    format: int


class RawFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it came from the publisher."""

    object: str
    generation: int
    url: str
    status: int
    bytes: int
    sha256: str
    headers: dict[str, str]


OUTCOME = "outcome"
"""The metadata of a claim's object with its outcome, so that a list suffices to know it."""


class Claim(Record, frozen=True, kw_only=True):
    """A run: what was fetched. Written last by `download`, only if absent."""

    what: ClassVar[str] = "claim"
    dataset: str
    run: str
    outcome: Outcome
    origin: Origin
    source: str
    """Name of the contract's source that answered."""
    fetched_at: str
    """Publish time of the message that requested the run, ISO UTC."""
    files: tuple[RawFile, ...] = ()
    attempt: str = ""
    reason: str | None = None
    same_as: str | None = None
    """The run whose bytes these are, where the outcome is unchanged."""
    next_slice: str | None = None
    """The slot of the slice that is requested after this one, if the run comes in slices."""
    newest: str | None = None
    """Newest report of what was fetched, ISO UTC, where fallbacks were compared by it."""
    passed_over: dict[str, str] = {}
    """Source that was tried and not used → why."""

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata that a list of objects shows of the claim."""
        return {OUTCOME: self.outcome.value}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one run in one slot."""

    slot: str
    object: str
    generation: int
    rows: int
    bytes: int
    hash: str
    """Hash of the rows' values in order and of the rejects' reasons and texts, hex."""
    rejected: dict[str, int] = {}
    held: bool = False
    """More than the contract's share was rejected: the part does not count."""
    newest: str | None = None
    """Newest event time among its rows, ISO UTC, where the contract names a time column."""


class FileReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one file's header met the contract."""

    object: str
    encoding: str
    shape: str
    """`csv` or the JSON shape that fitted."""
    header: tuple[str, ...]
    aliases: dict[str, str]
    """Canonical name → name seen, where they differ."""
    unknown_columns: dict[str, str]
    """Name seen → a sample of its values, cut."""
    missing_columns: tuple[str, ...] = ()
    """Columns that the contract knows, does not require, and did not find."""
    generation: int = 0
    sha256: str = ""
    """Hash of the bytes that were read: a stream's file has no claim with it."""


class SplitRecord(Record, frozen=True, kw_only=True):
    """A split: the parts of a run. Written last by `split`, only if absent."""

    what: ClassVar[str] = "split record"
    dataset: str
    run: str
    replay: int
    outcome: Outcome
    origin: Origin
    contract: str
    """Hash of the contract the split was made by."""
    rows_in: int = 0
    files: tuple[FileReport, ...] = ()
    parts: tuple[Part, ...] = ()
    no_slot: dict[str, int] = {}
    """Rejected rows that have no slot, by reason."""
    repaired: dict[str, int] = {}
    """Number of values that differ from what the publisher wrote, by column and repair."""
    rejected: dict[str, int] = {}
    """Every rejected row by reason, with a slot or without, those of a refused run too."""
    samples: dict[str, str] = {}
    """File, line and beginning of the first row rejected for a reason; all are in quarantine."""
    quarantine: str | None = None
    reason: str | None = None


class SlotParts(msgspec.Struct, frozen=True, kw_only=True):
    """One slot that a manifest works on."""

    dataset: str
    slot: str
    slot_start: str
    version: str
    revision: str
    origin: Origin
    parts: tuple[str, ...]
    """gs:// URIs of the parts that count, in run order."""
    context: tuple[str, ...] = ()
    """gs:// URIs of the parts of the slots before it (lookback): read, never written."""
    rows_in: int = 0
    """Rows of the runs that count, accepted and rejected."""
    rejected: dict[str, int] = {}
    """What the splits rejected, by reason."""
    newest: str | None = None
    run: str = ""


class TableColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of a lake table, in BigQuery's types."""

    name: str
    """Name of the column."""
    type: str
    """Type of the column in BigQuery, such as STRING, INT64 or TIMESTAMP."""
    description: str
    """Meaning of the column."""
    mode: str = "NULLABLE"
    """REQUIRED if the column is never null, else NULLABLE."""
    unit: str = ""
    """Unit of measurement."""


class LakeTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table that a batch writes, as the manifest lists it."""

    name: str
    dataset: str
    base: bool
    columns: tuple[TableColumn, ...]


class JobColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a part, as the manifest describes it to the job."""

    name: str
    type: str
    required: bool = False


class JobContract(msgspec.Struct, frozen=True, kw_only=True):
    """What a job needs of a data set's contract."""

    zone: str
    slot_unit: str
    kind: str
    columns: tuple[JobColumn, ...]
    key: tuple[str, ...]
    hash: str
    revised_by: tuple[str, ...] = ()
    """Columns whose change makes a row with a known key a revised row; if empty, all columns."""


class Manifest(Record, frozen=True, kw_only=True):
    """The input of one Spark batch. Written by `seal`, only if absent."""

    what: ClassVar[str] = "manifest"
    id: str
    system: str
    sealed_at: str
    """Publish time of the message that sealed it, ISO UTC."""
    lake: str
    """gs:// URI of the lake bucket."""
    bytes: int
    slots: tuple[SlotParts, ...]
    tables: tuple[LakeTable, ...]
    contracts: dict[str, JobContract]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch wrote for one slot of one table, zeros included."""

    table: str
    dataset: str
    slot: str
    rows: int
    files: tuple[str, ...] = ()


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the rows of one slot went: rows in = base rows out + rejected + duplicates."""

    dataset: str
    slot: str
    rows_in: int
    rows_out: int
    rejected: dict[str, int] = {}
    duplicates: int = 0
    revised: int = 0


class Receipt(Record, frozen=True, kw_only=True):
    """What a batch wrote. Written last by the job, only if absent."""

    what: ClassVar[str] = "receipt"
    id: str
    system: str
    batch: str
    job: str
    attempt: int
    seconds: float
    written: tuple[Written, ...]
    counts: tuple[Counts, ...]


RESENT_AT = "at"
"""The metadata of a resend record's object with its time, so that a sweep lists and reads none."""


class ResendRecord(Record, frozen=True, kw_only=True):
    """The record of one resend by the sweep. Written before the message is sent, only if absent."""

    what: ClassVar[str] = "resend record"
    at: str
    """Publish time of the sweep's own message, ISO UTC."""
    call: str
    """The call of the sweep that sends it; random, so that two calls never both send."""

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata that a list of objects shows of the record."""
        return {RESENT_AT: self.at}


class Event(Record, frozen=True, kw_only=True):
    """Telemetry of one step: the log line, and the message to topic `events`. Never the truth."""

    what: ClassVar[str] = "event"
    event_id: str
    at: str
    """Publish time of the message that the step worked on, ISO UTC."""
    step: str
    outcome: str
    severity: str = "INFO"
    message: str = ""
    dataset: str | None = None
    system: str | None = None
    run: str | None = None
    slot: str | None = None
    version: str | None = None
    object: str | None = None
    rows: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    detail: str | None = None
    """Further facts as JSON text."""
