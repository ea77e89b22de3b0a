"""The child process that holds one warm Spark session and runs batches in it, one at a time.

It is started by file path with `python -P`, so that a job finds nothing of the repository. It talks
JSON lines: the first line on stdin is a `WorkerSettings`, each later one a `BatchRequest`; stdout
answers `{"state": "READY", …}`, `{"state": "WARM"}` and then one `BatchResult` per batch. Closing stdin ends it.

The Python here is the laptop's (3.13); Dataproc's runtime 2.3 has 3.11, so that a job must keep to
3.11's syntax by other means (ruff's target, not this worker).
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from unittest.mock import patch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MESSAGE_CHARACTERS = 2000
GATEWAY_SECONDS = 120.0
ARCHIVE_SECONDS = 120.0


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to start: the JVM's command, the session's settings, its own folder.

    `archive` is (file the JVM writes when it ends, name it gets when it is whole), or None.
    """

    java: tuple[str, ...]
    conf: Mapping[str, str]
    folder: str
    archive: tuple[str, str] | None = None


@dataclass(frozen=True)
class BatchRequest:
    """One batch: its files as `gs://` URIs, its arguments and its Spark properties.

    Of the properties only `spark.sql.*` that can change at run time count; sizing does not.
    `output` is the file that takes what the driver prints.
    """

    batch_id: str
    main_python_file_uri: str
    python_file_uris: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    output: str = os.devnull


@dataclass(frozen=True)
class BatchResult:
    """How a batch ended: `SUCCEEDED`, `FAILED` or `CANCELLED`, why, and after how many seconds."""

    batch_id: str
    state: str
    message: str
    seconds: float


def main() -> None:
    """Serve batches from stdin until it closes, then let the JVM end."""
    requests, replies = _take_over_stdio()
    document = json.loads(requests.readline())
    settings = WorkerSettings(**document)
    started = time.monotonic()
    jvm = _start_jvm(settings)
    session = _start_session(settings, jvm)
    _say(replies, {"state": "READY", "seconds": round(time.monotonic() - started, 3)})
    _warm_up(session, settings.folder)
    _say(replies, {"state": "WARM"})
    for line in requests:
        result = run_batch(session, BatchRequest(**json.loads(line)), settings.folder)
        _say(replies, asdict(result))
    _end_jvm(jvm, settings.archive)


def run_batch(session: SparkSession, request: BatchRequest, folder: str) -> BatchResult:
    """Fetch the batch's files and run them as Dataproc's driver would; never raises for the job."""
    started = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix=f"{request.batch_id}-", dir=folder))
    try:
        state, message = _outcome(session, request, place)
    finally:
        _forget_modules_of(place)
        shutil.rmtree(place, ignore_errors=True)
    return BatchResult(request.batch_id, state, message, round(time.monotonic() - started, 3))


def _outcome(session: SparkSession, request: BatchRequest, place: Path) -> tuple[str, str]:
    with _driver_output(request.output):
        try:
            _run_files(session, request, place)
        except SystemExit as end:
            if end.code in (None, 0):
                return "SUCCEEDED", ""
            return "FAILED", f"Job failed with message [SystemExit: {end.code}]"
        # The boundary between the stand-in and a job of any kind: whatever the job raises is the
        # batch's failure, never the worker's.
        except Exception as error:  # noqa: BLE001
            return "FAILED", _failure(error)
        return "SUCCEEDED", ""


def _failure(error: Exception) -> str:
    text = traceback.format_exc()
    print(text, file=sys.stderr)
    last = "".join(traceback.format_exception_only(error)).strip()
    return f"Job failed with message [{last[:500]}]\n{text[-MESSAGE_CHARACTERS:]}"


def _run_files(session: SparkSession, request: BatchRequest, place: Path) -> None:
    main_file = _fetch(session, request.main_python_file_uri, place)
    fetched = [_fetch(session, uri, place) for uri in request.python_file_uris]
    paths = [str(place), *(file for file in fetched if not file.endswith(".py"))]
    with _job_session(session, request.properties, paths), _job_python([main_file, *request.args]):
        sys.path[:0] = paths
        runpy.run_path(main_file, run_name="__main__")


def _fetch(session: SparkSession, uri: str, place: Path) -> str:
    """Copy a file through Hadoop, with the credentials that the job itself will have."""
    jvm: Any = session._jvm
    source = jvm.org.apache.hadoop.fs.Path(uri)
    target = place / uri.rsplit("/", 1)[1]
    files = source.getFileSystem(session.sparkContext._jsc.hadoopConfiguration())
    files.copyToLocalFile(False, source, jvm.org.apache.hadoop.fs.Path(target.as_uri()), True)
    return str(target)


