"""One attempt to split a run: write its parts and rejects, then its record."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from google.api_core.exceptions import NotFound
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract, Kind
from catalog.object_names import SplitKey
from catalog.records import Claim, FileReport, Origin, Outcome, Part, RawFile, SplitRecord
from functions.core import gcs, run_history
from functions.core.clients import Buckets
from functions.core.contracts import is_slot
from functions.core.errors import PermanentError
from functions.parsing.batch import TextBatch
from functions.parsing.csv.blocks import Block
from functions.parsing.file_reader import FileReader
from functions.parsing.header import RunRefusedError
from functions.parsing.lookup_join import LookupTable
from functions.split.part_writer import Parts
from functions.split.prefetch import prefetch
from functions.split.rejects import Rejects
from functions.validation.block_cut import BlockCutter
from functions.validation.slotting import LATE

_READ_BYTES = 1 << 20

_REASONS = 5

_SAMPLE_CHARACTERS = 120

THREADS = 2
"""As many as the function has processors; what they do for long, they do without Python's lock."""

_SECONDS = 480.0
"""How long the files of a run are read: the rest of a function's time is for what follows."""


def remediation(contract: Contract, reason: str) -> str:
    """What a contract may say where a reason is that a value is no number or time; else nothing.

    In brackets, after a blank. The reason itself is the same as the Spark job's, and cannot tell it.
    """
    name, _, fault = reason.partition(": ")
    column = next((column for column in contract.columns if column.name == name), None)
    if column is None:
        return ""
    if fault == "not a number" and column.decimal is None:
        return f' (of {name}, decimal = "," reads 18,1)'
    if fault in ("not a timestamp", "not a date") and column.time_format is None:
        return f' (of {name}, time_format = "%d/%m/%Y" or the like reads what is not ISO)'
    return ""


