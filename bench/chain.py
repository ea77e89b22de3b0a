"""Publisher to report, compared with the original's chain: `nox -s bench -- chain`.

On the local cloud, a made-up export of 66 months is loaded. Then the publisher serves it with some
more sessions in its last month, which is the refresh. Both chains see the same two files; sessions of Spark are warm.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec

from bench import original
from bench.original import ChainFailedError
from bench.spent import Spent, measured
from catalog.contract import load_all
from catalog.records import Manifest, Receipt
from local_cloud.cloud import LocalCloud
from local_cloud.dataproc.worker import BatchRequest
from local_cloud.generators.wifi.usage import Export, generate_rows, write
from local_cloud.processes import cache_dir
from local_cloud.publishers import Answer
from local_cloud.pubsub.service import ReceivedMessage

DATASET, SYSTEM = "paris_wifi_usage", "paris_wifi"
FIRST, LAST = date(2019, 7, 1), date(2024, 12, 31)
"""66 months, in Paris."""
ROWS = 300_000
"""Default number of sessions of the first load: some minutes on two cores."""
_SHARE = 500
"""One session of so many is added for the refresh."""
_START = datetime(2025, 1, 6, tzinfo=UTC)
_SECONDS = 3_000.0
"""How long a way through the chain may take on a slow or busy machine."""
_BY_MONTH = """
    SELECT FORMAT_TIMESTAMP('%Y-%m', started_at, 'UTC') AS month, COUNT(*) AS sessions
    FROM lake.wifi_sessions WHERE slot_start >= DATE '2012-01-01' GROUP BY month
"""
_KINDS = {
    "java": "spark", "spark_worker": "spark", "functions_framework": "functions",
    "functions-framework": "functions", "gunicorn": "functions", "bigquery": "bigquery",
    "fake-gcs-server": "storage",
}  # fmt: skip


@dataclass(frozen=True)
class Moved:
    """Bytes of one run of our chain by zone, and the rows and bytes that jobs read of them."""

    raw: int
    landing: int
    lake: int
    spark_rows: int
    loaded: int


@dataclass(frozen=True)
class Costs:
    """Cost of one run of our chain: to the lake's tables, and from there to the reports."""

    chain: Spent
    reports: Spent
    steps: dict[str, float]
    moved: Moved