@contextlib.contextmanager
def _job_session(
    session: SparkSession, properties: Mapping[str, str], paths: list[str]
) -> Iterator[None]:
    """Make `getOrCreate()` give a session of the batch's own on the warm context."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    own = session.newSession()
    for name, value in properties.items():
        name = name.removeprefix("spark:")
        if name.startswith("spark.sql.") and own.conf.isModifiable(name):
            own.conf.set(name, value)
    # Python workers of UDFs are pooled by their environment: a batch gets workers of its own.
    own.sparkContext.environment["PYTHONPATH"] = os.pathsep.join(paths)
    _make_default(own)
    try:
        with (
            patch.object(SparkSession, "stop", lambda _: None),
            patch.object(SparkContext, "stop", lambda _: None),
        ):
            yield
    finally:
        own.sparkContext.cancelAllJobs()
        own.catalog.clearCache()
        _make_default(session)


def _make_default(session: SparkSession) -> None:
    from pyspark.sql import SparkSession

    SparkSession._instantiatedSession = session
    java: Any = session._jvm
    java.SparkSession.setDefaultSession(session._jsparkSession)
    java.SparkSession.setActiveSession(session._jsparkSession)


@contextlib.contextmanager
def _job_python(argv: list[str]) -> Iterator[None]:
    with patch.object(sys, "argv", argv), patch.object(sys, "path", list(sys.path)):
        yield


@contextlib.contextmanager
def _driver_output(file: str) -> Iterator[None]:
    """Send what the job prints, from Python or below it, to the batch's own file."""
    originals = os.dup(1), os.dup(2)
    log_file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    os.close(log_file)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(originals, start=1):
            os.dup2(copy, number)
            os.close(copy)


def _forget_modules_of(place: Path) -> None:
    # Only the batch's own: a C extension that is imported twice breaks.
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(place)):
            del sys.modules[name]
    for path in [path for path in sys.path_importer_cache if path.startswith(str(place))]:
        del sys.path_importer_cache[path]


def _take_over_stdio() -> tuple[TextIO, TextIO]:
    """Move the protocol away from descriptors 0 and 1, which belong to the jobs."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, replies


def _say(replies: TextIO, message: Mapping[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _start_jvm(settings: WorkerSettings) -> subprocess.Popen[bytes]:
    """Start the driver's JVM without Spark's launcher, whose own JVM would cost half a second."""
    env = {**os.environ, "_PYSPARK_DRIVER_CONN_INFO_PATH": str(_connection_file(settings))}
    return subprocess.Popen(settings.java, stdin=subprocess.PIPE, env=env)


def _connection_file(settings: WorkerSettings) -> Path:
    return Path(settings.folder) / "gateway"


def _start_session(settings: WorkerSettings, jvm: subprocess.Popen[bytes]) -> SparkSession:
    from pyspark.sql import SparkSession

    port, secret = _gateway(_connection_file(settings), jvm)
    os.environ["PYSPARK_GATEWAY_PORT"] = str(port)
    os.environ["PYSPARK_GATEWAY_SECRET"] = secret
    builder = SparkSession.builder
    for name, value in settings.conf.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    return session


def _gateway(file: Path, jvm: subprocess.Popen[bytes]) -> tuple[int, str]:
    deadline = time.monotonic() + GATEWAY_SECONDS
    while not file.exists():
        if jvm.poll() is not None:
            raise RuntimeError(f"Spark's JVM ended with {jvm.returncode} before it was up")
        if time.monotonic() > deadline:
            raise TimeoutError(f"Spark's JVM wrote no {file} in {GATEWAY_SECONDS:.0f} s")
        time.sleep(0.02)
    content = file.read_bytes()
    port, length = struct.unpack_from(">ii", content)
    return port, content[8 : 8 + length].decode()


def _warm_up(session: SparkSession, folder: str) -> None:
    """Load what any job needs (planner, code generator, Parquet) while nobody waits for it."""
    place = Path(folder) / "warm-up"
    target = place.as_uri()
    rows = session.range(100).selectExpr("id", "cast(id % 3 AS string) AS slot", "current_date() d")
    counts = rows.groupBy("slot").count()
    rows.join(counts, "slot").write.partitionBy("slot").parquet(target)
    session.read.parquet(target).count()
    shutil.rmtree(place, ignore_errors=True)


def _end_jvm(jvm: subprocess.Popen[bytes], archive: tuple[str, str] | None) -> None:
    """Close the JVM's stdin, which ends it; it then writes its class archive if so configured."""
    if jvm.stdin is not None:
        jvm.stdin.close()
    if archive is None:
        jvm.kill()
        return
    written, name = map(Path, archive)
    with contextlib.suppress(subprocess.TimeoutExpired):
        if jvm.wait(ARCHIVE_SECONDS) == 0 and written.exists():
            written.replace(name)


if __name__ == "__main__":
    main()
