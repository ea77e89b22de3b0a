"""Raw, landing and quarantine on the real storage server, and a run put into raw as `download` does."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from catalog import object_names
from catalog.contract import Contract
from catalog.object_names import SplitKey
from catalog.records import Claim, Event, Origin, Outcome, Part, RawFile, SplitRecord
from catalog.runs import Run
from functions.core import gcs
from functions.core.clients import Buckets
from functions.core.message import Message
from functions.core.settings import Settings
from functions.split import step as split
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor
from local_cloud.storage.server import StorageServer
from tests.support.endpoint_clients import EndpointClients

NOW = datetime(2025, 6, 5, 4, 17, tzinfo=UTC)
WIFI = Path(__file__).parents[1] / "data" / "wifi"
USAGE = WIFI / "usage_2019-09-05_head5_from_notebook.csv"
_NUMBERS = itertools.count(1)


class Desk:
    """Buckets of one test."""

    def __init__(self, server: StorageServer) -> None:
        number = next(_NUMBERS)
        raw, landing, lake, quarantine = (
            f"{zone}-{number}" for zone in ("raw", "landing", "lake", "quarantine")
        )
        for name in (raw, landing, lake, quarantine):
            server.create_bucket(name)
        self.settings = Settings(
            project="demo", region="europe-west1",
            raw=raw, landing=landing, lake=lake, quarantine=quarantine,
        )  # fmt: skip
        self.clients = EndpointClients(self.settings, server.url)
        self.zones = Buckets.of(self.clients, self.settings)

    def claim(self, contract: Contract, run: Run, bodies: Sequence[tuple[str, bytes]]) -> Claim:
        """Put a run into raw as if it had been fetched."""
        files = []
        for name, body in bodies:
            blob = self.zones.raw.blob(object_names.raw_data(contract.dataset, run, "try", name))
            blob.upload_from_string(body)
            files.append(
                RawFile(
                    object=blob.name, generation=int(blob.generation), url="https://x/y",
                    status=200, bytes=len(body), sha256=hashlib.sha256(body).hexdigest(),
                    headers={},
                )
            )  # fmt: skip
        claim = Claim(
            dataset=contract.dataset, run=run.name, outcome=Outcome.ACCEPTED,
            origin=Origin.SAMPLE, source="export", fetched_at=NOW.isoformat(), files=tuple(files),
            attempt="try",
        )  # fmt: skip
        self.zones.raw.blob(object_names.claim(contract.dataset, run)).upload_from_string(
            claim.encode()
        )
        return claim

    def split(self, contract: Contract, run: Run) -> list[Event]:
        """Split a claimed run."""
        name = object_names.claim(contract.dataset, run)
        return self.handle({"objectId": name, "eventType": "OBJECT_FINALIZE"})

    def handle(self, attributes: dict[str, str], body: Any = None) -> list[Event]:
        """Give the step one message."""
        data = json.dumps(body).encode() if body else b""
        message = Message(data=data, attributes=attributes, published=NOW, id="1")
        return list(split.run(message, self.clients, self.settings))

    def record(self, contract: Contract, run: Run, replay: int = 0) -> SplitRecord:
        body = self.zones.landing.blob(
            object_names.split_record(contract.dataset, SplitKey(run, replay))
        )
        return SplitRecord.decode(body.download_as_bytes())

    def run_split(
        self, contract: Contract, *bodies: bytes, file: str = "data", at: datetime = NOW
    ) -> SplitRecord:
        """The record of a run of these bodies."""
        run = Run.at(at)
        self.claim(contract, run, [(f"{file}{n}", body) for n, body in enumerate(bodies)])
        self.split(contract, run)
        return self.record(contract, run)

    def rows(self, part: Part) -> list[dict[str, Any]]:
        body = self.zones.landing.blob(part.object).download_as_bytes()
        return pq.read_table(io.BytesIO(body)).to_pylist()

    def rejects(self, record: SplitRecord) -> list[dict[str, Any]]:
        if record.quarantine is None:
            return []
        body = self.zones.quarantine.blob(record.quarantine).download_as_text()
        return [json.loads(line) for line in body.splitlines()]

    def names(self, zone: str, prefix: str = "") -> list[str]:
        return [blob.name for blob in getattr(self.zones, zone).list_blobs(prefix=prefix)]


def changed(contract: Contract, **facts: Any) -> Contract:
    """A contract with other facts; `bounds__x` and `source__x` reach inside."""
    inner: dict[str, Any] = {}
    for name, value in facts.items():
        outer, _, field = name.partition("__")
        if field:
            old = inner.get(outer, getattr(contract, outer))
            inner[outer] = msgspec.structs.replace(old, **{field: value})
        else:
            inner[name] = value
    return msgspec.structs.replace(contract, **inner)


def use(monkeypatch: pytest.MonkeyPatch, *contracts: Contract) -> None:
    """Make the steps see these contracts."""
    by_dataset = {contract.dataset: contract for contract in contracts}
    for module in ("functions.split.step", "functions.download.step"):
        monkeypatch.setattr(f"{module}.contract_of", lambda dataset: by_dataset[dataset])


def lose_reply(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Make the creation of an object below a prefix have its effect and raise."""
    create = gcs.create

    def lossy(bucket: Any, name: str, body: bytes, *rest: Any, **named: Any) -> bytes:
        created = create(bucket, name, body, *rest, **named)
        if name.startswith(prefix):
            raise ConnectionError("the reply was lost")
        return created

    monkeypatch.setattr(gcs, "create", lossy)


@pytest.fixture(scope="session")
def storage_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StorageServer]:
    """One storage server for all tests."""
    supervisor, port = Supervisor(tmp_path_factory.mktemp("storage")), free_port()
    server = StorageServer(supervisor, port, gate_url=f"http://127.0.0.1:{port}")
    server.start()
    server.wait_ready()
    yield server
    supervisor.stop()


@pytest.fixture
def desk(storage_server: StorageServer) -> Desk:
    """Buckets of the test's own."""
    return Desk(storage_server)
