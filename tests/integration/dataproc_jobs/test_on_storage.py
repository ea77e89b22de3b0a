"""The job as Dataproc runs it: its files, its manifest, its parts and its receipt all on gs://."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paris_wifi
import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Bucket, Client

from catalog.records import Receipt
from local_cloud.dataproc.session import SparkServer
from local_cloud.dataproc.worker import BatchRequest
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor, cache_dir
from local_cloud.storage.server import StorageServer
from tests.integration.dataproc_jobs.test_batch import (
    NEW,
    SITES,
    USAGE,
    Zone,
    site_rows,
    usage_rows,
)

JOBS = Path(paris_wifi.__file__).parent


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[tuple[SparkServer, Bucket]]:
    """A warm session and a bucket."""
    supervisor, port = Supervisor(tmp_path), free_port()
    url = f"http://127.0.0.1:{port}"
    storage, spark = (
        StorageServer(supervisor, port, gate_url=url),
        SparkServer(url, tmp_path, cache_dir()),
    )
    spark.start()
    try:
        storage.start()
        storage.wait_ready()
        storage.create_bucket("demo-lake")
        client = Client("demo", AnonymousCredentials(), client_options={"api_endpoint": url})
        spark.wait_ready()
        yield spark, client.bucket("demo-lake")
    finally:
        spark.stop()
        supervisor.stop()


def test_a_batch_on_storage(cloud: tuple[SparkServer, Bucket], tmp_path: Path) -> None:
    spark, bucket = cloud
    zone = Zone(tmp_path)
    sites = site_rows()
    zone.slot(USAGE.dataset, "2019-09", [zone.part(USAGE.dataset, "2019-09", NEW, usage_rows())], 5)
    part = zone.part(SITES.dataset, "2025-06-05", NEW, sites)
    zone.slot(SITES.dataset, "2025-06-05", [part], len(sites))
    manifest = zone.manifest().encode().decode().replace(f"file://{tmp_path}/", "gs://demo-lake/")
    bucket.blob("m1.json").upload_from_string(manifest.replace("demo-lake/lake", "demo-lake"))
    for path in tmp_path.rglob("*.t.parquet"):
        bucket.blob(str(path.relative_to(tmp_path))).upload_from_filename(path)
    shared = [path.name for path in JOBS.glob("batch*.py")]
    for name in (*shared, "paris_wifi.py"):
        bucket.blob(f"jobs/{name}").upload_from_filename(JOBS / name)

    def run(attempt: int) -> bytes:
        request = BatchRequest(
            f"m1-a{attempt}",
            "gs://demo-lake/jobs/paris_wifi.py",
            python_file_uris=tuple(f"gs://demo-lake/jobs/{name}" for name in shared),
            args=(
                "--manifest",
                "gs://demo-lake/m1.json",
                "--attempt",
                str(attempt),
                "--batch",
                "b",
            ),
        )
        result = spark.run(request)
        assert (result.state, result.message) == ("SUCCEEDED", "")
        body: bytes = bucket.blob("receipts/paris_wifi/m1.json").download_as_bytes()
        return body

    body = run(1)
    written = {(w.table, w.slot): w for w in Receipt.decode(body).written}
    assert {(table, w.rows) for (table, _), w in written.items()} == {
        ("wifi_sessions", 5),
        ("wifi_site_days", 5),
        ("wifi_language_devices", 2),
        ("wifi_hours", 2),
        ("wifi_sites", 277),
        ("paris_wifi_usage_rejects", 0),
        ("paris_wifi_sites_rejects", 0),
    }
    (uri,) = written["wifi_sites", "2025-06-05"].files
    assert uri.startswith("gs://demo-lake/wifi_sites/m1-a1/slot=2025-06-05/part-")
    bucket.blob(uri.removeprefix("gs://demo-lake/")).download_to_filename(tmp_path / "read.parquet")
    assert pq.read_metadata(tmp_path / "read.parquet").num_rows == 277
    assert run(2) == body
    assert not list(bucket.list_blobs(prefix="wifi_sites/m1-a2"))
