"""An hour and a day of Vélib' at a network's full rate, and what grows with their history.

Made-up snapshots (`local_cloud/generators`), six an hour, are put into landing directly: the
rows that `split` would cut, written as parts by the shipped code, with their split records. The
shipped `slot_contents` gives the manifest, the job is the shipped one on a warm session, and Spark
reports its input. Landing and lake are folders, so the store's own time is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import psutil

from bench.chain import machine
from bench.folder_bucket import FolderBucket
from bench.original import ChainFailedError, session
from bench.spent import Spent, measured
from catalog import object_names
from catalog.contract import Contract, load_all
from catalog.object_names import SplitKey
from catalog.records import Manifest, Origin, Outcome, Receipt, SplitRecord
from catalog.reports import load_reports
from catalog.runs import Run
from cost.statements import script
from functions.seal import slot_contents
from functions.split.part_writer import Parts
from functions.validation.slotting import SlottedBatch
from local_cloud.cloud import REPOSITORY
from local_cloud.dataproc.session import SparkServer
from local_cloud.dataproc.worker import BatchRequest
from local_cloud.generators.velib.layouts import rows
from local_cloud.generators.velib.snapshots import TICKS_A_DAY, Snapshot, StationNetwork, snapshots
from local_cloud.processes import cache_dir

DATASET, SYSTEM = "velib_stations", "velib"
STATIONS = 1_500
FIRST = datetime(2025, 4, 7, 0, 9, tzinfo=UTC)
"""The first tick of the history."""
_EVERY_SECONDS = 0.05
_JOBS = REPOSITORY / "dataproc_jobs"


@dataclass
class Cost:
    """Cost and input of a batch."""

    spent: Spent
    peak_bytes: int
    """Resident memory of Spark's processes at most: Python, and the JVM with a heap of 1 GB."""
    read_bytes: int
    read_rows: int
    parts: int
    rows_in: int
    written: dict[str, int] = field(default_factory=dict)
    """Lake table → bytes of its files."""


def run(stations: int, days: Sequence[int], repeat: int) -> int:
    """Measure an hour after each number of days of history, and one whole day; print; return 0."""
    contract = load_all()[DATASET]
    with tempfile.TemporaryDirectory(prefix="citypulse-bench-") as name:
        folder = Path(name)
        server, _ = session(folder, cache_dir())
        try:
            _say(machine())
            _say(f"{stations:,} stations, six snapshots an hour, synthetic\n")
            for line in _measured(folder, server, contract, stations, sorted(days), repeat):
                _say(line)
        finally:
            server.stop()
    return 0


def _measured(
    folder: Path, server: SparkServer, contract: Contract, stations: int, days: Sequence[int],
    repeat: int,
) -> Iterator[str]:  # fmt: skip
    """Yield the lines to print, each as soon as it is measured."""
    history = snapshots(StationNetwork(FIRST, stations))
    landing = Landing(folder / "landing", contract)
    yield "| batch | days of history | objects in landing | wall s | CPU s | peak MB | parts read | rows in | rows Spark read | bytes Spark read | bytes written |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    _once(
        folder, server, landing, [landing.add(next(history)) for _ in range(6)][:1]
    )  # not counted
    for wanted in days:
        count = wanted * TICKS_A_DAY - landing.snapshots
        for each in islice(history, count):
            landing.add(each)
        slots = [landing.add(each) for each in islice(history, 6)][:1]
        costs = [_once(folder, server, landing, slots) for _ in range(repeat)]
        yield _row("an hour", wanted, landing.objects, costs)
    last = FIRST + timedelta(days=days[-1])
    slots = [contract.calendar.slot(last - timedelta(hours=hour)) for hour in range(24, 0, -1)]
    whole = _once(folder, server, landing, slots)
    yield _row("a day in one batch (replay)", days[-1] - 1, landing.objects, [whole])
    yield from _stored(whole, days)


