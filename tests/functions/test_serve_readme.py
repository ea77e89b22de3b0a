"""The README's calls of the API, as they stand there, over every report that they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from functions.serve.app import App
from functions.serve.declared import shown
from tests.functions.serve_site import SETTINGS, client
from tests.functions.step_cloud import Servers, StepClients

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
CALLS = re.findall(r"^    curl (.+)$", README, re.MULTILINE)
ONE = {
    "STRING": "'x'", "INT64": "1", "FLOAT64": "0.5", "NUMERIC": "NUMERIC '1.5'", "BOOL": "TRUE",
    "DATE": "DATE '2024-06-01'", "TIMESTAMP": "TIMESTAMP '2024-06-01 00:00:00+00'",
}  # fmt: skip
"""A value of each type."""


def test_the_readme_calls_the_api() -> None:
    assert len(CALLS) >= 4


@pytest.mark.cloud
@pytest.mark.parametrize("call", CALLS)
def test_each_call_is_answered(servers: Servers, call: str) -> None:
    path = shlex.split(call)[-1].removeprefix("$SERVE")
    for name in re.findall(r"/reports/(\w+)/rows", path):
        values = ", ".join(
            f"{"'sample'" if c.name == 'origin' else ONE[c.type]} AS {c.name}"
            for c in shown()[name].columns
        )
        servers.warehouse.query(
            f"CREATE SCHEMA IF NOT EXISTS reports; "
            f"CREATE OR REPLACE TABLE reports.{name} AS SELECT {values}"
        ).result()
    http = client(App(StepClients(SETTINGS, servers.gate.url)))
    answer = http.get(path)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.data
