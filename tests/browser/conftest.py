"""The pages in chromium: `nox -s browser` installs what these tests need."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import functions_framework
import pytest
from google.cloud import bigquery
from werkzeug.serving import make_server

from functions.serve.app import App
from functions.serve.report_catalog import load_report_definitions
from local_cloud.ports import free_port
from tests.browser.made_rows import made, wanted
from tests.support.health_ops import recorded
from tests.support.warehouse import Warehouse, server  # noqa: F401

REPOSITORY = Path(__file__).parents[2]
PICTURES = REPOSITORY / "build" / "browser"
DASHBOARDS = REPOSITORY / "dashboards"
AFTER_DEMO = datetime(2024, 9, 12, 12, tzinfo=UTC)
"""When health is asked: at the end of the demo whose records it is shown."""


@pytest.fixture(scope="session")
def site(server: bigquery.Client) -> Iterator[str]:  # noqa: F811
    """The address of the function `serve` over a warehouse of made-up reports and a demo's `ops`."""
    fill(server)
    with pytest.MonkeyPatch.context() as patch:
        made_app = App(SimpleNamespace(bigquery=server), now=lambda: AFTER_DEMO)  # type: ignore[arg-type]
        patch.setattr("functions.serve.app.app", lambda: made_app)
        target = functions_framework.create_app(
            "serve", str(REPOSITORY / "functions" / "main.py"), "http"
        )
        running = make_server("127.0.0.1", free_port(), target, threaded=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def fill(client: bigquery.Client) -> None:
    """Make the tables of `ops` with a demo's rows, and each report's with synthetic ones."""
    warehouse = Warehouse(client)
    warehouse.empty_ops()
    recorded(warehouse)
    values = wanted(DASHBOARDS)
    for report in load_report_definitions().values():
        if report.select:
            continue
        schema = [bigquery.SchemaField(c.name, c.type) for c in report.columns]
        client.create_table(
            bigquery.Table(f"{client.project}.reports.{report.name}", schema=schema)
        )
        warehouse.fill(
            f"reports.{report.name}",
            *made(report.declared, report.columns, values.get(report.name, {})),
        )


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser's program, as the session `browser` tells it."""
    return os.environ.get("CHROMIUM", "/usr/bin/chromium")