class Landing:
    """The bucket `landing` as a folder, with parts and records of made-up snapshots."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        """Use an empty folder."""
        self.folder = folder
        self.contract = contract
        self.snapshots = 0
        self.bucket: Any = FolderBucket(folder)
        self._columns = [column.name for column in contract.columns]

    @property
    def objects(self) -> int:
        """The number of objects: a part and a record for each snapshot."""
        return 2 * self.snapshots

    def add(self, snapshot: Snapshot) -> str:
        """Write a snapshot as `split` would; return its slot."""
        contract, run = self.contract, Run.at(snapshot.tick)
        slot, key = contract.calendar.slot(snapshot.tick), SplitKey(run, 0)
        batch = rows(snapshot, self._columns)
        with ThreadPoolExecutor(1) as pool:
            parts = Parts(self.bucket, contract.dataset, key, "try", contract.columns, pool)
            newest = {slot: float(snapshot.reported.max())}
            parts.add(SlottedBatch({slot: batch}, newest=newest, bytes=batch.nbytes))
            written = parts.finish(contract.bounds)
        # A folder's objects all have the generation 1.
        parts_written = tuple(msgspec.structs.replace(part, generation=1) for part in written)
        record = SplitRecord(
            dataset=contract.dataset, run=run.name, replay=0, outcome=Outcome.ACCEPTED,
            origin=Origin.SYNTHETIC, contract=contract.hash, rows_in=batch.num_rows, parts=parts_written,
        )  # fmt: skip
        name = object_names.split_record(contract.dataset, key)
        self.bucket.blob(name).upload_from_string(record.encode())
        self.snapshots += 1
        return slot

    def manifest(self, slots: Sequence[str], lake: Path) -> Manifest:
        """Return the manifest that `seal` would write for slots, with files for objects."""
        found = slot_contents.contents(self.bucket, self.contract, dict.fromkeys(slots, 0))
        contents = [each for each in found.values() if each is not None]
        return Manifest(
            id="bench", system=SYSTEM, sealed_at=FIRST.isoformat(), lake=lake.as_uri(),
            bytes=sum(each.bytes for each in contents),
            slots=tuple(
                msgspec.structs.replace(
                    each.parts,
                    parts=self._files(each.parts.parts),
                    context=self._files(each.parts.context),
                )
                for each in contents
            ),
            tables=self.contract.lake_tables(),
            contracts={DATASET: self.contract.for_job()},
        )  # fmt: skip

    def _files(self, objects: Sequence[str]) -> tuple[str, ...]:
        """Return the files of objects by their gs:// URIs."""
        prefix = f"gs://{self.bucket.name}/"
        return tuple(f"file://{self.folder}/{uri.removeprefix(prefix)}" for uri in objects)


def _once(folder: Path, server: SparkServer, landing: Landing, slots: Sequence[str]) -> Cost:
    """Run one batch of some slots; raise ChainFailedError if it fails."""
    lake, metrics = folder / "lake", folder / "metrics.json"
    shutil.rmtree(lake, ignore_errors=True)
    manifest = landing.manifest(slots, lake)
    file = folder / "manifest.json"
    file.write_bytes(manifest.encode())
    request = BatchRequest(
        "bench",
        (Path(__file__).parent / "metered_job.py").as_uri(),
        tuple(path.as_uri() for path in (*sorted(_JOBS.glob("batch*.py")), _JOBS / f"{SYSTEM}.py")),
        (SYSTEM, str(metrics), "--manifest", file.as_uri(), "--attempt", "1", "--batch", "bench"),
    )
    with _peak() as peak, measured() as spent:
        ended = server.run(request)
    if ended.state != "SUCCEEDED":
        raise ChainFailedError(f"the job: {ended.message}")
    read = json.loads(metrics.read_bytes())
    receipt = Receipt.decode((lake / object_names.receipt(SYSTEM, "bench")).read_bytes())
    parts = {uri for slot in manifest.slots for uri in (*slot.parts, *slot.context)}
    sizes = {table.name: _bytes(lake / table.name) for table in manifest.tables}
    rows_in = sum(each.rows_in for each in receipt.counts)
    return Cost(spent, peak[0], read["bytes"], read["rows"], len(parts), rows_in, sizes)


@contextmanager
def _peak() -> Iterator[list[int]]:
    """Measure the peak resident memory of this process's children while the body runs."""
    most, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(_EVERY_SECONDS):
            most[0] = max(most[0], _resident())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


def _resident() -> int:
    """Return the resident bytes of all processes below this one."""
    total = 0
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def _row(what: str, history: int, objects: int, costs: Sequence[Cost]) -> str:
    """Return a line of the first table: median seconds, highest peak, figures of the last run."""
    last = costs[-1]
    wall = statistics.median(each.spent.wall for each in costs)
    cpu = statistics.median(each.spent.cpu for each in costs)
    peak = max(each.peak_bytes for each in costs) / 1e6
    return (
        f"| {what} | {history} | {objects:,} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {last.parts} "
        f"| {last.rows_in:,} | {last.read_rows:,} | {last.read_bytes:,} "
        f"| {sum(last.written.values()):,} |"
    )


def _stored(day: Cost, days: Sequence[int]) -> Iterator[str]:
    """Yield the bytes that reports read after so many days of the measured size.

    A test checks that their predicates admit no more than they declare
    (`tests/integration/functions/test_stored_bytes.py`).
    """
    columns = " | ".join(f"after {count} d, bytes" for count in days)
    yield f"\n| report | window, days | {columns} |\n|---|---|{'---|' * len(days)}"
    sums = [0] * len(days)
    for report in load_reports(REPOSITORY / "bq_sql" / SYSTEM):
        read = [table for each in script(report.select).rest for table in each.tables]
        size = sum(day.written.get(table.removeprefix("lake."), 0) for table in read)
        window = report.declared.window_days
        found = [size * (count if window is None else min(count, window)) for count in days]
        sums = [total + each for total, each in zip(sums, found, strict=True)]
        if size:
            admitted = " | ".join(f"{each:,}" for each in found)
            yield f"| {report.name} | {window or 'all'} | {admitted} |"
    yield "| **all** | | " + " | ".join(f"{each:,}" for each in sums) + " |"
    sizes = ", ".join(f"{name} {size:,}" for name, size in day.written.items())
    yield f"\nbytes of a day in the lake: {sizes}"


def _say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)
