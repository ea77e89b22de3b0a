"""`demo`: four days of the schedule on the local cloud, from publishers to reports.

Day one fetches everything, the month's list of holidays too; on day two the files are the same, of
which the list of sites is a new day's list all the same; on day three one month of the sessions has
changed; on day four both publishers of the Wi-Fi answer with an error. Two snapshots of bike share
stations come on day one, and their hour is sealed; later ones are passed over. Every check that must hold is printed with what was seen; the exit
code is 0 only if all of them held.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from itertools import islice
from typing import Any

from catalog.contract import load_all, systems
from catalog.records import Outcome, SplitRecord
from local_cloud.cli.declarations import read_declarations
from local_cloud.cli.pictures import write_pages
from local_cloud.cloud import REPOSITORY, LocalCloud
from local_cloud.generators.velib.layouts import export
from local_cloud.generators.velib.snapshots import Snapshot, StationNetwork, snapshots
from local_cloud.generators.wifi.faults import Fault
from local_cloud.generators.wifi.usage import Export, RowOrder, generate_rows
from local_cloud.iam.authority import Authority
from local_cloud.publishers import Answer
from local_cloud.pubsub.service import ReceivedMessage

START = datetime(2024, 9, 9, tzinfo=UTC)
SYSTEM = "paris_wifi"
_HOURS = (
    (timedelta(hours=3, minutes=26), timedelta(hours=3, minutes=28)),
    (timedelta(hours=4, minutes=16), timedelta(hours=4, minutes=18)),
    (timedelta(hours=4, minutes=32), timedelta(hours=4, minutes=38)),
)
"""Each day's hours in which the schedule fires: both fetches, then seal, reports and sweep."""

_PAGES = REPOSITORY / "build" / "demo"
_BIKES = "velib_stations"
_NETWORK = StationNetwork(START + timedelta(hours=3, minutes=9), seed=9)
_TICKS = 2
"""Snapshots of day one, from 03:09 on: those of one hour, which is over after its grace."""
_SKIPPED = (
    f"{_BIKES} is due every ten minutes: the clock passes over all later ones, so the sweep will call "
    "it overdue"
)

_SAMPLES = REPOSITORY / "tests" / "data"
_SESSIONS = Export(
    6_000, 1, date(2024, 4, 1), date(2024, 8, 28), RowOrder.TIME,
    faults={Fault.UNREADABLE_START: 0.002},
)  # fmt: skip
_MORE_SESSIONS = Export(40, 2, date(2024, 6, 5), date(2024, 6, 24), RowOrder.TIME)
_ERROR_PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>503</body></html>"


@dataclass(frozen=True)
class Check:
    """Something that must hold at the end, with what was seen."""

    says: str
    held: bool
    seen: str


def run(*, serve: bool = False, live: str | None = None) -> int:
    """Run the demo; return 0 if every check held, else 1."""
    begin = time.monotonic()
    if live:
        return _live(live)
    origins = {"paris_wifi_usage": "synthetic", _BIKES: "synthetic", "*": "sample"}
    with LocalCloud(start=START, origins=origins) as cloud:
        _say(f"the local cloud is up after {time.monotonic() - begin:.1f} s: {cloud.describe()}")
        cloud.pubsub.on_publish("events", _Progress().print_event)
        for day, title in enumerate(
            ("first fetch", "the same files", "one month changed", "broken")
        ):
            _say(f"\n== day {day + 1}, {START + timedelta(days=day):%Y-%m-%d}: {title}")
            _publish(cloud, day)
            _fire(cloud, day)
        checks = _summary(cloud)
        declared = read_declarations([REPOSITORY])
        drawn = write_pages(cloud.bigquery, cloud.clock.now(), declared, _PAGES)
        _say(f"\n{len(drawn)} charts and their pages: {_PAGES / 'index.html'}")
        _say(f"\n{time.monotonic() - begin:.0f} s in all")
        if serve:
            _serve(cloud)
    return 0 if all(check.held for check in checks) else 1


def _publish(cloud: LocalCloud, day: int) -> None:
    """Serve what the publishers have on a day."""
    contracts = load_all()
    usage = contracts["paris_wifi_usage"].source.fetch[0].urls[0]
    sites = contracts["paris_wifi_sites"].source.fetch[0].urls[0]
    holidays = contracts["french_holidays"].source.fetch[0].urls[0]
    sessions = generate_rows(_SESSIONS)
    if day == 2:
        sessions += generate_rows(_MORE_SESSIONS).partition(b"\r\n")[2]
    body = _ERROR_PAGE if day == 3 else sessions
    cloud.publishers.serve(usage, Answer(body))
    era = "sites_2023-05_simonejw.geojson" if day == 2 else "sites_2017-05_juuljul_v1_records.json"
    cloud.publishers.serve(sites, Answer(_SAMPLES / "wifi" / era))
    cloud.publishers.serve(holidays, Answer(_SAMPLES / "holidays" / "jours_feries_metropole.csv"))
    if day == 3:
        cloud.publishers.serve(sites, Answer(b'{"error_code": "ODSQLError", "message": "no"}'))


