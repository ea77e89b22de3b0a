"""Every SQL text of the project is valid GoogleSQL, and gives the columns that are declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from local_cloud.googlesql.checks import faults
from local_cloud.googlesql.dialect import Columns
from local_cloud.googlesql.scripts import Analyser
from tests.sql.seeded_faults import ANALYSER_FAULTS, BEYOND_ANALYSIS, UNDETECTED_FAULTS
from tests.support.sql_texts import Text, texts

BY_NAME = {text.name: text for text in texts()}


def found(analyser: Analyser, text: Text) -> Iterator[str]:
    """Each fault of a text, with file and line."""
    statements = analyser.script(text.sql, text.parameters, text.creates)
    for statement in statements:
        for line, message in faults(statement):
            yield f"{text.place(line)}: {message}"
        declared = text.creates.get(statement.table)
        if declared is not None:
            yield from differences(text.place(statement.line), statement.columns, declared)
    if text.columns is not None:
        if [statement.kind for statement in statements] != ["query_statement"]:
            yield f"{text.place(1)}: it must be one SELECT"
        yield from differences(text.place(1), statements[0].columns, text.columns)
    created = {statement.table for statement in statements}
    yield from (f"{text.source}: {name} is not created" for name in set(text.creates) - created)


def differences(place: str, inferred: Columns, declared: Columns) -> Iterator[str]:
    """How inferred columns differ from the declared ones: in name, type or number."""
    if not inferred:
        return  # its fault is reported
    for number, (have, want) in enumerate(zip(inferred, declared, strict=False), start=1):
        if have != want:
            yield f"{place}: column {number} is {' '.join(have)}, declared is {' '.join(want)}"
    if len(inferred) != len(declared):
        yield f"{place}: {len(inferred)} columns, declared are {len(declared)}"


@pytest.mark.parametrize("text", texts(), ids=lambda text: text.name)
def test_googlesql_takes_it_and_gives_what_is_declared(analyser: Analyser, text: Text) -> None:
    faults_of_text = list(found(analyser, text))
    assert not faults_of_text, "\n" + "\n".join(faults_of_text)


@pytest.mark.parametrize("sql", ANALYSER_FAULTS.values(), ids=ANALYSER_FAULTS.keys())
def test_a_seeded_fault_is_seen(analyser: Analyser, sql: str) -> None:
    assert list(found(analyser, Text("seeded", sql, "seeded")))


@pytest.mark.parametrize("sql", BEYOND_ANALYSIS.values(), ids=BEYOND_ANALYSIS.keys())
def test_a_fault_that_the_analyser_passes_is_seen(analyser: Analyser, sql: str) -> None:
    assert list(found(analyser, Text("seeded", sql, "seeded")))


@pytest.mark.parametrize(
    ("sql", "reason"), UNDETECTED_FAULTS.values(), ids=UNDETECTED_FAULTS.keys()
)
def test_what_no_analysis_sees(analyser: Analyser, sql: str, reason: str) -> None:
    assert list(found(analyser, Text("seeded", sql, "seeded"))) == [], f"no longer true: {reason}"


HISTORY = "bq_sql/velib/tables/velib_station_history.sql"


@pytest.mark.parametrize(
    ("name", "old", "new", "place"),
    [
        ("reports_velib", "changes_with_facts", "facts", f"{HISTORY}:39: No matching signature"),
        ("swap_velib_none", "(SELECT CONCAT", "(SELECT CONKAT", "functions/load/swap.py, line 62 of swap_velib_none: "),
        ("live_health_rejects", "MAX_BY(c.lines", "ARG_MAX(c.lines", "bq_sql/health/live/health_rejects.sql:"),
        ("serve_health_rejects_reach", "MAX_BY(c.lines", "ARG_MAX(c.lines", "bq_sql/health/live/health_rejects.sql:"),
        ("ledger_read", "manifest\n", "manifesto\n", "functions/core/ledger.py:1"),
        ("smoke_reports", "r.run_time", "r.run", "smoke/chain.py:12"),
    ],
)  # fmt: skip
def test_a_fault_names_its_file_and_line(
    analyser: Analyser, name: str, old: str, new: str, place: str
) -> None:
    text = BY_NAME[name]
    assert old in text.sql
    first, *_ = found(analyser, replace(text, sql=text.sql.replace(old, new)))
    assert first.startswith(place)


def test_a_report_of_another_type_name_or_order_is_seen(analyser: Analyser) -> None:
    text = BY_NAME["live_health_errors"]
    assert text.columns
    (name, kind), *rest = text.columns
    assert kind != "DATE"
    for columns in ([(name, "DATE"), *rest], [("other", kind), *rest], rest, [*rest, (name, kind)]):
        assert list(found(analyser, replace(text, columns=columns)))


def test_a_report_that_no_statement_creates_is_seen(analyser: Analyser) -> None:
    text = BY_NAME["ledger_read"]
    (fault,) = found(analyser, replace(text, creates={"wifi_days": []}))
    assert "wifi_days is not created" in fault
