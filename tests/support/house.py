"""The house under test: the local cloud with the steps in this process, emptied between tests."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pyarrow.parquet as pq
from google.cloud.storage import Blob

from catalog import object_names
from catalog.contract import load_all
from catalog.object_names import SplitKey
from catalog.records import Manifest, Outcome, Receipt, SplitRecord
from catalog.runs import Run
from local_cloud.cloud import LocalCloud
from local_cloud.generators.wifi.usage import Export, RowOrder, generate_rows
from local_cloud.publishers import Answer
from local_cloud.pubsub.service import PublishRequestInfo, RefusedError
from local_cloud.storage.server import EVENTS_TOPIC

START = datetime(2024, 6, 1, 3, 40, tzinfo=UTC)

SYSTEM = "paris_wifi"

USAGE = "paris_wifi_usage"

SLOTS = ("2024-04", "2024-05")

LATEST_TABLES = {
    contract.latest_table.table for contract in load_all().values() if contract.latest_table
}
"""Tables of `reports` that the stack makes, and no SQL."""

BACKOFF_SCALE = 0.0002
"""Ten seconds of back-off become two milliseconds, fifty tries some five seconds."""

_ZONES = ("raw", "landing", "lake", "quarantine")

_MASKS = (
    (re.compile(r"\d{8}T\d{6}Z"), "RUN"),
    (re.compile(r"(?<=paris-wifi-)[0-9a-f]{20}|(?<=paris_wifi_)[0-9a-f]{20}"), "ID"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"(?<=[./])[0-9a-f]{12}(?=[./])"), "TRY"),
    (re.compile(r"(?<=-ID-a)\d+(-\d+)?"), "N"),
    (re.compile(r"attempt_\d+_\d+_m_\d+_\d+"), "ATTEMPT"),
)


def masked(text: str) -> str:
    """A text with the names of runs, manifests, tries and jobs put out of sight."""
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return text


def month(first: datetime, rows: int, seed: int) -> bytes:
    """Sessions of twenty days from `first`, without the export's header."""
    last = first.date() + timedelta(days=19)
    return generate_rows(Export(rows, seed, first.date(), last, RowOrder.TIME)).partition(b"\r\n")[
        2
    ]


def export(*months: bytes) -> bytes:
    """A usage export of these rows."""
    return generate_rows(Export(0)) + b"".join(months)


APRIL = month(datetime(2024, 4, 2, tzinfo=UTC), 10, seed=1)

APRIL_CHANGED = month(datetime(2024, 4, 2, tzinfo=UTC), 10, seed=3)

MAY = month(datetime(2024, 5, 2, tzinfo=UTC), 10, seed=2)


