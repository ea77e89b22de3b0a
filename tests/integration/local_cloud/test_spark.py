"""Real batches in the warm Spark session, on files that a real storage server holds."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Bucket, Client

from infra_pulumi.spark import PROPERTIES
from local_cloud.clock import VirtualClock
from local_cloud.dataproc.service import Dataproc
from local_cloud.dataproc.session import FEWER_REQUESTS, ClassArchive, SparkFailedError, SparkServer
from local_cloud.dataproc.worker import BatchRequest, BatchResult
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor, cache_dir
from local_cloud.storage.server import StorageServer

READ_AND_WRITE = """
import sys
from pyspark.sql import SparkSession, functions as F
from shared import shout
from zipped import SUFFIX

spark = SparkSession.builder.appName("job").getOrCreate()
source, target = sys.argv[1:]
rows = spark.read.json(source)
rows = rows.withColumn("name", F.concat(F.udf(shout)("name"), F.lit(SUFFIX)))
rows.createOrReplaceTempView("rows")
spark.sql("SELECT slot, name FROM rows").write.partitionBy("slot").parquet(target)
print("wrote", rows.count())
spark.stop()
"""
CLAIM = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
jvm = spark._jvm
path = jvm.org.apache.hadoop.fs.Path(sys.argv[1])
files = path.getFileSystem(spark._jsc.hadoopConfiguration())
out = files.create(path, False)
out.write(bytearray(b"claimed"))
out.close()
"""


@dataclass(frozen=True)
class Place:
    spark: SparkServer
    bucket: Bucket

    def put(self, name: str, content: str | bytes) -> str:
        self.bucket.blob(name).upload_from_string(content)
        return f"gs://{self.bucket.name}/{name}"

    def run(self, batch_id: str, code: str, *args: str, **more: object) -> BatchResult:
        uri = self.put(f"jobs/{batch_id}.py", code)
        request = BatchRequest(batch_id, uri, args=args, **more)  # type: ignore[arg-type]
        return self.spark.run(request)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("spark")
    supervisor, port = Supervisor(folder), free_port()
    url = f"http://127.0.0.1:{port}"
    storage = StorageServer(supervisor, port, gate_url=url)
    spark = SparkServer(url, folder, cache_dir())
    spark.start()
    try:
        storage.start()
        storage.wait_ready()
        storage.create_bucket("lake")
        client = Client("demo", AnonymousCredentials(), client_options={"api_endpoint": url})
        spark.wait_ready()
        yield Place(spark, client.bucket("lake"))
    finally:
        spark.stop()
        supervisor.stop()


def test_a_batch_reads_and_writes_gs_with_its_own_modules(place: Place) -> None:
    rows = [{"slot": "2024-05", "name": "a"}, {"slot": "2024-06", "name": "b"}]
    source = place.put("parts/one.json", "\n".join(map(json.dumps, rows)))
    shared = place.put("jobs/shared.py", "def shout(word):\n    return word.upper()\n")
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("zipped.py", "SUFFIX = '!'\n")
    zipped = place.put("jobs/zipped.zip", packed.getvalue())

    result = place.run(
        "reads-writes",
        READ_AND_WRITE,
        source,
        "gs://lake/out/reads-writes",
        python_file_uris=(shared, zipped),
    )

    assert (result.state, result.message) == ("SUCCEEDED", "")
    assert "wrote 2" in place.spark.driver_output("reads-writes")
    [blob] = place.bucket.list_blobs(prefix="out/reads-writes/slot=2024-06/")
    file = pq.ParquetFile(BytesIO(blob.download_as_bytes()))
    assert file.read().to_pydict() == {"name": ["B!"]}
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    ("batch_id", "code", "state", "message"),
    [
        ("exits-zero", "import sys; sys.exit(0)", "SUCCEEDED", ""),
        ("exits-bare", "raise SystemExit", "SUCCEEDED", ""),
        ("exits-three", "import sys; sys.exit(3)", "FAILED", "SystemExit: 3"),
        (
            "raises",
            "raise ValueError('column slot is missing')",
            "FAILED",
            "column slot is missing",
        ),
        ("no-syntax", "def", "FAILED", "SyntaxError"),
        ("no-module", "import tests.local_cloud", "FAILED", "ModuleNotFoundError"),
        ("no-repository", "import local_cloud", "FAILED", "ModuleNotFoundError"),
    ],
)
def test_how_a_job_ends_is_how_its_batch_ends(
    place: Place, batch_id: str, code: str, state: str, message: str
) -> None:
    result = place.run(batch_id, code)
    assert result.state == state
    assert message in result.message


