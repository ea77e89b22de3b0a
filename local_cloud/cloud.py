"""The whole local cloud: services started, the stack made in them, moved by a virtual clock."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import google.oauth2.credentials
from google.api_core.exceptions import Forbidden
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage  # type: ignore[attr-defined,unused-ignore]

from catalog.contract import load_all
from functions.core import gcs
from local_cloud.bigquery.server import BigQueryServer
from local_cloud.clock import VirtualClock
from local_cloud.dataproc.service import BatchServer, Dataproc
from local_cloud.dataproc.session import SparkServer
from local_cloud.functions_runtime import serve
from local_cloud.functions_runtime.in_process import InProcessFunctions
from local_cloud.functions_runtime.processes import FunctionHost, FunctionProcesses
from local_cloud.gateway.proxy import Gate
from local_cloud.iam.accounts import Accounts, access_token
from local_cloud.iam.authority import Authority
from local_cloud.iam.grants import Need
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor, cache_dir
from local_cloud.publishers import Publishers
from local_cloud.pubsub.service import PubSub
from local_cloud.pulumi.mocks import Run, Setting, run_program
from local_cloud.pulumi.provision import Provisioner, StandIns
from local_cloud.scheduler import Scheduler
from local_cloud.storage.server import EVENTS_TOPIC, NotificationRouter, StorageServer

PROJECT = "demo"
REGION = "europe-west1"
BATCH_ACCOUNT = f"spark-batch@{PROJECT}.iam.gserviceaccount.com"
PUBSUB_AGENT = "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
STORAGE_AGENT = "service-1@gs-project-accounts.iam.gserviceaccount.com"
"""Google's own accounts, as `program.look_up` and `provision.provider_outputs` name them."""
REPOSITORY = Path(__file__).resolve().parents[1]
MEASURED = frozenset({"storage", "bigquery", "dataproc"})
"""Services whose calls are let through by grants alone."""
_QUIET_SECONDS = 0.15
"""How long nothing must move: the storage server reports an object some 20 ms after its upload."""
START = datetime(2025, 6, 5, tzinfo=UTC)


