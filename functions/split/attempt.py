"""One attempt to split a run: write its parts and rejects, then its record."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack

from google.api_core.exceptions import NotFound
from google.cloud.storage import Bucket

from catalog import object_names
from catalog.contract import Contract
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
from functions.split.bounds import check_drop, check_rejects, check_row_count
from functions.split.part_writer import Parts
from functions.split.prefetch import prefetch
from functions.split.rejects import Rejects
from functions.validation.block_cut import BlockCutter

_READ_BYTES = 1 << 20

THREADS = 2
"""As many as the function has processors; their long work releases Python's lock."""

_SECONDS = 480.0
"""How long the files of a run may be read: the rest of a function's time is for the steps after."""


def split_run(
    contract: Contract, claim: Claim, key: SplitKey, buckets: Buckets, *,
    clock: Callable[[], float] = time.monotonic,
) -> SplitRecord:  # fmt: skip
    """Split a run and write its record; return the record that is stored.

    That is the record of this attempt, or of another attempt that was first.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return SplitAttempt(contract, claim, key, buckets, pool, clock=clock).record()


class SplitAttempt:
    """One attempt to split a run."""

    def __init__(
        self, contract: Contract, claim: Claim, key: SplitKey, buckets: Buckets, pool: Executor, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Start the clock of the allowed time; read nothing yet. `pool` runs the work."""
        self._clock = clock
        self._end = clock() + _SECONDS
        self._contract = contract
        self._claim = claim
        self._key = key
        self._buckets = buckets
        self._pool = pool
        attempt = uuid.uuid4().hex[:12]
        self._parts = Parts(buckets.landing, contract.dataset, key, attempt, contract.columns, pool)
        self._rejects = Rejects(buckets.quarantine, contract.dataset, key, attempt)
        self._reports: list[FileReport] = []
        self._origins = {claim.origin}
        self._no_slot: dict[str, int] = {}
        self._repaired: Counter[str] = Counter()
        self._rows = 0

    def record(self) -> SplitRecord:
        """Write the record of this attempt if there is none yet; return the one that is stored."""
        with ExitStack() as undo:
            undo.callback(self._parts.abandon)
            undo.callback(self._rejects.abandon)
            own = self._write_parts()
            if own.outcome is Outcome.ACCEPTED:
                self._mark(own.parts)
            else:
                self._parts.abandon()
            # From here on an error may hide a stored record that names what was written.
            written = undo.pop_all()
        name = object_names.split_record(self._contract.dataset, self._key)
        stored = gcs.create(self._buckets.landing, name, own.encode())
        if stored != own.encode():
            written.close()
        return SplitRecord.decode(stored)

    def _write_parts(self) -> SplitRecord:
        """Write every part, or none and a reason; return the record that names them."""
        reason = None
        parts: tuple[Part, ...] = ()
        try:
            self._read_files()
            self._check_bounds()
            self._ensure_earlier_slots()
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

    def _read_files(self) -> None:
        """Read the files into the parts; reject lookup rows that no file uses."""
        files = self._claim.files
        lookup, lookup_file = self._find_lookup()
        for raw in files:
            if raw is not lookup_file:
                self._read(raw, lookup)
        if lookup is not None and lookup_file is not None:
            self._add(iter([lookup.unmatched()]), lookup_file)

    def _find_lookup(self) -> tuple[LookupTable | None, RawFile | None]:
        """Find the file that fills in the others, if the contract joins files."""
        files = self._claim.files
        if not self._contract.source.lookup_keys or len(files) == 1:
            return None, None
        for raw in files:
            file, source = self._open(raw)
            lookup = file.as_lookup(source.chunks())
            if lookup is not None:
                self._report(file, raw, source)
                return lookup, raw
        return None, None

    def _read(self, raw: RawFile, lookup: LookupTable | None) -> None:
        """Read one file into the parts, its records filled in from the lookup table."""
        file, source = self._open(raw, lookup)
        try:
            self._add(file.batches(source.chunks()), raw)
        finally:
            self._origins |= file.origins
            self._report(file, raw, source)

    def _add(self, batches: Iterator[TextBatch | Block], raw: RawFile) -> None:
        """Split batches of a file by slot and add them to the parts."""
        name = raw.object.rpartition("/")[2]
        cutter = BlockCutter(self._contract, self._key.run)
        for cut in prefetch(self._pool, cutter.cut, self._within_bounds(batches, raw)):
            for reject in cut.rejects:
                self._rejects.add(reject.line, reject.reason, reject.slot, reject.text, name)
                if reject.slot is None:
                    self._no_slot[reject.reason] = self._no_slot.get(reject.reason, 0) + 1
            self._repaired += cut.repaired
            self._parts.add(cut)

    def _open(
        self, raw: RawFile, lookup: LookupTable | None = None
    ) -> tuple[FileReader, _RawBytes]:
        """Return a reader of a file and its bytes, both unread."""
        where = self._file_label(raw)
        file = FileReader(raw.object, where, self._contract, self._pool, lookup=lookup)
        return file, _RawBytes(self._buckets.raw, raw, where)

    def _file_label(self, *files: RawFile) -> str:
        """Return how error texts name files: data set, run, names."""
        names = ", ".join(file.object.rpartition("/")[2] for file in files)
        return f"{self._contract.dataset} {self._key.run.name} {names}"

    def _report(self, file: FileReader, raw: RawFile, source: _RawBytes) -> None:
        """Store how the header of a file matched the contract, as far as it was read."""
        report = file.report(raw.generation, source.sha256)
        if report is not None:
            self._reports.append(report)

    def _within_bounds(
        self, batches: Iterator[TextBatch | Block], raw: RawFile
    ) -> Iterator[TextBatch | Block]:
        """Yield the batches, as long as rows and time are within their bounds."""
        where = self._file_label(raw)
        for batch in batches:
            self._rows += batch.count
            self._check_rows_max(where)
            self._check_time(where)
            yield batch

    def _check_rows_max(self, where: str) -> None:
        most = self._contract.bounds.rows_max
        if self._rows > most:
            raise RunRefusedError(
                f"{where}: more than the {most} rows of the contract; raise bounds.rows_max if the "
                "data set has grown"
            )

    def _check_time(self, where: str) -> None:
        if self._clock() > self._end:
            raise RunRefusedError(
                f"{where}: not split within {_SECONDS:g} seconds, after {self._rows} rows; fetch "
                "the data set in slices, or lower bounds.bytes_max so that it is refused early"
            )

    def _ensure_earlier_slots(self) -> None:
        """Create a part, even without a row, of every slot that the run had before this replay.

        Otherwise rows that moved would also remain in their old slot, which nothing would process.
        """
        if not self._key.replay:
            return
        before = run_history.earlier_split(self._buckets.landing, self._contract.dataset, self._key)
        for part in before.parts if before else ():
            if is_slot(self._contract, part.slot):
                self._parts.ensure_slot(part.slot)

    def _check_bounds(self) -> None:
        """Raise RunRefusedError if the run as a whole breaks a bound of the contract."""
        contract = self._contract
        where = self._file_label(*self._claim.files)
        check_row_count(self._rows, contract.bounds.min_rows_for(self._claim.origin), where)
        check_rejects(contract, self._rows, self._rejects.reasons, self._rejects.samples, where)
        if contract.bounds.drop_max is not None:
            landing, run = self._buckets.landing, self._key.run
            before = run_history.accepted_split(landing, contract.dataset, run)
            check_drop(contract.bounds, self._rows, before, where)

    def _mark(self, parts: tuple[Part, ...]) -> None:
        """Write markers of the slots that changed, and of later slots whose work reads them."""
        calendar = self._contract.calendar
        reach = range(self._contract.lookback + 1)
        slots = {calendar.shift(p.slot, step) for p in parts if not p.held for step in reach}
        for slot in sorted(slots):
            name = object_names.marker(self._contract.dataset, slot, self._key)
            gcs.create(self._buckets.landing, name, b"{}")


class _RawBytes:
    """The bytes of a raw file."""

    def __init__(self, raw: Bucket, file: RawFile, where: str) -> None:
        """`where` names the file in error texts."""
        self.sha256 = ""
        """Hash of the whole file, once it was read to its end."""
        self._blob = raw.blob(file.object, generation=file.generation)
        self._file = file
        self._where = where

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the claimed generation; raise PermanentError if it is gone."""
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
