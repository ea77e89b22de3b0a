"""`python -m bench split`: the shipped split compared with other ways, as table and JSON.

The JSON goes to `build/bench/`. `python -m bench chain` compares the whole chain with the original's: see `bench.chain`; `python -m bench
velib` an hour and a day of snapshots, and what grows with history: see `bench.velib`; `python -m bench
gate` a call through the local cloud's gate and past it; `python -m bench poison` simulates a file that
kills `split`: see `bench.poison`; `python -m bench warehouse` calls of the local cloud's BigQuery
compared with local-bigquery as released; `python -m bench chart` draws what the split's runs left.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench import chain, chart, gate, poison, serve, velib, warehouse
from bench.ways import WAYS
from infra_pulumi.environment import ARROW_MEMORY
from local_cloud.generators.wifi.layouts import ExportLayout
from local_cloud.generators.wifi.usage import Export, RowOrder, write

BUILD = Path(__file__).parents[1] / "build" / "bench"
_EVERY_SECONDS = 0.02
_MEGA = 1e6


@dataclass(frozen=True)
class Result:
    """One way on one export: medians of its runs after a warm-up, and the highest peak."""

    way: str
    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float
    """Memory of the process tree with its scratch files; of its own process for `function`."""
    output_megabytes: float
    leaves_out: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    split = commands.add_parser("split", help="an export cut by month")
    split.add_argument("--rows", type=int, default=1_500_000)
    split.add_argument(
        "--repeat", type=int, default=3, help="runs that count, after one that does not"
    )
    split.add_argument("--order", type=RowOrder, default=RowOrder.RANDOM, choices=list(RowOrder))
    split.add_argument(
        "--layout", type=ExportLayout, default=ExportLayout.LABELS, choices=list(ExportLayout)
    )
    split.add_argument("--ways", default=",".join(WAYS), help="names, separated by commas")
    whole = commands.add_parser(
        "chain", help="publisher to report, compared with the original's chain"
    )
    whole.add_argument("--rows", type=int, default=chain.ROWS)
    bikes = commands.add_parser(
        "velib", help="an hour and a day of snapshots, after days of others"
    )
    bikes.add_argument("--stations", type=int, default=velib.STATIONS)
    bikes.add_argument("--days", type=int, nargs="+", default=(1, 60), help="days of history")
    bikes.add_argument("--repeat", type=int, default=3, help="runs of each hour, one comes before")
    served = commands.add_parser("serve", help="the API, with many readers at once")
    served.add_argument("--readers", type=int, default=50)
    served.add_argument("--each", type=int, default=10, help="requests of each reader")
    served.add_argument("--repeat", type=int, default=9, help="pages that are measured alone")
    passed = commands.add_parser("gate", help="a call through the gate, compared with one past it")
    passed.add_argument("--calls", type=int, default=1000)
    commands.add_parser("poison", help="a file that kills split, next to healthy ones (simulated)")
    called = commands.add_parser("warehouse", help="calls of the local cloud's BigQuery")
    called.add_argument("--repeat", type=int, default=5, help="calls that count, after the first")
    drawn = commands.add_parser("chart", help="what `split` left, as a picture")
    drawn.add_argument("results", nargs="+", type=Path, help="its JSON files")
    drawn.add_argument("--out", type=Path, default=Path("docs/benchmarks.svg"))
    options = parser.parse_args(arguments)
    if options.command == "chart":
        chart.draw(options.results, options.out)
        return 0
    if options.command == "chain":
        return chain.run(options.rows)
    if options.command == "velib":
        return velib.run(options.stations, options.days, options.repeat)
    if options.command == "gate":
        return gate.run(options.calls)
    if options.command == "poison":
        return poison.run()
    if options.command == "warehouse":
        return warehouse.run(options.repeat)
    if options.command == "serve":
        return serve.run(options.readers, options.each, options.repeat)
    export = _export(Export(rows=options.rows, order=options.order, layout=options.layout))
    results = [_result(way, export, options.repeat) for way in options.ways.split(",")]
    _report(export, results)
    return 0


def _export(export: Export) -> Path:
    """Return the export as a file; write it if it is not there."""
    path = BUILD / f"usage-{export.layout}-{export.order}-{export.rows}.csv"
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            write(export, file)
        part.rename(path)
    return path


def _result(way: str, export: Path, repeat: int) -> Result:
    """Run one way once as a warm-up, then as often as it counts."""
    runs = [_run(way, export) for _ in range(repeat + 1)][1:]
    return Result(
        way=way,
        wall_seconds=statistics.median(run["wall"] for run in runs),
        cpu_seconds=statistics.median(run["cpu"] for run in runs),
        peak_megabytes=max(run["peak"] for run in runs) / _MEGA,
        output_megabytes=runs[-1]["output"] / _MEGA,
        leaves_out=WAYS[way].leaves_out,
    )


def _run(way: str, export: Path) -> dict[str, float]:
    """Run one way in a process of its own; return its figures."""
    folder = BUILD / "out"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    process = psutil.Popen(
        [sys.executable, "-m", "bench.ways", way, str(export), str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | ARROW_MEMORY,
    )  # fmt: skip
    peak = 0
    while True:
        try:
            process.wait(_EVERY_SECONDS)
            break
        except psutil.TimeoutExpired:
            peak = max(peak, _memory(process) + _bytes(folder / "scratch"))
    figures: dict[str, float] = json.loads(process.stdout.read())
    figures["peak"] = figures["own_peak_bytes"] if way == "function" else peak
    figures["output"] = _bytes(folder) - _bytes(folder / "raw")
    shutil.rmtree(folder)
    return figures


def _memory(process: psutil.Process) -> int:
    """Return the resident bytes of a process and all below it."""
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            total += each.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _report(export: Path, results: list[Result]) -> None:
    """Print a table and write it as JSON."""
    size = export.stat().st_size
    print(f"{export.name}: {size / _MEGA:,.0f} MB; {os.cpu_count()} cores, {platform.machine()}")
    print("| way | wall s | CPU s | peak MB | output MB | leaves out |\n|---|---|---|---|---|---|")
    for r in results:
        print(
            f"| {r.way} | {r.wall_seconds:.2f} | {r.cpu_seconds:.2f} | {r.peak_megabytes:.0f} "
            f"| {r.output_megabytes:.0f} | {r.leaves_out} |"
        )
    document = {"export": export.name, "bytes": size, "results": [asdict(r) for r in results]}
    path = BUILD / f"{export.stem}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