def _fire(cloud: LocalCloud, day: int) -> None:
    """Let the schedule fire around this day's fetches; the clock skips the rest."""
    midnight = START + timedelta(days=day)
    if day == 0:
        for snapshot in islice(snapshots(_NETWORK), _TICKS):
            _fetch_bikes(cloud, snapshot)
        _say(_SKIPPED)
    for first, last in _HOURS:
        cloud.scheduler.jump_to(midnight + first)
        cloud.scheduler.run_until(midnight + last)


def _fetch_bikes(cloud: LocalCloud, snapshot: Snapshot) -> None:
    """Serve a snapshot at its tick and let that data set's schedule alone fire."""
    url = load_all()[_BIKES].source.fetch[0].urls[0]
    cloud.publishers.serve(url, Answer(export(snapshot)))
    cloud.scheduler.jump_to(snapshot.tick)
    cloud.scheduler.fire(f"ingest-{_BIKES}".replace("_", "-"))


class _Progress:
    """Prints one line for each step from its event; prints no event twice."""

    def __init__(self) -> None:
        self._printed: set[str] = set()

    def print_event(self, message: ReceivedMessage) -> None:
        """Print the event in a message of topic `events`."""
        event = json.loads(message.data)
        if event["event_id"] in self._printed or event["outcome"] in _QUIET:
            return
        self._printed.add(event["event_id"])
        rows = f"{event['rows']:,} rows" if event.get("rows") is not None else ""
        seconds = f"{event['seconds']:.2f} s" if event.get("seconds") else ""
        subject = event.get("dataset") or event.get("system") or ""
        place = event.get("slot") or event.get("run") or ""
        _say(
            f"{event['at'][11:19]}  {event['step']:<8} {subject:<17} {place:<18} "
            f"{event['outcome']:<10} {rows:>11} {seconds:>8}".rstrip()
        )


_QUIET = ("nothing marked", "claimed", "done already")
"""Outcomes of a step that found nothing to do."""


def _summary(cloud: LocalCloud) -> list[Check]:
    """Print the ledger, the batches, the loads and the reports; return the checks."""
    ledger = cloud.rows("SELECT * FROM ops.loads ORDER BY dataset, slot")
    _say("\n== slots: rows in = out + rejected + duplicates")
    for row in ledger:
        _say(
            f"{row['dataset']:<17} {row['slot']:<11} {row['rows_in']:>6,} = {row['rows_out']:>6,}"
            f" + {row['rejected']:>3,} + {row['duplicates']:>3,}   {row['origin']:<10} {row['run']}"
        )
    for line in _without_slot(cloud):
        _say(line)
    batches = cloud.dataproc.batches()
    states = [batch.state.name for batch in batches]
    _say(f"\n{len(batches)} batches: {', '.join(states)}")
    runs = cloud.rows("SELECT * FROM ops.report_runs ORDER BY run_time")
    _say(f"{len(runs)} report runs: {', '.join(row['outcome'] for row in runs)}")
    refused = _refused(cloud)
    reports = _reports(cloud)
    served = _served(cloud.address, reports)
    _grants(cloud.authority)
    denied = cloud.authority.refused()
    checks = [*_checks(ledger, states, runs, reports, refused, denied), served]
    _say("\n== checks")
    for check in checks:
        _say(f"{'held  ' if check.held else 'FAILED'}  {check.says}: {check.seen}")
    return checks


def _grants(authority: Authority) -> None:
    """Print how many permissions were checked, and the grants that no call used."""
    idle = sorted(grant.name for grant in authority.idle())
    used = len(authority.grants) - len(idle)
    _say(f"\n{used} grants used in {authority.checks:,} permission checks; idle: {', '.join(idle)}")


def _without_slot(cloud: LocalCloud) -> list[str]:
    """List a line for each data set whose newest accepted run had rows without a slot."""
    newest: dict[str, SplitRecord] = {}
    for blob in cloud.bucket("landing").list_blobs(prefix="splits/"):
        record = SplitRecord.decode(blob.download_as_bytes())
        if record.outcome is Outcome.ACCEPTED:
            newest[record.dataset] = record
    return [
        f"{dataset:<17} {'none':<11} {sum(record.no_slot.values()):>6,} = {0:>6,} + "
        f"{sum(record.no_slot.values()):>3,} +   0   {record.origin:<10} {record.run}  "
        f"{record.no_slot}"
        for dataset, record in sorted(newest.items())
        if record.no_slot
    ]


def _reports(cloud: LocalCloud) -> dict[str, int]:
    """Print each report table's first rows; return their sizes."""
    sizes = {}
    for name in cloud.reports():
        rows = cloud.rows(f"SELECT * FROM reports.{name} ORDER BY 1, 2 LIMIT 3")  # noqa: S608
        count = cloud.rows(f"SELECT COUNT(*) AS n FROM reports.{name}")[0]["n"]  # noqa: S608
        sizes[name] = count
        _say(f"\nreports.{name}: {count:,} rows")
        for row in rows:
            _say("  " + ", ".join(f"{k}={v}" for k, v in row.items() if v is not None))
    return sizes


