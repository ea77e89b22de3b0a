"""A site of two toy reports for the tests of `serve`: a table with every type, and a live question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask, Response, request
from flask.testing import FlaskClient

from functions.core.handler import respond
from functions.core.settings import Settings
from functions.serve.app import App
from functions.serve.report_catalog import ReportDefinition, load_report_definitions
from tests.support.endpoint_clients import EndpointClients
from tests.support.step_cloud import Servers

SETTINGS = Settings(
    project="demo", region="europe-west1", raw="raw", landing="landing", lake="lake", quarantine="q"
)
COLUMNS = {
    "place": "STRING", "day": "DATE", "n": "INT64", "share": "FLOAT64", "exact": "NUMERIC",
    "ok": "BOOL", "seen": "TIMESTAMP", "sample_size": "INT64",
}  # fmt: skip
TABLE = {
    "title": "Toy: <b>days</b>", "description": "Made up.", "grain": "one row per day and place",
    "key": ["day", "place"], "datasets": ["paris_wifi_usage"], "joined": ["french_holidays"],
    "default_date": "day", "filters": ["n", "share", "exact", "ok", "seen"],
    "order": ["day DESC", "place"],
}  # fmt: skip
LIVE = {
    "title": "Toy: loads", "description": "What is loaded.", "grain": "one row per slot",
    "key": ["slot"], "datasets": [],
}  # fmt: skip
SELECT = "SELECT slot, rows_in, @now AS asked_at FROM ops.loads WHERE loaded_at <= @now;"


AS_OF = "2024-05-02T00:00:00Z"


@dataclass(frozen=True)
class Row:
    """A row of the toy table; times are ISO text."""

    place: str
    day: str = "2024-05-01"
    n: int | None = 1
    share: float | None = 0.5
    exact: str | None = "1.5"
    ok: bool | None = True
    seen: str | None = "2024-05-01T12:00:00.000001Z"
    sample_size: int | None = 3


@dataclass
class Site:
    """The function over a warehouse stand-in."""

    servers: Servers
    folder: Path
    clock: float = 0.0
    now: datetime = datetime(2025, 6, 5, 2, 10, 7, tzinfo=UTC)
    published: tuple[Sequence[Row], str] | None = None
    app: App = field(init=False)
    http: FlaskClient = field(init=False)

    def __post_init__(self) -> None:
        self.servers.gate.intercept = None
        self.servers.gate.record = True
        declare(self.folder)
        self.app = App(
            EndpointClients(SETTINGS, self.servers.gate.url),
            declarations=self.folder,
            clock=lambda: self.clock,
            now=lambda: self.now,
        )
        self.http = client(self.app)

    def publish(self, rows: Sequence[Row], data_as_of: str = AS_OF) -> None:
        """Publish the toy table as its scheduled query does, and let the look-up's minute pass."""
        structs = ",\n".join(_struct(row) for row in rows) or f"{_struct(Row('x'))}"
        self.sql(
            f"CREATE OR REPLACE TABLE reports.toy_days AS SELECT *, TIMESTAMP '{data_as_of}' AS "
            f"data_as_of, 'sample' AS origin FROM UNNEST([{structs}]) WHERE {bool(rows)}"
        )
        self.clock += 61
        self.published = rows, data_as_of

    def withdraw(self) -> None:
        """Take the toy table away."""
        self.sql("DROP TABLE reports.toy_days")
        self.clock += 61
        self.published = None

    def sql(self, text: str) -> Any:
        """Run SQL past the gate."""
        return self.servers.warehouse.query(text).result()

    def get(self, path: str, **headers: str) -> Any:
        """An answer to a GET below `/api/v1/reports/`."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.http.get(f"/api/v1/reports/{path}", headers=named)

    def rows(self, parameters: str = "") -> Any:
        """An answer to a question about the toy table."""
        return self.get(f"toy_days/rows?{parameters}")

    def pop_queries(self) -> list[dict[str, Any]]:
        """What was asked of the warehouse by queries since the last call, and forget it."""
        calls = [c for c in self.servers.gate.calls if c.action in ("jobs.query", "jobs.insert")]
        self.servers.gate.calls.clear()
        return [json.loads(call.body_start) for call in calls]


def client(app: App) -> FlaskClient:
    """Requests to an app as functions-framework hands them over."""
    framework = Flask("serve", static_folder=None)

    @framework.route("/", defaults={"path": ""}, methods=METHODS)
    @framework.route("/<path:path>", methods=METHODS)
    def run(path: str) -> Response:
        return respond("serve", request, app.answer, app.failed)

    return framework.test_client()


METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


def declare(folder: Path) -> dict[str, ReportDefinition]:
    """Write the declarations of both toy reports into a folder; gives them as they are read."""
    columns = [{"name": n, "type": t, "description": f"The {n}."} for n, t in COLUMNS.items()]
    lived = [
        {"name": n, "type": t, "description": f"The {n}."}
        for n, t in (("slot", "STRING"), ("rows_in", "INT64"), ("asked_at", "TIMESTAMP"))
    ]
    for place, document in (
        ("tables/toy_days", {**TABLE, "columns": columns}),
        ("live/toy_loads", {**LIVE, "columns": lived}),
    ):
        path = folder / "toy" / f"{place}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.toml.encode(document))
    (folder / "toy" / "live" / "toy_loads.sql").write_text(SELECT, encoding="utf-8")
    return load_report_definitions(folder)


def _struct(row: Row) -> str:
    """A row as a STRUCT of its columns' types."""
    fields = (_literal(kind, getattr(row, name)) for name, kind in COLUMNS.items())
    named = ", ".join(f"{text} AS {name}" for text, name in zip(fields, COLUMNS, strict=True))
    return f"STRUCT({named})"


def _literal(kind: str, value: Any) -> str:
    if value is None:
        return f"CAST(NULL AS {kind})"
    return f"CAST({json.dumps(str(value), ensure_ascii=False)} AS {kind})"