def run(rows: int) -> int:
    """Run both chains twice and print the results; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="citypulse-bench-") as name:
        folder = Path(name)
        exports = generate_exports(folder, rows)
        _say(machine())
        _say(f"synthetic exports: {', '.join(_size(export) for export in exports)}\n")
        started, theirs = _original(folder / "original", exports)
        with cloud() as ours:
            here = [once(ours, day, export) for day, export in enumerate(exports)]
            _agree(ours, original.rows_by_month(folder / "original"))
    for line in _lines(theirs, here, started):
        _say(line)
    return 0


def _agree(ours: LocalCloud, theirs: Counter[str]) -> None:
    """Raise ChainFailedError unless both chains have the same sessions in every month of UTC.

    The original's months are months of UTC (W7).
    """
    found = Counter({row["month"]: row["sessions"] for row in ours.rows(_BY_MONTH)})
    if found != theirs:
        raise ChainFailedError(f"sessions by month differ: ours {found}, the original's {theirs}")


def generate_exports(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write an export of 66 months, and the same with more sessions in its last month."""
    first, second = folder / "first.csv", folder / "refresh.csv"
    with first.open("wb") as sink:
        write(Export(rows, 1, FIRST, LAST), sink)
    shutil.copyfile(first, second)
    more = generate_rows(Export(max(1, rows // _SHARE), 2, date(2024, 12, 9), date(2024, 12, 20)))
    with second.open("ab") as sink:
        sink.write(more.partition(b"\r\n")[2])
    return first, second


def cloud() -> LocalCloud:
    """Return the local cloud with the settings of the bench, not yet entered."""
    return LocalCloud(
        start=_START, origins={"*": "synthetic"}, settle_seconds=_SECONDS, long_batches=True
    )


def once(ours: LocalCloud, day: int, export: Path) -> Costs:
    """Run our whole chain on an export: the schedule fires, the steps run, reports are built.

    Raises ChainFailedError if a step leaves the chain or a report is not published.
    """
    ours.publishers.serve(load_all()[DATASET].source.fetch[0].urls[0], Answer(export))
    ours.scheduler.jump_to(_START + timedelta(days=day, hours=3, minutes=26))
    if day == 0:
        _warm(ours)
    steps: dict[str, float] = defaultdict(float)
    ours.pubsub.on_publish("events", lambda message: _count(steps, message))
    before = _moved(ours)
    with measured(_KINDS) as chain:
        ours.scheduler.run_until(ours.clock.now() + timedelta(minutes=2))
    with measured(_KINDS) as reports:
        runs = ours.scheduler.run_queries()
    failed = [str(run.error) for run in runs if not run.ok]
    states = [batch.state.name for batch in ours.dataproc.batches()]
    if failed or states != ["SUCCEEDED"] * (day + 1):
        raise ChainFailedError(f"our chain: batches {states}, reports {failed}")
    return Costs(chain, reports, dict(steps), _more(before, _moved(ours)))


def _warm(ours: LocalCloud) -> None:
    """Wait until the session's own warm-up is over."""
    idle = ours.folder / "idle.py"
    idle.write_text('"""Nothing: it waits for the warm-up."""\n', encoding="utf-8")
    ours.spark.run(BatchRequest("idle", idle.as_uri()))


def _count(steps: dict[str, float], message: ReceivedMessage) -> None:
    """Add an event's seconds to its step's."""
    event = msgspec.json.decode(message.data)
    steps[event["step"]] += event.get("seconds") or 0.0


def _moved(ours: LocalCloud) -> Moved:
    """Return the present sizes and counts of all zones."""
    sizes = {zone: dict(_sizes(ours, zone)) for zone in ("raw", "landing", "lake")}
    manifests = [
        Manifest.decode(ours.read("landing", name) or b"")
        for name in sizes["landing"]
        if name.startswith("manifests/")
    ]
    receipts = [
        Receipt.decode(ours.read("lake", name) or b"")
        for name in sizes["lake"]
        if name.startswith("receipts/")
    ]
    files = [file for receipt in receipts for each in receipt.written for file in each.files]
    raw, landing, lake = (sum(sizes[zone].values()) for zone in ("raw", "landing", "lake"))
    return Moved(
        raw,
        landing,
        lake,
        spark_rows=sum(slot.rows_in for manifest in manifests for slot in manifest.slots),
        loaded=sum(sizes["lake"][file.split("/", 3)[3]] for file in files),
    )


def _sizes(ours: LocalCloud, zone: str) -> Iterator[tuple[str, int]]:
    """Yield the objects of a zone with their bytes."""
    return ((blob.name, int(blob.size or 0)) for blob in ours.bucket(zone).list_blobs())


def _more(before: Moved, after: Moved) -> Moved:
    """Return the difference; seal deletes its markers, which are empty."""
    return Moved(**{n: getattr(after, n) - getattr(before, n) for n in Moved.__annotations__})


def _original(folder: Path, exports: Sequence[Path]) -> tuple[Spent, list[original.Costs]]:
    """Run the original's chain on both exports."""
    folder.mkdir()
    server, started = original.session(folder, cache_dir())
    try:
        return started, [original.run(export, folder, server) for export in exports]
    finally:
        server.stop()


def _lines(
    theirs: Sequence[original.Costs], ours: Sequence[Costs], started: Spent
) -> Iterator[str]:
    """Yield the results as the tables of docs/benchmarks.md."""
    yield "| way | | first load, wall s | CPU s | refresh, wall s | CPU s |"
    yield "|---|---|---|---|---|---|"
    yield _row("original", "pandas split", [each.split for each in theirs])
    yield _row("original", "Spark job", [each.spark for each in theirs])
    yield _row("original", "**all**", [_sum(each.split, each.spark) for each in theirs])
    yield _row("citypulse", "publisher to lake tables", [each.chain for each in ours])
    yield _row("citypulse", "reports", [each.reports for each in ours])
    yield _row("citypulse", "**all**", [_sum(each.chain, each.reports) for each in ours])
    yield f"\nSession start, in neither: {started.wall:.1f} s wall, {started.cpu:.1f} s CPU"
    for name, costs in zip(("first load", "refresh"), ours, strict=True):
        yield f"{name}: seconds reported by steps {_seconds(costs.steps)}"
        yield f"{name}: CPU by process {_seconds(costs.chain.cpu_by)}"
    yield "\n| citypulse | first load | refresh | share |"
    yield "|---|---|---|---|"
    for field in Moved.__annotations__:
        first, again = (getattr(each.moved, field) for each in ours)
        yield f"| {field} | {first:,} | {again:,} | {again / first:.1%} |"
    yield f"\noriginal: {theirs[0].written_bytes:,} and {theirs[1].written_bytes:,} bytes of CSV out"


def _row(way: str, what: str, spent: Sequence[Spent]) -> str:
    return f"| {way} | {what} | " + " | ".join(f"{s.wall:.1f} | {s.cpu:.1f}" for s in spent) + " |"


def _sum(one: Spent, other: Spent) -> Spent:
    return Spent(one.wall + other.wall, Counter(one.cpu_by) + Counter(other.cpu_by))


def _seconds(by: Mapping[str, float]) -> str:
    """Return seconds by name, the most first."""
    most = sorted(by.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in most if seconds >= 0.05)


def _size(export: Path) -> str:
    with export.open("rb") as file:
        lines = sum(1 for _ in file)
    return f"{lines - 1:,} rows, {export.stat().st_size:,} bytes"


def machine() -> str:
    """Return the time, the machine and its load."""
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    now = datetime.now(UTC)
    return f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores {platform.machine()}, load {load}"


def _say(line: str) -> None:
    """Print at once."""
    print(line, flush=True)
