"""`python -m local_cloud demo`, `… try DATASET FILE…`, `… export …` and `… snapshots …`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path
from typing import TextIO

from catalog.contract import ContractError
from catalog.pages import PageError
from catalog.records import Origin
from catalog.reports import ReportError, load_reports
from local_cloud.cli import demo, trial
from local_cloud.cli.declarations import read_declarations
from local_cloud.cli.pictures import write_pages
from local_cloud.cloud import REPOSITORY, LocalCloud
from local_cloud.generators.velib.layouts import export as snapshot_export
from local_cloud.generators.velib.layouts import gbfs
from local_cloud.generators.velib.snapshots import TICKS_A_DAY, StationNetwork, snapshots
from local_cloud.generators.wifi.faults import Fault
from local_cloud.generators.wifi.layouts import ExportLayout
from local_cloud.generators.wifi.usage import Export, RowOrder, write
from local_cloud.pubsub.service import ReceivedMessage

_PATIENCE_SECONDS = 3_600.0
"""How long `try` waits until a run is loaded: a large file on a busy machine takes long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local_cloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _demo_options(commands.add_parser("demo", help="the pipeline from publisher to report"))
    _try_options(commands.add_parser("try", help="your own files through the real steps"))
    _export_options(commands.add_parser("export", help="a made-up Paris Wi-Fi usage export"))
    _snapshot_options(commands.add_parser("snapshots", help="made-up snapshots of Vélib' stations"))
    options = parser.parse_args(arguments)
    return int(options.run(options))


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--serve", action="store_true",
        help="keep the local cloud and the pages and API of its reports up until Ctrl-C",
    )  # fmt: skip
    parser.add_argument("--live", metavar="DATASET", help="fetch from the real publisher instead")
    parser.set_defaults(run=lambda options: demo.run(serve=options.serve, live=options.live))


def _try_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="name of a contract in catalog/datasets")
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="files in the order served; A+B is one run of two, FILE@2017-05-31 sets the run's time",
    )  # fmt: skip
    parser.add_argument("--query", action="append", default=[], help="SQL to run at the end")
    parser.add_argument(
        "--root", action="append", default=[], type=Path, metavar="FOLDER",
        help="a further folder with data sets, reports and pages",
    )  # fmt: skip
    parser.add_argument(
        "--origin", type=Origin, choices=list(Origin), default=Origin.SAMPLE,
        help="origin that the rows declare; for a made-up file, synthetic",
    )  # fmt: skip
    parser.add_argument(
        "--pages", type=Path, metavar="FOLDER",
        help="write the pages and a picture of each chart with rows, as they are at the end",
    )  # fmt: skip
    parser.set_defaults(run=_try)


def _try(options: argparse.Namespace) -> int:
    """Run `try`: write one JSON document to standard output, all else to standard error."""
    document = sys.stdout
    with redirect_stdout(sys.stderr):
        try:
            _write_results(options, document)
        except (trial.TrialError, ContractError, ReportError, PageError) as error:
            print(f"try: {error}", file=sys.stderr)
            return 2
        except TimeoutError as error:
            print(
                f"try: gave up waiting: {error}; the output above has what was done",
                file=sys.stderr,
            )
            return 1
    return 0


def _write_results(options: argparse.Namespace, out: TextIO) -> None:
    """Write the document of `try`, and the pages if the user wants them.

    The document comes first: if a page fails, the document is there already.
    """
    roots = tuple(root.resolve() for root in options.root)
    declared = read_declarations([REPOSITORY, *roots])
    contracts = declared.contracts
    if options.dataset not in contracts:
        raise trial.TrialError(
            f"{options.dataset!r} is no data set; there are: {', '.join(sorted(contracts))}"
        )
    runs = trial.timed([trial.parse(text) for text in options.files], datetime.now(UTC))
    contract = contracts[options.dataset]
    _refuse_broken_reports([root / "bq_sql" / contract.system for root in (REPOSITORY, *roots)])
    if options.pages:
        _make_folder(options.pages)
    start = min(served.time for served in runs if served.time)
    with LocalCloud(
        start=start, roots=roots, origins={"*": options.origin}, settle_seconds=_PATIENCE_SECONDS
    ) as cloud:
        cloud.pubsub.on_publish("events", _log)
        document = trial.try_files(cloud, contract, runs, options.query, options.origin)
        json.dump(document, out, ensure_ascii=False, indent=2, default=str)
        print(file=out, flush=True)
        for failure in document["failures"]:
            print(f"try: {failure['step']} {failure['name']}: {failure['reason']}", file=sys.stderr)
        if options.pages:
            write_pages(cloud.bigquery, cloud.clock.now(), declared, options.pages)