def test_a_job_that_is_not_there_fails_by_name(place: Place) -> None:
    result = place.spark.run(BatchRequest("absent", "gs://lake/jobs/nowhere.py"))
    assert result.state == "FAILED"
    assert "nowhere.py" in result.message


def test_nothing_of_a_batch_is_left_for_the_next(place: Place) -> None:
    first = """
from pyspark.sql import SparkSession
import shared
assert shared.WORD == "one"
spark = SparkSession.builder.config("spark.sql.shuffle.partitions", "7").getOrCreate()
spark.range(3).cache().createOrReplaceTempView("left_over")
"""
    second = """
import sys
from pyspark.sql import SparkSession
import shared
assert shared.WORD == "two", shared.WORD
spark = SparkSession.builder.getOrCreate()
assert spark.conf.get("spark.sql.shuffle.partitions") == "2"
assert spark.conf.get("spark.sql.ansi.enabled") == "true"
assert not spark.catalog.tableExists("left_over")
assert len(sys.argv) == 1
"""
    one = place.put("jobs/one/shared.py", "WORD = 'one'\n")
    two = place.put("jobs/two/shared.py", "WORD = 'two'\n")
    assert place.run("first", first, "arg", python_file_uris=(one,)).message == ""
    result = place.run(
        "second", second, python_file_uris=(two,), properties={"spark.sql.ansi.enabled": "true"}
    )
    assert result.message == ""


def test_a_name_is_claimed_once(place: Place) -> None:
    target = "gs://lake/receipts/one.json"
    assert place.run("claims", CLAIM, target).state == "SUCCEEDED"
    again = place.run("claims-again", CLAIM, target)
    assert again.state == "FAILED"
    assert "FileAlreadyExistsException" in again.message


def test_a_driver_that_is_killed_fails_its_batch_and_the_next_one_runs(place: Place) -> None:
    killed = place.run("killed", "import os; os.kill(os.getpid(), 9)")
    assert killed.state == "FAILED"
    assert "driver ended" in killed.message
    assert place.run("after", "print('alive')").state == "SUCCEEDED"


def test_dataproc_runs_batches_in_the_session_and_ends_one_past_its_ttl(place: Place) -> None:
    dataproc = Dataproc(place.spark, VirtualClock(datetime(2025, 6, 5, tzinfo=UTC)), ttl_scale=0.01)
    jobs = {"slow-a1": "import threading; threading.Event().wait()", "quick-a1": "print('done')"}
    for batch_id, code in jobs.items():
        uri = place.put(f"jobs/{batch_id}.py", code)
        batch = {
            "pysparkBatch": {"mainPythonFileUri": uri},
            "environmentConfig": {"executionConfig": {"ttl": "600s"}},
        }
        path = "/v1/projects/demo/locations/europe-west1/batches"
        query = {"batchId": batch_id}
        status, _ = dataproc.handle("POST", path, query, json.dumps(batch).encode(), "submit")
        assert status == 200
    assert dataproc.wait_idle(120)
    assert [batch.state.name for batch in dataproc.batches()] == ["CANCELLED", "SUCCEEDED"]
    dataproc.close()


def test_a_broken_archive_never_stops_the_start(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    archive = archive_in(cache)
    for file in (archive.base, archive.session):
        file.unlink(missing_ok=True)
        file.write_bytes(b"this is no archive" * 1000)
    spark = SparkServer("http://127.0.0.1:9", tmp_path / "work", cache)
    spark.start()
    try:
        spark.wait_ready()
    finally:
        spark.stop()
    with pytest.raises(SparkFailedError, match="stopped"):
        spark.run(BatchRequest("late", "gs://lake/jobs/late.py"))


def archive_in(cache: Path) -> ClassArchive:
    from local_cloud.dataproc import session

    archive = ClassArchive.of(cache, session._connector_jar())
    assert archive is not None
    return archive


def test_the_session_asks_storage_as_a_deployed_batch_does() -> None:
    prefix = "spark.hadoop."
    settings = {n.removeprefix(prefix): v for n, v in PROPERTIES.items() if n.startswith(prefix)}
    assert settings == FEWER_REQUESTS
