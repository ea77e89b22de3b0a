"""The cost of a call of the local BigQuery, compared with local-bigquery as released.

Both servers run at the same time and take turns call by call, so a busy machine slows both alike.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from google.cloud import bigquery

from catalog.contract import load_all
from catalog.reports import script
from infra_pulumi.ops_tables import OPS_TABLES
from local_cloud.bigquery.server import BigQueryServer
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor

_REPORTS = Path(__file__).parents[1] / "bq_sql"
_SYSTEMS = {
    "paris_wifi": ("paris_wifi_usage", "2024-09"),
    "velib": ("velib_stations", "2024-09-01T10"),
}
_RUN_TIME = datetime(2024, 9, 2, 12, tzinfo=UTC)
_LOADED = """
INSERT INTO ops.loads (
  dataset, slot, system, version, revision, manifest, run, rows_in, rows_out, rejected, duplicates,
  origin, loaded_at
) VALUES (
  '{dataset}', '{slot}', '{system}', 'v1', 'r1', 'm1', '20240901T041700Z', 0, 0, 0, 0, 'publisher',
  TIMESTAMP '2024-09-01'
)
"""
_CALLS = {
    "SELECT 1": "SELECT 1",
    "count of a table": "SELECT COUNT(*) FROM ops.loads",
    "three rows of a table": "SELECT * FROM ops.loads LIMIT 3",
    "table created from a query": "CREATE OR REPLACE TABLE reports.x AS SELECT * FROM ops.loads",
    "row inserted": "INSERT INTO ops.small VALUES (1, 'x')",
    "rows deleted": "DELETE FROM ops.small WHERE TRUE",
}


class _Released(BigQueryServer):
    """local-bigquery without the local cloud's replacements."""

    def _command(self) -> list[str]:
        command = super()._command()
        start = "from local_bigquery.cli import main; main()"
        return [sys.executable, "-P", "-c", start, *command[command.index("--host") :]]


@dataclass
class _Subject:
    """A running server, and the processor seconds of each call."""

    client: bigquery.Client
    process: psutil.Process
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, name: str, call: Callable[[bigquery.Client], object]) -> None:
        """Make a call and note the processor time that the server took for it."""
        before = _processor(self.process)
        call(self.client)
        self.seconds.setdefault(name, []).append(_processor(self.process) - before)


def run(repeat: int) -> int:
    """Measure each call `repeat` times after one that does not count; print a table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        subjects = [
            stack.enter_context(_running(kind, folder / kind.__name__))
            for kind in (_Released, BigQueryServer)
        ]
        for name, call in _calls():
            for _ in range(repeat + 1):
                for subject in subjects:
                    subject.measure(name, call)
    _print(subjects)
    return 0


@contextmanager
def _running(kind: type[BigQueryServer], folder: Path) -> Iterator[_Subject]:
    """Start a server and create the program's tables in it."""
    supervisor = Supervisor(folder)
    server = kind(supervisor, free_port(), free_port(), "http://127.0.0.1:9", folder / "data")
    try:
        process = psutil.Process(server.start().pid)
        server.wait_ready(60)
        subject = _Subject(server.client(), process, {"start": [_processor(process)]})
        subject.measure("all tables created", _create_tables)
        yield subject
    finally:
        supervisor.stop()


def _create_tables(client: bigquery.Client) -> None:
    tables = {f"ops.{table.name}": table.fields() for table in OPS_TABLES}
    for contract in load_all().values():
        for table in contract.lake_tables():
            columns = [{"name": c.name, "type": c.type, "mode": c.mode} for c in table.columns]
            tables[f"lake.{table.name}"] = columns
    for dataset in ("lake", "ops", "reports"):
        client.create_dataset(dataset)
    for name, fields in tables.items():
        schema = [bigquery.SchemaField.from_api_repr(each) for each in fields]
        client.create_table(bigquery.Table(f"{client.project}.{name}", schema=schema))
    client.query_and_wait("CREATE TABLE ops.small (a INT64, b STRING)")
    for system, (dataset, slot) in _SYSTEMS.items():
        client.query_and_wait(_LOADED.format(system=system, dataset=dataset, slot=slot))


def _calls() -> Iterator[tuple[str, Callable[[bigquery.Client], object]]]:
    for name, sql in _CALLS.items():
        yield name, lambda client, sql=sql: [*client.query_and_wait(sql)]  # type: ignore[misc]
    for system in _SYSTEMS:
        text = script(system, _REPORTS / system).text
        yield f"reports of {system}", lambda client, text=text: _run_reports(client, text)  # type: ignore[misc]


def _run_reports(client: bigquery.Client, text: str) -> None:
    """Run a system's reports as if a slot had come in."""
    client.query_and_wait("UPDATE ops.loads SET version = GENERATE_UUID() WHERE TRUE")
    parameter = bigquery.ScalarQueryParameter("run_time", "TIMESTAMP", _RUN_TIME)
    client.query_and_wait(text, job_config=bigquery.QueryJobConfig(query_parameters=[parameter]))


def _processor(process: psutil.Process) -> float:
    """Return the processor seconds of a server."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def _print(subjects: Sequence[_Subject]) -> None:
    released, ours = subjects
    print("| call | as released: first, then ms of CPU | local cloud: first, then ms of CPU |")
    print("|---|---|---|")
    for name in released.seconds:
        print(f"| {name} | {_cell(released, name)} | {_cell(ours, name)} |")


def _cell(subject: _Subject, name: str) -> str:
    """Return the first call and the mean of the others: the clock ticks every 10 ms."""
    first, *others = (1000 * each for each in subject.seconds[name])
    return f"{first:.0f}, {statistics.mean(others):.0f}" if others else f"{first:.0f}"
