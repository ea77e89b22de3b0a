"""A small cloud for the steps: real stand-ins, a toy system per test, a job and splits that pretend."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud.bigquery import Client

from catalog import object_names
from catalog.contract import Bounds, Column, Contract, FetchSpec, Kind, SourceSpec, TableSpec
from catalog.object_names import SplitKey
from catalog.records import (
    Counts,
    Event,
    Manifest,
    Origin,
    Outcome,
    Part,
    Receipt,
    SplitRecord,
    TableColumn,
    Written,
)
from catalog.runs import Run
from catalog.slots import Unit
from functions.core.message import Message
from functions.core.settings import JobFiles, Settings, SparkSettings
from functions.load import step as load
from functions.seal import step as seal
from functions.submit import step as submit
from functions.sweep import step as sweep
from local_cloud.bigquery.server import BigQueryServer
from local_cloud.clock import VirtualClock
from local_cloud.dataproc.service import Dataproc
from local_cloud.dataproc.worker import BatchRequest, BatchResult
from local_cloud.gateway.proxy import Gate
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor
from local_cloud.storage.server import StorageServer
from tests.support.endpoint_clients import EndpointClients

NOW = datetime(2025, 6, 5, 2, 10, tzinfo=UTC)
OPS = """
CREATE SCHEMA IF NOT EXISTS ops;
CREATE SCHEMA IF NOT EXISTS lake;
CREATE SCHEMA IF NOT EXISTS staging;
CREATE SCHEMA IF NOT EXISTS reports;
CREATE TABLE IF NOT EXISTS ops.lock (system STRING, holder STRING, taken TIMESTAMP);
CREATE TABLE IF NOT EXISTS ops.shown (
  dataset STRING, run STRING, shown_rows INT64, data_as_of TIMESTAMP, origin STRING, shown_at TIMESTAMP
);
CREATE TABLE IF NOT EXISTS ops.loads (
  dataset STRING, slot STRING, slot_start STRING, system STRING, version STRING, revision STRING,
  manifest STRING, run STRING, runs INT64, rows_in INT64, rows_out INT64, rejected INT64, rejects STRING,
  duplicates INT64, revised INT64, newest TIMESTAMP, origin STRING, loaded_at TIMESTAMP
) CLUSTER BY system, dataset;
"""
Rows = Sequence[tuple[str, int]]
_NUMBERS = itertools.count(1)


@dataclass
class Runner:
    """Ends every batch at once, well or as `states` says next."""

    states: list[tuple[str, str]] = field(default_factory=list)

    def run(self, batch: BatchRequest, timeout: float | None = None) -> BatchResult:
        state, text = self.states.pop(0) if self.states else ("SUCCEEDED", "")
        return BatchResult(batch.batch_id, state, text, 1.0)


@dataclass(frozen=True)
class Servers:
    """The stand-ins, shared by all tests."""

    storage: StorageServer
    bigquery: BigQueryServer
    gate: Gate
    warehouse: Client


class Toy:
    """One toy system with its own buckets, tables and data sets."""

    def __init__(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        number = next(_NUMBERS)
        self.system = f"toy{number}"
        self.full = contract(self.system, "full", Kind.FULL_EXPORT, Unit.MONTH)
        self.ticks = contract(self.system, "ticks", Kind.SNAPSHOT, Unit.HOUR)
        self.tail = contract(self.system, "tail", Kind.INCREMENTS, Unit.DAY, lookback=1)
        self.contracts = {c.dataset: c for c in (self.full, self.tail, self.ticks)}
        self.clock = VirtualClock(NOW)
        self.runner = Runner()
        self.dataproc = Dataproc(self.runner, self.clock)
        servers.gate.dataproc = self.dataproc
        servers.gate.intercept = None
        self.servers = servers
        self.settings = _settings(self.system, number)
        self.clients = EndpointClients(self.settings, servers.gate.url)
        settings = self.settings
        for bucket in (settings.raw, settings.landing, settings.lake, settings.quarantine):
            servers.storage.create_bucket(bucket)
        self.raw = self.clients.storage.bucket(self.settings.raw)
        self.landing = self.clients.storage.bucket(self.settings.landing)
        self.lake = self.clients.storage.bucket(self.settings.lake)
        self.quarantine = self.clients.storage.bucket(self.settings.quarantine)
        for module in (seal, sweep):
            monkeypatch.setattr(module, "load_all", lambda: self.contracts)

    def make_tables(self) -> None:
        """Make the lake's tables, in one script."""
        script = ""
        for each in self.contracts.values():
            for table in each.lake_tables():
                columns = ", ".join(f"{c.name} {c.type}" for c in table.columns)
                part = "slot_start" if each.slot_unit is not Unit.HOUR else "DATE(slot_start)"
                script += f"CREATE TABLE lake.{table.name} ({columns}) PARTITION BY {part};"
        self.sql(script)

    def split(
        self,
        of: Contract,
        run: str,
        slots: dict[str, Rows],
        *,
        rejected: dict[str, int] | None = None,
        held: bool = False,
        replay: int = 0,
        marked: Sequence[str] | None = None,
        recorded: bool = True,
        outcome: Outcome = Outcome.ACCEPTED,
        origin: Origin = Origin.PUBLISHER,
    ) -> SplitKey:
        """Leave in landing what a split leaves: parts, markers, the record."""
        key = SplitKey(Run(run), replay)
        parts = []
        for slot, rows in slots.items():
            blob = self.landing.blob(object_names.part(of.dataset, slot, key, "t1"))
            blob.upload_from_string(parquet(run, rows), "application/octet-stream")
            parts.append(
                Part(
                    slot=slot, object=blob.name, generation=blob.generation, rows=len(rows),
                    bytes=blob.size, hash=json.dumps([rows, rejected]), rejected=rejected or {},
                    held=held,
                )
            )  # fmt: skip
        for slot in marked if marked is not None else slots:
            self.landing.blob(object_names.marker(of.dataset, slot, key)).upload_from_string(b"")
        record = SplitRecord(
            dataset=of.dataset, run=run, replay=replay, outcome=outcome, origin=origin,
            contract="c", parts=tuple(parts),
        )  # fmt: skip
        if recorded:
            self.record(record)
        return key

    def record(self, record: SplitRecord) -> None:
        """Write a split record."""
        name = object_names.split_record(record.dataset, SplitKey(Run(record.run), record.replay))
        self.landing.blob(name).upload_from_string(record.encode())

    def seal(self, *, at: datetime = NOW, **body: Any) -> list[Event]:
        """Call `seal` for the system."""
        data = json.dumps({"system": self.system, **body}).encode()
        return list(seal.run(message(data, at), self.clients, self.settings))

    def sealed(self, **options: Any) -> str:
        """Call `seal` and give the object of the one manifest that it makes."""
        before = self.manifests()
        self.seal(**options)
        (manifest,) = self.manifests() - before
        return manifest

    def submit(self, manifest: str, at: datetime = NOW) -> list[Event]:
        """Call `submit` with a manifest's event and let the batch end."""
        events = list(submit.run(event_of(manifest, at), self.clients, self.settings))
        self.dataproc.wait_idle(10)
        return events

    def load(self, receipt: str, at: datetime = NOW) -> list[Event]:
        """Call `load` with a receipt's event."""
        return list(load.run(event_of(receipt, at), self.clients, self.settings))

    def sweep(self, after: timedelta = timedelta(minutes=20)) -> list[Event]:
        """Call `sweep` some time after the beginning; nothing was fetched here, so all is overdue."""
        events = sweep.run(message(b"{}", NOW + after), self.clients, self.settings)
        return [each for each in events if each.outcome != "overdue"]

    def job(self, manifest: str, attempt: int = 1, *, broken: int = 0) -> str:
        """Do what a Spark job does: write each slot's rows and the receipt; its object's name."""
        body = Manifest.decode(self.landing.blob(manifest).download_as_bytes())
        written, counts = [], []
        for slot in body.slots:
            rows = [row for uri in slot.parts for row in self._rows(uri)]
            rejected = sum(slot.rejected.values())
            for table in (t for t in body.tables if t.dataset == slot.dataset):
                prefix = object_names.lake_prefix(table.name, body.id, attempt)
                name = f"{prefix}slot={slot.slot}/part-0.parquet"
                files: tuple[str, ...] = ()
                if table.base and rows:
                    data = base_parquet(slot.slot_start, rows)
                    self.lake.blob(name).upload_from_string(data, "application/octet-stream")
                    files = (f"gs://{self.lake.name}/{name}",)
                written.append(
                    Written(
                        table=table.name, dataset=slot.dataset, slot=slot.slot,
                        rows=len(rows) if table.base else 0, files=files,
                    )
                )  # fmt: skip
            counts.append(
                Counts(
                    dataset=slot.dataset, slot=slot.slot, rows_in=len(rows) + rejected + broken,
                    rows_out=len(rows), rejected=slot.rejected,
                )
            )  # fmt: skip
        receipt = Receipt(
            id=body.id, system=body.system, batch=object_names.batch_id(body.id, attempt), job="toy",
            attempt=attempt, seconds=1.0, written=tuple(written), counts=tuple(counts),
        )  # fmt: skip
        name = object_names.receipt(body.system, body.id)
        self.lake.blob(name).upload_from_string(receipt.encode())
        return name

    def through(self, **options: Any) -> list[Event]:
        """Seal, do the job and load it."""
        return self.load(self.job(self.sealed(**options)))

    def manifest(self, name: str) -> Manifest:
        """A manifest by its object's name."""
        return Manifest.decode(self.landing.blob(name).download_as_bytes())

    def manifests(self) -> set[str]:
        """Names of all manifests."""
        return {blob.name for blob in self.landing.list_blobs(prefix="manifests/")}

    def markers(self) -> list[str]:
        """Names of all markers."""
        return [blob.name for blob in self.landing.list_blobs(prefix="dirty/")]

    def rows(self, of: Contract) -> list[tuple[str, int]]:
        """The (k, v) of a data set's base table, in order."""
        found = self.sql(f"SELECT k, v FROM lake.{of.base.name} ORDER BY slot_start, k, v")
        return [(row.k, row.v) for row in found]

    def ledger(self) -> dict[tuple[str, str], Any]:
        """The system's rows of the ledger."""
        found = self.sql(f"SELECT * FROM ops.loads WHERE system = '{self.system}'")
        rows = list(found)
        assert len(rows) == len({(row.dataset, row.slot) for row in rows})
        return {(row.dataset, row.slot): row for row in rows}

    def version(self, of: Contract, slot: str) -> str:
        """The version that the ledger has of a slot."""
        version: str = self.ledger()[of.dataset, slot].version
        return version

    def sql(self, text: str) -> Any:
        """Run SQL past the gate."""
        return self.servers.warehouse.query(text).result()

    def _rows(self, uri: str) -> list[tuple[str, int]]:
        name = uri.removeprefix(f"gs://{self.landing.name}/")
        table = pq.read_table(io.BytesIO(self.landing.blob(name).download_as_bytes()))
        return [(row["k"], int(row["v"])) for row in table.to_pylist()]