class LocalCloud:
    """Context manager: everything runs inside it, and nothing is left after it.

    The clock begins at `start`. `roots` are further folders with data sets. `origins` maps a
    data set, or `*` for all, to the origin of its rows; `live` fetches from the real publishers
    instead. `in_process` runs the steps in this process, for tests of crashes. `settings` are further
    keys of the stack's configuration. `run` runs the stack's program; the default runs it under mocks.
    `storage` and `bigquery` are clients that bypass the gate, to look at the result.
    """

    def __init__(
        self,
        *,
        start: datetime = START,
        roots: Sequence[Path] = (),
        origins: Mapping[str, str] | None = None,
        live: bool = False,
        in_process: bool = False,
        settings: Mapping[str, str] | None = None,
        run: Run = run_program,
        settle_seconds: float = 120.0,
        long_batches: bool = False,
        batch_server: Callable[[str], BatchServer] | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="citypulse-")
        self.folder = Path(self._temporary.name)
        self.seconds: dict[str, float] = {}
        self.live = live
        self.clock = VirtualClock(start)
        self.supervisor = Supervisor(self.folder)
        self._in_process = in_process
        self._run = run
        self._settle_seconds = settle_seconds
        self._long_batches = long_batches
        self._batch_server = batch_server or self._spark_server
        self._settings: dict[str, Setting] = {
            "citypulse:roots": [str(root) for root in roots if root.resolve() != REPOSITORY],
            "citypulse:origins": {} if live else dict(origins or {"*": "sample"}),
            **(settings or {}),
        }
        self._begin()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # whatever ends the start, its children must not stay
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the services, make the stack in them, and wait until every function answers."""
        begin = time.monotonic()
        self.gate.start()
        self.pubsub.start()
        self.publishers.start()
        self._storage.start()
        self.spark.start()
        self._bigquery.start()
        self._storage.wait_ready()
        self.seconds["storage"] = time.monotonic() - begin
        self._provision()
        self.seconds["stack"] = time.monotonic() - begin
        self.functions.wait_ready()
        self.spark.wait_ready()
        self.seconds["ready"] = time.monotonic() - begin

    def settle(self, timeout: float | None = None) -> None:
        """Wait until no message is outstanding and no batch unfinished; TimeoutError after a while.

        PermissionError instead where a call was not granted: its message comes again and again.
        """
        try:
            self._settle(time.monotonic() + (timeout or self._settle_seconds))
        except TimeoutError as late:
            if refused := self.authority.refused():
                raise PermissionError("; ".join(refused)) from late
            raise

    def _settle(self, until: float) -> None:
        while True:
            self.pubsub.wait_idle(max(0.1, until - time.monotonic()), quiet=_QUIET_SECONDS)
            if not self.dataproc.busy():
                return
            if not self.dataproc.wait_idle(max(0.1, until - time.monotonic())):
                raise TimeoutError("Dataproc: a batch is pending or running still")

    def stop(self) -> None:
        """End everything, in whatever state it is."""
        self.dataproc.close()
        self.pubsub.stop()
        self.functions.stop()
        self.supervisor.stop(0.5)
        self.spark.stop()
        self.gate.stop()
        self.publishers.stop()
        self._temporary.cleanup()

    def describe(self) -> str:
        """Describe in one line where everything is."""
        resources = len(self.stand_ins.recorded) + self.stand_ins.resource_count
        return (
            f"{resources} resources, {len(self.scheduler.names)} schedules; storage, BigQuery and "
            f"Dataproc at {self.gate.url}, Pub/Sub at {self.pubsub.endpoint}, "
            f"publishers behind {self.publishers.proxy_url}, files in {self.folder}"
        )

    @property
    def address(self) -> str:
        """Where `serve` answers readers."""
        return self.functions.address("serve")

    def bucket(self, zone: str) -> storage.Bucket:
        """Open a zone's bucket, to look at its objects."""
        return self.storage.bucket(f"{PROJECT}-{zone}")

    def read(self, zone: str, name: str) -> bytes | None:
        """Read an object of a zone; None where there is none."""
        return gcs.read(self.bucket(zone), name)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Run a query past the gate and return its rows."""
        return [dict(row.items()) for row in self.bigquery.query_and_wait(sql)]

    def reports(self) -> list[str]:
        """List the tables of `reports` by name; those of a newest run only once they have rows."""
        latest_tables = {c.latest_table.table for c in load_all().values() if c.latest_table}
        found = [table.table_id for table in self.bigquery.list_tables("reports")]
        return [name for name in found if name not in latest_tables or self._rows_of(name)]

    def _rows_of(self, report: str) -> int:
        """Count the rows of a table of `reports`."""
        return int(self.rows(f"SELECT COUNT(*) AS n FROM reports.{report}")[0]["n"])  # noqa: S608

    def dead_letter_reason(self, name: str) -> str | None:
        """Find in quarantine why `split` refused an object of raw; None if it did not."""
        bucket = self.bucket("quarantine")
        for message_name in gcs.names(bucket, "messages/split/"):
            record = json.loads(gcs.read(bucket, message_name) or b"{}")
            message = record.get("event", {}).get("message", {})
            if message.get("attributes", {}).get("objectId") == name:
                return str(record["reason"])
        return None

    def environment(self, account: str) -> dict[str, str]:
        """Build the settings that point a function's clients at the stand-ins, as `account`."""
        return {
            **self.gate.environment(),
            **(_own_way_out() if self.live else self.publishers.env),
            "PUBSUB_EMULATOR_HOST": self.pubsub.endpoint
            if self._in_process
            else self.pubsub.endpoint_of(account),
            "DATAPROC_API_ENDPOINT": self.gate.url,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.accounts.key_file(account)),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        }

    def _provision(self) -> None:
        """Make the stack, by its own Pulumi program."""
        settings: dict[str, Setting] = {
            "gcp:project": PROJECT,
            "gcp:region": REGION,
            "citypulse:build": str(self.folder / "build"),
            "citypulse:disposable": "true",
            **self._settings,
        }
        program = REPOSITORY / "infra_pulumi" / "__main__.py"
        self._run(program, settings, Provisioner(self.stand_ins))

    def _begin(self) -> None:
        """Make every part; nothing listens yet."""
        ports = [free_port() for _ in range(5)]
        self.gate = Gate(
            ports[0], storage=("127.0.0.1", ports[1]), bigquery=("127.0.0.1", ports[2])
        )
        self.authority = Authority(PROJECT, MEASURED)
        self.gate.refusal = self.authority.refusal
        self.accounts = Accounts(self.folder / "accounts", f"{self.gate.url}/token", PROJECT)
        self._storage = StorageServer(
            self.supervisor,
            ports[1],
            gate_url=self.gate.url,
            pubsub_endpoint=f"127.0.0.1:{ports[4]}",
            project=PROJECT,
        )
        data = self.folder / "bigquery"
        self._bigquery = BigQueryServer(
            self.supervisor, ports[2], ports[3], self.gate.url, data, project=PROJECT
        )
        self.bigquery = self._bigquery.client()
        self.storage = storage.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self._storage.url},
        )
        self._begin_messages(ports[4])
        self._begin_work()

    def _begin_messages(self, port: int) -> None:
        self.pubsub = PubSub(
            port,
            self.clock,
            project=PROJECT,
            write_rows=self._write_rows,
            table_schema=self._table_schema,
            write_file=self._write_file,
        )
        self.pubsub.refusal = self.publish_refusal
        self.pubsub.pusher.refusal = self._signing_refusal
        self.pubsub.create_topic(EVENTS_TOPIC)
        self.router = NotificationRouter(self.pubsub, may_publish=self._may_notify)
        self.publishers = Publishers(free_port())
        self.scheduler = Scheduler(self.clock, self.pubsub, self._run_query, self.settle)

    def _begin_work(self) -> None:
        self.spark = self._batch_server(self.gate.url)
        self.dataproc = Dataproc(self.spark, self.clock, region=REGION)
        self.gate.dataproc = self.dataproc
        self.functions: FunctionHost = (
            InProcessFunctions(self.environment, self.gate.url, self.publish_refusal)
            if self._in_process
            else FunctionProcesses(self.supervisor, self.environment, self._written_clock())
        )
        self.stand_ins = StandIns(
            project=PROJECT,
            folder=self.folder / "archives",
            buckets=self._storage,
            storage=self.storage,
            router=self.router,
            pubsub=self.pubsub,
            bigquery=self.bigquery,
            wait_for_bigquery=lambda: self._bigquery.wait_ready(60),
            accounts=self.accounts,
            functions=self.functions,
            scheduler=self.scheduler,
            authority=self.authority,
        )

    def _spark_server(self, gate_url: str) -> SparkServer:
        return SparkServer(
            gate_url,
            self.folder / "spark",
            cache_dir(),
            keyfile=self.accounts.key_file(BATCH_ACCOUNT),
            project=PROJECT,
            long_batches=self._long_batches,
        )

    def _written_clock(self) -> Path:
        """Write the virtual time to a file, at every move too, for other processes to read."""
        clock = self.folder / "clock"
        serve.write_time(clock, self.clock.now())
        self.clock.subscribe(lambda moment: serve.write_time(clock, moment))
        return clock

    def publish_refusal(self, account: str, topic: str) -> str | None:
        """Explain why an account may not publish to a topic (full name); None if it may."""
        denial = self.authority.denial(account, [Need("pubsub.topics.publish", topic)])
        return str(denial) if denial else None

    def _signing_refusal(self, account: str) -> str | None:
        """Explain why Pub/Sub's agent may not sign a push as an account; None if it may."""
        signed = f"projects/{PROJECT}/serviceAccounts/{account}"
        need = Need("iam.serviceAccounts.getOpenIdToken", signed)
        denial = self.authority.denial(PUBSUB_AGENT, [need])
        return str(denial) if denial else None

    def _may_notify(self, topic: str) -> bool:
        """Check whether Cloud Storage's agent may notify a topic of an object."""
        return not self.publish_refusal(STORAGE_AGENT, f"projects/{PROJECT}/topics/{topic}")

    def _require(self, account: str, *needs: Need) -> None:
        """Raise Forbidden where one of Google's agents may not do what it is about to do."""
        if denial := self.authority.denial(account, needs):
            raise Forbidden(str(denial))  # type: ignore[no-untyped-call]

    def _write_rows(self, table: str, rows: list[dict[str, Any]]) -> list[str]:
        _, dataset, name = table.split(".")
        into = f"projects/{PROJECT}/datasets/{dataset}/tables/{name}"
        wanted = ("bigquery.tables.get", "bigquery.tables.updateData")
        self._require(PUBSUB_AGENT, *(Need(each, into) for each in wanted))
        return [str(fault) for fault in self.bigquery.insert_rows_json(table, rows)]

    def _write_file(self, bucket: str, name: str, body: bytes) -> None:
        place = f"projects/_/buckets/{bucket}"
        self._require(
            PUBSUB_AGENT,
            Need("storage.buckets.get", place),
            Need("storage.objects.create", f"{place}/objects/{name}"),
        )
        blob = self.storage.bucket(bucket).blob(name)
        blob.upload_from_string(body, "application/octet-stream", if_generation_match=0)

    def _table_schema(self, table: str) -> list[tuple[str, str, str]]:
        schema = self.bigquery.get_table(table).schema
        return [(column.name, column.field_type, column.mode) for column in schema]

    def _run_query(self, script: str, run_time: datetime, account: str) -> None:
        """Run a scheduled query as its service account, with the one parameter it gets."""
        client = bigquery.Client(
            project=PROJECT,
            credentials=_credentials(account),
            client_options={"api_endpoint": self.gate.url},
        )
        parameter = bigquery.ScalarQueryParameter("run_time", "TIMESTAMP", run_time)
        job = bigquery.QueryJobConfig(query_parameters=[parameter])
        client.query_and_wait(script, job_config=job)


def _credentials(account: str) -> google.oauth2.credentials.Credentials:
    """Make credentials of an account without a call to anybody."""
    credentials_class: Callable[..., Any] = google.oauth2.credentials.Credentials
    credentials: google.oauth2.credentials.Credentials = credentials_class(access_token(account))
    return credentials


def _own_way_out() -> dict[str, str]:
    """Build the settings by which this process reaches the publishers: proxy and authorities."""
    own = {"HTTPS_PROXY": "", "https_proxy": ""}
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        if found := os.environ.get(name.lower()) or os.environ.get(name):
            own |= {name: found, name.lower(): found}
    if authorities := os.environ.get("SSL_CERT_FILE"):
        own["SSL_CERT_FILE"] = authorities
    return own