class House:
    """The local cloud as the delivery tests use it; `fresh` empties it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self._url = load_all()[USAGE].source.fetch[0].urls[0]
        self._tables = [table.name for table in load_all()[USAGE].lake_tables()]
        cloud.pubsub.tuning = replace(cloud.pubsub.tuning, backoff_scale=BACKOFF_SCALE)

    def fresh(self) -> None:
        """Empty buckets, tables and batches; the clock goes on to the next hour."""
        cloud = self.cloud
        cloud.settle()
        cloud.dataproc.quota_hook = None
        self._empty_buckets()
        self._empty_tables()
        cloud.dataproc.forget_batches()
        cloud.settle()
        self.later(hours=1)

    def later(self, **span: float) -> datetime:
        """Move the clock on; the time it then is."""
        moment = self.cloud.clock.now() + timedelta(**span)
        self.cloud.clock.advance_to(moment)
        return moment

    def serve(self, *answers: bytes | Answer) -> None:
        """What the publisher answers, one a request, the last again and again."""
        sequence = [each if isinstance(each, Answer) else Answer(each) for each in answers]
        self.cloud.publishers.serve_sequence(self._url, sequence)

    def ingest(self, run: Run | None = None) -> Run:
        """Ask for a run, by default one of now, a minute after the last."""
        requested = run or Run.at(self.later(minutes=1))
        body = json.dumps({"dataset": USAGE, "run": requested.name}).encode()
        self.cloud.pubsub.publish("ingest", body, {"dataset": USAGE, "kind": "full_export"})
        return requested

    def fetch(self, body: bytes) -> Run:
        """Serve a body, ask for a run and wait until it has come as far as it can."""
        self.serve(body)
        run = self.ingest()
        self.cloud.settle()
        return run

    def sweep(self) -> None:
        """Let twenty minutes pass and the sweep look for lost work."""
        self.later(minutes=20)
        self.cloud.pubsub.publish("sweep", b"{}", {})
        self.cloud.settle()

    def seal(self, **body: Any) -> None:
        """Ask for a seal of the system."""
        data = json.dumps({"system": SYSTEM, **body}).encode()
        self.cloud.pubsub.publish("seal", data, {})

    def notify(self, zone: str, name: str, topic: str) -> None:
        """Send the message of an object that was made, as its bucket does."""
        blob = self.cloud.bucket(zone).get_blob(name)
        assert blob is not None, name
        attributes = {
            "bucketId": blob.bucket.name, "objectId": name,
            "objectGeneration": str(blob.generation), "eventType": "OBJECT_FINALIZE",
        }  # fmt: skip
        self.cloud.pubsub.publish(topic, b"{}", attributes)

    @contextmanager
    def losing(self, *prefixes: str) -> Iterator[None]:
        """Lose every notification of objects below these prefixes."""

        def lose(info: PublishRequestInfo) -> None:
            names_of = [attributes.get("objectId", "") for _, attributes in info.messages]
            if info.topic == EVENTS_TOPIC and any(name.startswith(prefixes) for name in names_of):
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "made to be lost")

        self.cloud.pubsub.intercept = lose
        try:
            yield
        finally:
            self.cloud.pubsub.intercept = None

    def objects(self, zone: str, prefix: str = "") -> list[str]:
        """Names of a zone's objects."""
        return [blob.name for blob in self.cloud.bucket(zone).list_blobs(prefix=prefix)]

    def manifests(self) -> list[Manifest]:
        """Every manifest, oldest first."""
        found = [
            Manifest.decode(self.cloud.read("landing", name) or b"")
            for name in self.objects("landing", f"manifests/{SYSTEM}/")
        ]
        return sorted(found, key=lambda each: each.sealed_at)

    def ledger(self) -> dict[str, dict[str, Any]]:
        """The ledger's rows of the data set, by slot."""
        rows = self.cloud.rows(f"SELECT * FROM ops.loads WHERE dataset = '{USAGE}'")
        assert len(rows) == len({row["slot"] for row in rows}), rows
        return {row["slot"]: row for row in rows}

    def sessions(self) -> list[tuple[str, int]]:
        """(slot, line's bytes) of every session in the lake, in order: what the rows say."""
        rows = self.cloud.rows(
            "SELECT FORMAT_DATE('%Y-%m', slot_start) AS slot, bytes_in FROM lake.wifi_sessions"
            " WHERE slot_start >= DATE '2012-01-01' ORDER BY slot, bytes_in"
        )
        return [(row["slot"], row["bytes_in"]) for row in rows]

    def query(self) -> bool:
        """Run the system's scheduled query; whether it ended well."""
        (run,) = self.cloud.scheduler.run_queries(lambda name: name == f"reports-{SYSTEM}")
        return run.ok

    def state(self) -> dict[str, list[str]]:
        """What must be the same however the messages came: warehouse and records, by content."""
        found: dict[str, list[str]] = {}
        for row in self.cloud.rows(self._state_sql()):
            found.setdefault(row["what"], []).append(masked(row["told"]))
        found["splits"], found["parts"] = self._splits()
        found["claims"] = [masked(name) for name in self.objects("raw", "runs/")]
        found["markers"] = [masked(name) for name in self.objects("landing", "dirty/")]
        self._keep_named()
        return {what: sorted(rows) for what, rows in sorted(found.items())}

    def _state_sql(self) -> str:
        reports = [f"reports.{t.table_id}" for t in self.cloud.bigquery.list_tables("reports")]
        sources = [
            f"(SELECT * FROM lake.{name} WHERE slot_start >= '2012-01-01')" for name in self._tables
        ]
        sources.append("(SELECT * EXCEPT (manifest, loaded_at) FROM ops.loads)")
        sources += [f"(SELECT * FROM {name})" for name in reports]
        labels = [*self._tables, "ledger", *reports]
        selects = [
            f"SELECT '{label}' AS what, TO_JSON_STRING(x) AS told FROM {source} AS x"
            for label, source in zip(labels, sources, strict=True)
        ]
        return " UNION ALL ".join(selects)

    def _splits(self) -> tuple[list[str], list[str]]:
        """The split records, and the rows of the parts that they name, names of tries masked."""
        records, parts = [], []
        for name in self.objects("landing", "splits/"):
            record = SplitRecord.decode(self.cloud.read("landing", name) or b"")
            records.append(masked(re.sub(rb'"generation":\d+', b"", record.encode()).decode()))
            for part in record.parts if record.outcome is Outcome.ACCEPTED else ():
                body = self.cloud.read("landing", part.object)
                assert body is not None, f"{name} names {part.object}, which is not there"
                rows = pq.read_table(io.BytesIO(body)).to_pylist()
                parts.append(masked(json.dumps([part.slot, rows])))
        return records, parts

    def _keep_named(self) -> None:
        """What a ledger row names is there: its manifest, receipt, parts and files, and no more."""
        landing, lake = set(self.objects("landing")), set(self.objects("lake"))
        for slot, row in self.ledger().items():
            manifest = Manifest.decode(
                self.cloud.read("landing", object_names.manifest(SYSTEM, row["manifest"])) or b""
            )
            receipt = Receipt.decode(
                self.cloud.read("lake", object_names.receipt(SYSTEM, row["manifest"])) or b""
            )
            own = next(each for each in manifest.slots if each.slot == slot)
            key = SplitKey(Run(own.run))
            record = SplitRecord.decode(
                self.cloud.read("landing", object_names.split_record(USAGE, key)) or b""
            )
            counted = {f"gs://demo-landing/{p.object}" for p in record.parts if p.slot == slot}
            assert set(own.parts) == counted, f"{slot}: other parts than its record names"
            assert {uri.split("/", 3)[3] for uri in own.parts} <= landing
            files = [file for each in receipt.written if each.slot == slot for file in each.files]
            assert {uri.split("/", 3)[3] for uri in files} <= lake

    def _empty_buckets(self) -> None:
        buckets = [self.cloud.bucket(zone) for zone in _ZONES]
        blobs: Sequence[Blob] = [blob for bucket in buckets for blob in bucket.list_blobs()]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda blob: blob.delete(), blobs))

    def _empty_tables(self) -> None:
        script = "".join(
            f"DELETE FROM lake.{n} WHERE slot_start >= '0001-01-01';" for n in self._tables
        )
        script += "".join(
            f"DELETE FROM ops.{n} WHERE TRUE;" for n in ("loads", "lock", "shown", "report_runs")
        )
        for dataset in ("reports", "staging"):
            for table in self.cloud.bigquery.list_tables(dataset):
                verb = "DELETE FROM" if table.table_id in LATEST_TABLES else "DROP TABLE"
                rest = " WHERE TRUE" if table.table_id in LATEST_TABLES else ""
                script += f"{verb} {dataset}.{table.table_id}{rest};"
        self.cloud.rows(script)