def contract(system: str, name: str, kind: Kind, unit: Unit, lookback: int = 0) -> Contract:
    """A toy data set with a text and a number."""
    dataset = f"{system}_{name}"
    columns = (
        TableColumn(name="k", type="STRING", description="Key"),
        TableColumn(name="v", type="INT64", description="Value"),
    )
    fetch = FetchSpec(name="it", urls=("https://toy.example/x.csv",))
    return Contract(
        dataset=dataset, title="Toy", description="Toy", publisher="Toy", homepage="-",
        licence="CC0-1.0", licence_url="-", attribution="Toy", system=system, kind=kind, zone="UTC",
        slot_unit=unit, schedule="7 * * * *", freshness_hours=2, grace_minutes=5, lookback=lookback,
        source=SourceSpec(hosts=("toy.example",), fetch=(fetch,)),
        bounds=Bounds(bytes_max=1000, rows_max=1000), key=("k",), time_column="t",
        columns=tuple(Column(name=n, type="text", description=n) for n in ("k", "v", "t")),
        tables=(TableSpec(name=f"{dataset}_facts", description="Facts", columns=columns, base=True),),
    )  # fmt: skip


def message(data: bytes, at: datetime, attributes: dict[str, str] | None = None) -> Message:
    """A message published at an instant."""
    return Message(data=data, attributes=attributes or {}, published=at, id=f"m{next(_NUMBERS)}")


