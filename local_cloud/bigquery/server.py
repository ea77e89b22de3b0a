"""BigQuery on a laptop: local-bigquery as a child process, with the extensions it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
from duckdb_extensions import import_extension
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from local_cloud.processes import Child, Supervisor, cache_dir

_REPOSITORY = Path(__file__).parents[2]
_EXTENSIONS = ("icu", "ducklake", "spatial", "httpfs")


class BigQueryServer:
    """BigQuery's REST interface over DuckDB (local-bigquery 0.3.2).

    It cannot show: bytes billed and their cap, who may read which data set, EXPORT DATA's files,
    external tables, LOAD DATA; polygon edges are planar. A transaction that loses a race raises
    `BadRequest` ("Failed to commit DuckLake transaction") where the service says "aborted".
    """

    def __init__(
        self,
        supervisor: Supervisor,
        port: int,
        grpc_port: int,
        gate_url: str,
        data_dir: Path,
        *,
        project: str = "demo",
    ) -> None:
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self.project = project
        self._supervisor = supervisor
        self._grpc_port = grpc_port
        self._gate_url = gate_url
        self._data_dir = data_dir
        self._child: Child | None = None

    def start(self) -> Child:
        """Start the server and return at once; `gs://` is read through the gate."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        env = {"HOME": str(_home_with_extensions()), "STORAGE_EMULATOR_HOST": self._gate_url}
        self._child = self._supervisor.start("bigquery", self._command(), env=env, cwd=_REPOSITORY)
        return self._child

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Wait until the server answers; raises `ChildFailedError` with its log when it does not."""
        child = self._child or self.start()
        path = f"/bigquery/v2/projects/{self.project}/datasets"
        child.wait_ready(self.url + path, timeout)

    def client(self) -> bigquery.Client:
        """Give a client for this process that goes past the gate, so nothing intercepts it."""
        return bigquery.Client(
            project=self.project,
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            client_options={"api_endpoint": self.url},
        )

    def _command(self) -> list[str]:
        host, port = self.address
        command = [sys.executable, "-m", "local_cloud.bigquery"]
        command += ["--host", host, "--port", str(port)]
        command += ["--grpc-port", str(self._grpc_port), "--project", self.project]
        return [*command, "--data-dir", str(self._data_dir), "serve"]


def _home_with_extensions() -> Path:
    """Give a HOME whose `.duckdb` holds the extensions, installed from wheels once per version."""
    home = cache_dir() / "duckdb"
    folder = home / ".duckdb" / "extensions"
    have = {path.stem for path in folder.glob(f"v{duckdb.__version__}/*/*.duckdb_extension")}
    missing = [name for name in _EXTENSIONS if name not in have]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(config={"extension_directory": str(folder)}) as connection:
            for name in missing:
                import_extension(name, con=connection)
    return home
