"""SQL that is sent is one of the collected texts, and any other is noticed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from functions.serve.api.query_params import parse_query_params
from functions.serve.report_catalog import load_report_definitions
from functions.serve.warehouse.sql import rows_query
from local_cloud.gateway.calls import Call
from local_cloud.gateway.proxy import Gate
from tests.support.sent_sql import SentSql, unknown
from tests.support.sql_texts import texts

BY_NAME = {text.name: text.sql for text in texts()}
SWAP = BY_NAME["swap_velib_all"]
REPORT = load_report_definitions()["wifi_usage_by_day"]


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(texts())


@pytest.mark.parametrize("name", ["reports_velib", "swap_paris_wifi_none", "smoke_reports"])
def test_a_collected_text_is_known(name: str) -> None:
    assert unknown(BY_NAME[name]) == []


def test_a_swap_of_another_manifest_and_of_fewer_tables_is_known() -> None:
    other = SWAP.replace("_20250605t000000_abc123", "_velib_0123456789abcdef0123")
    assert other != SWAP
    assert unknown(other) == []
    first, _, rest = other.partition("DELETE FROM lake.")
    _, end, last = rest.partition("DELETE FROM ops.loads")
    assert unknown(first + end + last) == []


@pytest.mark.parametrize(
    "parameters",
    [
        [],
        [("columns", "day"), ("sort", "-day")],
        [("day.from", "2024-01-01"), ("day.to", "2024-02-01"), ("limit", "7")],
    ],
)
def test_any_question_about_a_report_is_known(parameters: list[tuple[str, str]]) -> None:
    assert unknown(rows_query(parse_query_params(REPORT, parameters), None, limit=7).sql) == []


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("SELECT 1", "SELECT 1"),
        (SWAP.replace("@first_0 AND", "@first_0 OR", 1), "@first_N OR"),
        (SWAP + "SELECT 1;\n", "SELECT 1"),
        (BY_NAME["serve_wifi_usage_by_day"].replace("s.`day`", "s.`week`"), "s.`week`"),
        (BY_NAME["serve_wifi_usage_by_day"] + "\nLIMIT 7, 8", "LIMIT 7, 8"),
        (BY_NAME["reports_velib"].replace("ROLLBACK", "COMMIT"), "COMMIT TRANSACTION"),
    ],
)
def test_another_text_is_noticed(sql: str, part: str) -> None:
    (found,) = unknown(sql)
    assert part in found


def test_what_passes_the_gate_is_noted_and_its_refusals_stay() -> None:
    gate = Gate(0)
    gate.refusal = lambda call: "no" if call.name == "b" else None
    sent = SentSql(gate)
    body = {"query": "SELECT 1"}
    call = Call("a", "bigquery", "POST", "/", "a", json.dumps(body).encode(), "jobs.query")
    inserted = json.dumps({"configuration": {"query": {"query": "SELECT 2"}}}).encode()
    assert gate.refusal(call) is None
    assert gate.refusal(replace(call, name="b", body_start=inserted, action="jobs.insert")) == "no"
    loaded = json.dumps({"configuration": {"load": {}}}).encode()
    assert gate.refusal(replace(call, body_start=loaded, action="jobs.insert")) is None
    assert sent.unknown() == ["SELECT 1", "SELECT 2"]
