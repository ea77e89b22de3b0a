"""The calls of the API in README.md and docs/api.md, as they stand there, over the reports they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from functions.serve.app import App
from functions.serve.report_catalog import load_report_definitions
from tests.support.endpoint_clients import EndpointClients
from tests.support.serve_site import SETTINGS, client
from tests.support.step_cloud import Servers

ROOT = Path(__file__).parents[3]
README, API = ((ROOT / page).read_text("utf-8") for page in ("README.md", "docs/api.md"))
CALL = re.compile(r"^    curl (.+)$", re.MULTILINE)
CALLS = [call for call in CALL.findall(README + API) if "$NEXT" not in call]
ONE = {
    "STRING": "'x'", "INT64": "1", "FLOAT64": "0.5", "NUMERIC": "NUMERIC '1.5'", "BOOL": "TRUE",
    "DATE": "DATE '2024-06-01'", "TIMESTAMP": "TIMESTAMP '2024-06-01 00:00:00+00'",
}  # fmt: skip
"""A value of each type."""


def test_both_call_the_api() -> None:
    assert len(CALL.findall(README)) >= 4
    assert len(CALL.findall(API)) >= 3


@pytest.mark.parametrize("call", CALLS)
def test_each_call_is_answered(servers: Servers, call: str) -> None:
    path = shlex.split(call)[-1].removeprefix("$SERVE")
    for name in re.findall(r"/reports/(\w+)/rows", path):
        values = ", ".join(
            f"{"'sample'" if c.name == 'origin' else ONE[c.type]} AS {c.name}"
            for c in load_report_definitions()[name].columns
        )
        servers.warehouse.query(
            f"CREATE SCHEMA IF NOT EXISTS reports; "
            f"CREATE OR REPLACE TABLE reports.{name} AS SELECT {values}"
        ).result()
    http = client(App(EndpointClients(SETTINGS, servers.gate.url)))
    answer = http.get(path)
    text = answer.get_data(as_text=True)
    assert text
    if answer.status_code != 200:
        assert f"    {text.strip()}\n" in API, "a refusal stands there as it is given"
