"""`python -m bench serve`: `serve` as it ships, over the local warehouse, with many readers.

The local warehouse is slower than BigQuery. So a page is compared with its query alone, and measured
once more when the instance has it in its cache.
"""

from __future__ import annotations

import http.client
import os
import platform
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl

from google.cloud import bigquery

from functions.serve.api.query_params import parse_query_params
from functions.serve.report_catalog import load_report_definitions
from functions.serve.warehouse.report_store import BYTES_BILLED
from functions.serve.warehouse.sql import rows_query
from infra_pulumi.archive import build_archive
from infra_pulumi.config import StackConfig
from infra_pulumi.serving import CONCURRENCY
from infra_pulumi.sources import read_sources
from local_cloud.bigquery.server import BigQueryServer
from local_cloud.functions_runtime.processes import FunctionProcesses, FunctionSpec
from local_cloud.gateway.proxy import Gate
from local_cloud.iam.accounts import Accounts
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor

REPOSITORY = Path(__file__).resolve().parents[1]
REPORT = "velib_stations_now"
ROWS = 20_000
PAGE = 1_000
_ACCOUNT = "fn-serve@demo.iam.gserviceaccount.com"
_ZONES = ("RAW", "LANDING", "LAKE", "QUARANTINE")
_VALUES = {
    "STRING": "CONCAT('{name} ', CAST(n AS STRING))",
    "INT64": "n",
    "FLOAT64": "n / 7",
    "NUMERIC": "CAST(n AS NUMERIC)",
    "BOOL": "MOD(n, 2) = 0",
    "DATE": "DATE_ADD(DATE '2024-01-01', INTERVAL MOD(n, 300) DAY)",
    "TIMESTAMP": "TIMESTAMP_SECONDS(1700000000 + n)",
}
_QUESTIONS = (
    "limit=100",
    f"limit={PAGE}",
    "sort=-stationcode&limit=100",
    "columns=stationcode,name&limit=500",
    "stationcode=stationcode+7",
    "format=csv&stationcode=stationcode+7",
)
"""The queries that each reader sends in turn."""


@dataclass(frozen=True)
class Running:
    """The function and the warehouse behind it."""

    address: str
    warehouse: bigquery.Client

    def get(self, question: str) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        wire = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=120)
        try:
            wire.request("GET", f"/api/v1/reports/{REPORT}/rows?{question}")
            answer = wire.getresponse()
            return answer.status, answer.read()
        finally:
            wire.close()


def run(readers: int, each: int, repeat: int) -> int:
    """Measure and print; return 1 if an answer was an error."""
    print(
        f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {platform.machine()}"
    )
    with _running() as running:
        _page(running, repeat)
        return _readers(running, readers, each)


def _page(running: Running, repeat: int) -> None:
    """Measure a page of a thousand rows: its query alone, the first answer, the cached one."""
    alone, first, cached = [], [], []
    for number in range(repeat):
        question = f"limit={PAGE - number}"
        alone.append(_seconds(partial(_queried, running, question)))
        first.append(_seconds(partial(running.get, question)))
        cached.append(_seconds(partial(running.get, question)))
    measured = {"query alone": alone, "page, first": first, "page, cached": cached}
    for name, seconds in measured.items():
        print(f"{name:<12} {1000 * statistics.median(seconds):8.0f} ms, median of {repeat}")


def _queried(running: Running, question: str) -> list[object]:
    """Run the same query as the function does, without the function."""
    query = rows_query(
        parse_query_params(load_report_definitions()[REPORT], parse_qsl(question)),
        None,
        (),
        PAGE + 1,
    )
    job = bigquery.QueryJobConfig(
        query_parameters=query.parameters, maximum_bytes_billed=BYTES_BILLED
    )
    return list(running.warehouse.query_and_wait(query.sql, job_config=job))


def _readers(running: Running, readers: int, each: int) -> int:
    """Run many readers at once, each with one request after the other."""
    seconds: list[float] = []
    statuses: list[int] = []

    def read(reader: int) -> None:
        for number in range(each):
            question = _QUESTIONS[(reader + number) % len(_QUESTIONS)]
            begin = time.perf_counter()
            status, _ = running.get(question)
            seconds.append(time.perf_counter() - begin)
            statuses.append(status)

    begin = time.perf_counter()
    with ThreadPoolExecutor(readers) as pool:
        list(pool.map(read, range(readers)))
    whole = time.perf_counter() - begin
    errors = sum(status != 200 for status in statuses)
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(
        f"{readers} readers, {len(seconds)} answers in {whole:.1f} s, {errors} errors, "
        f"p50 {1000 * statistics.median(seconds):.0f} ms, p95 {1000 * p95:.0f} ms"
    )
    return 1 if errors else 0


def _seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


@contextmanager
def _running() -> Iterator[Running]:
    """Start the function from its archive, and the warehouse with one report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        supervisor = Supervisor(folder)
        ports = [free_port() for _ in range(3)]
        gate_url = f"http://127.0.0.1:{ports[0]}"
        warehouse = BigQueryServer(supervisor, ports[1], ports[2], gate_url, folder / "bigquery")
        gate = Gate(ports[0], bigquery=warehouse.address)
        accounts = Accounts(folder / "accounts", f"{gate_url}/token", "demo")
        environment = {
            **gate.environment(),
            "GOOGLE_APPLICATION_CREDENTIALS": str(accounts.key_file(_ACCOUNT)),
            "GOOGLE_CLOUD_PROJECT": "demo",
        }
        try:
            gate.start()
            warehouse.start()
            warehouse.wait_ready(120)
            _fill(warehouse.client())
            functions = FunctionProcesses(supervisor, lambda _: environment)
            address = functions.create(_spec(_unpacked(folder)))
            functions.wait_ready(120)
            yield Running(address, warehouse.client())
        finally:
            gate.stop()
            supervisor.stop()


def _unpacked(folder: Path) -> Path:
    config = StackConfig("demo", "europe-west1", REPOSITORY, folder / "build")
    sources = read_sources(config)
    archive = build_archive(REPOSITORY, sources.contract_files, sources.declared, config.build)
    with zipfile.ZipFile(archive.path) as opened:
        opened.extractall(folder / "source")
    return folder / "source"


def _spec(folder: Path) -> FunctionSpec:
    variables = {
        "PROJECT": "demo",
        "REGION": "europe-west1",
        **{f"{z}_BUCKET": "none" for z in _ZONES},
    }
    return FunctionSpec("serve", "serve", folder, variables, _ACCOUNT, CONCURRENCY)


def _fill(client: bigquery.Client) -> None:
    """Create a report of made-up rows in the declared columns."""
    columns = load_report_definitions()[REPORT].columns
    values = (
        f"{'"synthetic"' if c.name == 'origin' else _VALUES[c.type].format(name=c.name)} AS {c.name}"
        for c in columns
    )
    client.query_and_wait("CREATE SCHEMA IF NOT EXISTS reports")
    client.query_and_wait(
        f"CREATE TABLE reports.{REPORT} AS SELECT {', '.join(values)} "  # noqa: S608
        f"FROM UNNEST(GENERATE_ARRAY(1, {ROWS})) AS n"
    )