def event_of(name: str, at: datetime = NOW) -> Message:
    """The message of an object that was made."""
    return message(b"{}", at, {"objectId": name, "eventType": "OBJECT_FINALIZE"})


def outcomes(events: list[Event]) -> list[tuple[str | None, str]]:
    """(slot, outcome) of events that name a slot."""
    return [(each.slot, each.outcome) for each in events if each.slot]


def parquet(run: str, rows: Rows) -> bytes:
    """A part as `split` writes it."""
    columns: dict[str, Any] = {
        "k": pa.array([k for k, _ in rows], pa.string()),
        "v": pa.array([str(v) for _, v in rows], pa.string()),
        "run": pa.array([run] * len(rows), pa.string()),
        "line": pa.array(range(2, len(rows) + 2), pa.int64()),
    }
    return _encoded(pa.table(columns))


def base_parquet(slot_start: str, rows: Rows) -> bytes:
    """A base table's file as a job writes it."""
    instant = datetime.fromisoformat(slot_start)
    start = (
        pa.array([instant.date()] * len(rows), pa.date32())
        if "T" not in slot_start
        else pa.array([instant] * len(rows), pa.timestamp("us", tz="UTC"))
    )
    keys = pa.array([k for k, _ in rows], pa.string())
    values = pa.array([v for _, v in rows], pa.int64())
    return _encoded(pa.table({"slot_start": start, "k": keys, "v": values}))