class SplitAttempt:
    """One try at splitting a run."""

    def __init__(
        self, contract: Contract, claim: Claim, key: SplitKey, zones: Buckets, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Nothing is read yet; the time allowed, in seconds of `clock`, begins."""
        self._clock = clock
        self._end = clock() + _SECONDS
        self._contract = contract
        self._claim = claim
        self._key = key
        self._zones = zones
        attempt = uuid.uuid4().hex[:12]
        self._pool = ThreadPoolExecutor(THREADS)
        self._parts = Parts(
            zones.landing, contract.dataset, key, attempt, contract.columns, self._pool
        )
        self._rejects = Rejects(zones.quarantine, contract.dataset, key, attempt)
        self._reports: list[FileReport] = []
        self._origins = {claim.origin}
        self._no_slot: dict[str, int] = {}
        self._repaired: Counter[str] = Counter()
        self._beside: RawFile | None = None
        self._rows = 0

    def record(self) -> SplitRecord:
        """The record that now stands: this try's, or that of another which was first."""
        with self._pool, ExitStack() as undo:
            undo.callback(self._parts.abandon)
            undo.callback(self._rejects.abandon)
            made = self._made()
            if made.outcome is Outcome.ACCEPTED:
                self._mark(made.parts)
            else:
                self._parts.abandon()
            # From here on an error may hide a record that stands and names what was written.
            written = undo.pop_all()
        name = object_names.split_record(self._contract.dataset, self._key)
        standing = gcs.create(self._zones.landing, name, made.encode())
        if standing != made.encode():
            written.close()
        return SplitRecord.decode(standing)

    def _made(self) -> SplitRecord:
        """The record of this try: every part written, or none and a reason."""
        reason = None
        parts: tuple[Part, ...] = ()
        try:
            found, others = self._joined()
            for file in others:
                self._read(file, found)
            self._rest(found)
            self._keep_bounds()
            self._expect_left()
            parts = self._parts.finish(self._contract.bounds)
        except RunRefusedError as refused:
            reason = str(refused)
        return SplitRecord(
            dataset=self._contract.dataset,
            run=self._key.run.name,
            replay=self._key.replay,
            outcome=Outcome.REFUSED if reason else Outcome.ACCEPTED,
            origin=Origin.worst(self._origins),
            contract=self._contract.hash,
            rows_in=self._rows,
            files=tuple(self._reports),
            parts=parts,
            no_slot=dict(sorted(self._no_slot.items())),
            repaired=dict(sorted(self._repaired.items())),
            rejected=dict(sorted(self._rejects.reasons.items())),
            samples=dict(sorted(self._rejects.samples.items())),
            quarantine=self._rejects.finish(),
            reason=reason,
        )

    def _joined(self) -> tuple[LookupTable | None, tuple[RawFile, ...]]:
        """The file that fills in the others, where the contract joins them, and those others."""
        files = self._claim.files
        if not self._contract.source.lookup_keys or len(files) == 1:
            return None, files
        for at, raw in enumerate(files):
            file, source = self._opened(raw)
            found = file.as_lookup(source.chunks())
            if found is not None:
                self._report(file, raw, source)
                self._beside = raw
                return found, files[:at] + files[at + 1 :]
        return None, files

    def _read(self, raw: RawFile, found: LookupTable | None) -> None:
        """Cut one file into the parts, its records filled in with what was `found` beside it."""
        file, source = self._opened(raw)
        file.beside = found
        try:
            self._cut(file.batches(source.chunks()), raw)
        finally:
            self._origins |= file.origins
            self._report(file, raw, source)

    def _rest(self, found: LookupTable | None) -> None:
        """Reject what lies beside the other files and none of them has."""
        if found is not None and self._beside is not None:
            self._cut(iter([found.unmatched()]), self._beside)

    def _cut(self, batches: Iterator[TextBatch | Block], raw: RawFile) -> None:
        """Cut batches of a file into the parts."""
        name = raw.object.rpartition("/")[2]
        cutter = BlockCutter(self._contract, self._key.run)
        for cut in prefetch(self._pool, cutter.cut, self._kept(batches, self._place(raw))):
            for reject in cut.rejects:
                self._rejects.add(reject.line, reject.reason, reject.slot, reject.text, name)
                if reject.slot is None:
                    self._no_slot[reject.reason] = self._no_slot.get(reject.reason, 0) + 1
            self._repaired += cut.repaired
            self._parts.add(cut)

    def _opened(self, raw: RawFile) -> tuple[FileReader, _Bytes]:
        """A file of the run and its bytes, not read yet."""
        where = self._place(raw)
        file = FileReader(raw.object, where, self._contract, self._pool)
        return file, _Bytes(self._zones.raw, raw, where)

    def _place(self, raw: RawFile) -> str:
        """How sentences name a file."""
        name = raw.object.rpartition("/")[2]
        return f"{self._contract.dataset} {self._key.run.name} {name}"

    def _report(self, file: FileReader, raw: RawFile, source: _Bytes) -> None:
        """Note how the header of a file met the contract, as far as it was read."""
        report = file.report(raw.generation, source.sha256)
        if report is not None:
            self._reports.append(report)

    def _kept(
        self, batches: Iterator[TextBatch | Block], where: str
    ) -> Iterator[TextBatch | Block]:
        """The batches, as long as rows and time are within their bounds."""
        for batch in batches:
            self._rows += batch.count
            self._keep_rows_max(where)
            self._keep_time(where)
            yield batch

    def _keep_rows_max(self, where: str) -> None:
        most = self._contract.bounds.rows_max
        if self._rows > most:
            raise RunRefusedError(
                f"{where}: more than the {most} rows of the contract; raise bounds.rows_max if the "
                "data set has grown"
            )

    def _keep_time(self, where: str) -> None:
        if self._clock() > self._end:
            raise RunRefusedError(
                f"{where}: not split within {_SECONDS:g} seconds, after {self._rows} rows; fetch "
                "the data set in slices, or lower bounds.bytes_max so that it is refused early"
            )

    def _expect_left(self) -> None:
        """Have a part, if without a row, of every slot that the run had before this replay.

        Rows that moved would otherwise stand in their old slot too, which nothing would work on.
        """
        if not self._key.replay:
            return
        before = run_history.earlier_split(self._zones.landing, self._contract.dataset, self._key)
        for part in before.parts if before else ():
            if is_slot(self._contract, part.slot):
                self._parts.ensure_slot(part.slot)

    def _keep_bounds(self) -> None:
        """Raise RunRefused when the run as a whole breaks a bound of the contract."""
        bounds = self._contract.bounds
        where = self._where
        least = bounds.min_rows_for(self._claim.origin)
        if self._rows < least:
            raise RunRefusedError(
                f"{where}: the file has {self._rows} rows of data, the contract expects at least "
                f"{least}; wait for the next run, or ask the publisher"
            )
        reasons = dict(self._rejects.reasons)
        # A late message says nothing of those it came with.
        late = reasons.pop(LATE, 0) if self._contract.kind is Kind.STREAM else 0
        bad = self._rejects.count - late
        if not bounds.accepts_rejects(bad, self._rows - late):
            worst = sorted(reasons.items(), key=lambda item: -item[1])[:_REASONS]
            counts = ", ".join(f"{reason} ({count})" for reason, count in worst)
            raise RunRefusedError(
                f"{where}: {bad} of {self._rows} rows are rejected, more than the contract bears "
                f"(a share of {bounds.rejected_share:g}): {counts}; see the rows in quarantine"
                f"{self._sample(worst[0][0])}, correct the contract"
                f"{remediation(self._contract, worst[0][0])} and replay the run"
            )
        self._keep_drop()

    def _sample(self, reason: str) -> str:
        """The first row that was rejected for a reason, where it was kept, for a sentence."""
        sample = " ".join(self._rejects.samples.get(reason, "").split())
        cut = sample[:_SAMPLE_CHARACTERS]
        return f", first {cut}{' …' if cut != sample else ''}" if sample else ""

    def _keep_drop(self) -> None:
        """Raise RunRefused when the run has far fewer rows than the accepted one before it."""
        bounds = self._contract.bounds
        run = self._key.run
        if bounds.drop_max is None:
            return
        before = run_history.accepted_split(self._zones.landing, self._contract.dataset, run)
        if before is not None and bounds.dropped_too_far(self._rows, before.rows_in):
            raise RunRefusedError(
                f"{self._where}: {self._rows} rows after {before.rows_in} in {before.run}, a fall "
                f"of more than {bounds.drop_max:.0%}; raise bounds.drop_max if it is right, and replay the run"
            )

    @property
    def _where(self) -> str:
        files = ", ".join(file.object.rpartition("/")[2] for file in self._claim.files)
        return f"{self._contract.dataset} {self._key.run.name} {files}"

    def _mark(self, parts: tuple[Part, ...]) -> None:
        """Mark the slots that changed, and those after them whose work reads them."""
        calendar = self._contract.calendar
        reach = range(self._contract.lookback + 1)
        slots = {calendar.shift(p.slot, step) for p in parts if not p.held for step in reach}
        for slot in sorted(slots):
            name = object_names.marker(self._contract.dataset, slot, self._key)
            gcs.create(self._zones.landing, name, b"{}")


class _Bytes:
    """The bytes of a raw file."""

    def __init__(self, raw: Bucket, file: RawFile, where: str) -> None:
        """`where` names the file in sentences."""
        self.sha256 = ""
        """Of the whole file, once it was read to its end."""
        self._blob = raw.blob(file.object, generation=file.generation)
        self._file = file
        self._where = where

    def chunks(self) -> Iterator[bytes]:
        """The bytes as they were claimed; raises Permanent where they are gone."""
        digest = hashlib.sha256()
        file = self._file
        try:
            with self._blob.open("rb", chunk_size=4 * _READ_BYTES) as source:
                while chunk := source.read(_READ_BYTES):
                    digest.update(chunk)
                    yield chunk
        except NotFound as error:
            raise PermanentError(
                f"{self._where}: {file.object} of generation {file.generation} is gone from raw; "
                "fetch the run again"
            ) from error
        self.sha256 = digest.hexdigest()
        if file.sha256 and self.sha256 != file.sha256:
            raise OSError(
                f"{self._where}: {file.object} was not read as it was written; it is tried again"
            )