def _served(address: str, reports: dict[str, int]) -> Check:
    """Check whether `serve` returns every published report's rows and their licence."""
    api = f"{address}/api/v1/reports"
    with urllib.request.urlopen(api, timeout=60) as answer:
        listed = [each["name"] for each in json.load(answer)["reports"]]
    found = {
        name: len(_rows(f"{api}/{name}/rows?format=csv")) for name in listed if name in reports
    }
    live = [name for name in listed if _is_live(f"{api}/{name}/rows", name in reports)]
    return Check(
        "the API gives every row of every report",
        bool(found) and found == reports,
        f"{sum(found.values()):,} rows of {len(found)} reports, {len(live)} live ones",
    )


def _rows(url: str) -> list[list[str]]:
    """Read the rows of a CSV file without its header."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        return list(csv.reader(io.StringIO(answer.read().decode(), newline="")))[1:]


def _is_live(url: str, published: bool) -> bool:
    """Check whether a report that no script has published answers nevertheless."""
    if published:
        return False
    try:
        with urllib.request.urlopen(url, timeout=60):
            return True
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return False
        raise


def _refused(cloud: LocalCloud) -> list[dict[str, Any]]:
    """Print why runs were refused, as `ops.events` has it."""
    rows = cloud.rows(
        "SELECT DISTINCT dataset, run, message FROM ops.events WHERE outcome = 'refused' "
        "AND `at` >= TIMESTAMP '2024-01-01' ORDER BY dataset, run"
    )
    for row in rows:
        _say(f"refused: {row['message']}")
    return rows


def _checks(
    ledger: Sequence[dict[str, Any]], states: Sequence[str], runs: Sequence[dict[str, Any]],
    reports: dict[str, int], refused: Sequence[dict[str, Any]], denied: Sequence[str],
) -> list[Check]:  # fmt: skip
    """List everything that must hold at the end."""
    off = [
        f"{row['dataset']} {row['slot']}" for row in ledger
        if row["rows_in"] != row["rows_out"] + row["rejected"] + row["duplicates"]
    ]  # fmt: skip
    months = {row["slot"]: row for row in ledger if row["dataset"] == "paris_wifi_usage"}
    bikes = [
        f"{row['slot']} of {row['runs']} fetches" for row in ledger if row["dataset"] == _BIKES
    ]
    third = START + timedelta(days=2)
    moved = sorted(slot for slot, row in months.items() if row["loaded_at"] >= third)
    batches_done = states and all(state == "SUCCEEDED" for state in states)
    fourth = (START + timedelta(days=3)).strftime("%Y%m%d")
    said = sorted({str(row["dataset"]) for row in refused if str(row["run"]).startswith(fourth)})
    return [
        Check(
            "every slot reconciles", bool(ledger) and not off, f"{len(ledger)} slots, off: {off}"
        ),
        Check("every batch succeeded", bool(batches_done), f"{len(states)} batches"),
        Check("months are loaded", len(months) >= 5, ", ".join(sorted(months))),
        Check(
            "only the changed month moved", moved == ["2024-06"], f"loaded on day three: {moved}"
        ),
        Check("an hour of bikes is loaded", len(bikes) == 1, ", ".join(bikes) or "none"),
        Check("the broken day was refused", said == sorted(_DEMO_SETS), ", ".join(said)),
        Check("every report has rows", bool(reports) and all(reports.values()), str(reports)),
        Check(
            "reports were published, none failed",
            bool(runs) and all(row["outcome"] == "published" for row in runs),
            f"{len(runs)} runs, data as of {runs[-1]['data_as_of'] if runs else None}",
        ),
        Check("every call was granted", not denied, "; ".join(denied) or "nothing was refused"),
    ]


_DEMO_SETS = ("paris_wifi_sites", "paris_wifi_usage")


def _live(dataset: str) -> int:
    """Run one fetch from the real publisher, through to the ledger."""
    contract = load_all()[dataset]
    now = datetime.now(UTC)
    with LocalCloud(start=now, live=True) as cloud:
        cloud.pubsub.on_publish("events", _Progress().print_event)
        body = json.dumps({"dataset": dataset}).encode()
        cloud.pubsub.publish("ingest", body, {"dataset": dataset, "kind": contract.kind})
        cloud.settle(600)
        rows = cloud.rows("SELECT * FROM ops.loads ORDER BY dataset, slot")
        for row in rows:
            _say(f"{row['dataset']} {row['slot']}: {row['rows_in']} rows in, {row['rows_out']} out")
    return 0 if rows else 1


def _serve(cloud: LocalCloud) -> None:
    """Keep the local cloud running until Ctrl-C, with its pages and API."""
    _say(f"\npages: {cloud.address}/; the API, from another shell:\nexport SERVE={cloud.address}")
    _say(f"up until Ctrl-C: {cloud.describe()}; systems {', '.join(systems(load_all()))}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        _say("going down")


def _say(line: str) -> None:
    """Print at once, so that progress is seen as it happens."""
    print(line, flush=True, file=sys.stdout)