def _encoded(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _settings(system: str, number: int) -> Settings:
    job = JobFiles(
        main=f"gs://code/jobs/h/{system}.py", python_files=("gs://code/jobs/h/batch.py",)
    )
    return Settings(
        project="demo", region="europe-west1", raw=f"raw-{number}", landing=f"landing-{number}",
        lake=f"lake-{number}", quarantine=f"quarantine-{number}",
        spark=SparkSettings(jobs={system: job}, service_account="batch@x", subnetwork="sub"),
    )  # fmt: skip


def with_bound(toy: Toy, size: int) -> None:
    """Bound the toy's manifests to a size in bytes."""
    toy.settings = msgspec.structs.replace(toy.settings, manifest_bytes=size)


def serve(folder: Path) -> Iterator[Servers]:
    """Start storage, BigQuery and the gate; stop them in the end."""
    supervisor = Supervisor(folder)
    gate_port, storage_port = free_port(), free_port()
    url = f"http://127.0.0.1:{gate_port}"
    store = StorageServer(supervisor, storage_port, gate_url=url)
    warehouse = BigQueryServer(supervisor, free_port(), free_port(), url, folder / "bq")
    gate = Gate(gate_port, storage=store.address, bigquery=warehouse.address)
    gate.start()
    try:
        store.start()
        warehouse.start()
        store.wait_ready()
        warehouse.wait_ready()
        client = warehouse.client()
        client.query(OPS).result()
        yield Servers(store, warehouse, gate, client)
    finally:
        gate.stop()
        supervisor.stop()