def _make_folder(folder: Path) -> None:
    """Make a folder before anything runs; raise TrialError naming what is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise trial.TrialError(f"--pages {folder}: {error.strerror}; give a folder") from error


def _refuse_broken_reports(folders: Iterable[Path]) -> None:
    """Raise ReportError for the first report that cannot be read, before anything starts."""
    for folder in folders:
        if (folder / "tables").is_dir():
            load_reports(folder)


def _export_options(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--rows", type=int, help="how many sessions")
    size.add_argument("--bytes", type=int, help="about how many bytes instead")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the file to make")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other sessions")
    parser.add_argument("--first", type=_day, default="2019-01-01", help="first day in Paris")
    parser.add_argument("--last", type=_day, default="2024-12-31", help="last day in Paris")
    parser.add_argument("--order", type=RowOrder, choices=list(RowOrder), default=RowOrder.RANDOM)
    parser.add_argument(
        "--layout", type=ExportLayout, choices=list(ExportLayout), default=ExportLayout.LABELS
    )
    parser.add_argument(
        "--faults", type=float, default=0.0, metavar="SHARE", help="share of rows with each fault"
    )
    parser.set_defaults(run=_export)


def _day(text: str) -> date:
    """Parse a day in ISO 8601."""
    return date.fromisoformat(text)


def _export(options: argparse.Namespace) -> int:
    """Run `export`: write the file, and on standard error what is in it."""
    faults = dict.fromkeys(Fault, options.faults) if options.faults else {}
    try:
        export = Export(
            options.rows or 0, options.seed, options.first, options.last, options.order,
            options.layout, faults,
        )  # fmt: skip
        export = export if options.bytes is None else export.sized(options.bytes)
    except ValueError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    with options.out.open("wb") as sink:
        tally = write(export, sink)
    found = {str(fault): count for fault, count in sorted(tally.faults.items())}
    print(
        f"{options.out}: synthetic, {tally.rows:,} rows, {tally.bytes:,} bytes, "
        f"{len(tally.months)} months, faults {found}",
        file=sys.stderr,
    )
    return 0


def _snapshot_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stations", type=int, default=1_500, help="how many stations, 1,500 by default"
    )
    parser.add_argument(
        "--days", type=float, default=1.0, help="for how many days, six snapshots an hour"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="made if need be")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other movement")
    parser.add_argument("--first", type=_day, default="2025-06-05", help="first day, UTC")
    parser.add_argument("--gbfs", action="store_true", help="the pair of GBFS, not the export")
    parser.set_defaults(run=_snapshots)


def _snapshots(options: argparse.Namespace) -> int:
    """Run `snapshots`: write one or two files for each tick, named by its time."""
    first = datetime.combine(options.first, time(0, 9), UTC)
    try:
        ticks = snapshots(StationNetwork(first, options.stations, options.seed))
        options.out.mkdir(parents=True, exist_ok=True)
        for each in islice(ticks, round(options.days * TICKS_A_DAY)):
            name = each.tick.strftime("%Y%m%dT%H%M%SZ")
            pair = gbfs(each) if options.gbfs else (snapshot_export(each),)
            for kind, body in zip(_FEEDS if options.gbfs else ("stations",), pair, strict=True):
                (options.out / f"{name}_{kind}.json").write_bytes(body)
    except ValueError as error:
        print(f"snapshots: {error}", file=sys.stderr)
        return 2
    return 0


_FEEDS = ("station_information", "station_status")


def _log(message: ReceivedMessage) -> None:
    """Print what a step did, one JSON line each, on standard error."""
    print(message.data.decode(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
