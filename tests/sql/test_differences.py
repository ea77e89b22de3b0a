"""Every difference between the stand-in and GoogleSQL that docs/local-cloud.md lists is there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from local_cloud.googlesql.client import Client
from tests.support.sql_texts import ROOT
from tests.support.warehouse import server  # noqa: F401

PAGE = (ROOT / "docs" / "local-cloud.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| `(.+?)` \| (.+?) \| (.+?) \| .+ \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def googlesql() -> Client:
    """Start ZetaSQL's reference engine."""
    return Client()


def cell(client: Any, expression: str) -> str:
    """Evaluate an expression and write its value as the table does."""
    try:
        ((value,),) = [row.values() for row in client.query(f"SELECT {expression}").result()]
    except BadRequest:
        return "refused"
    return f"`{literal(value)}`"


def literal(value: Any) -> str:
    """Write a value: NULL, TRUE and FALSE as in SQL, texts in quotes."""
    if value is None or isinstance(value, bool):
        return {None: "NULL", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value) if isinstance(value, str) else str(value)


def test_the_number_of_differences_is_true() -> None:
    assert [int(number) for number, *_ in ROWS] == [*range(1, len(ROWS) + 1)]
    assert f"{len(ROWS)} differences were found" in PAGE


def test_each_row_is_what_the_engines_give(
    googlesql: Client,
    server: bigquery.Client,  # noqa: F811
) -> None:
    """One test for all rows, so that one process starts the stand-in."""
    found = [(number, sql, cell(googlesql, sql), cell(server, sql)) for number, sql, *_ in ROWS]
    assert found == ROWS


def test_each_row_is_a_difference() -> None:
    assert [
        number for number, _, in_googlesql, in_stand_in in ROWS if in_googlesql == in_stand_in
    ] == []
