"""Each place in the code that sends SQL, with the collected texts that it sends."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.sql_texts import LOCAL_CLOUD_VALUES, ROOT, texts

PACKAGES = ("catalog", "cost", "dataproc_jobs", "functions", "infra_pulumi", "local_cloud", "smoke")
SENDING = ("query", "query_and_wait")
"""Methods of BigQuery's client, and `functions.core.bigquery.query`, that send SQL."""
SITES = {
    "functions/core/bigquery.py query": (),  # passes on what those below give it
    "functions/core/ledger.py read": ("ledger_read",),
    "functions/core/ledger.py raise_versions": ("ledger_raise",),
    "functions/serve/warehouse/report_store.py _run_query": ("serve_",),
    "functions/publish_latest/step.py _put": ("show_",),
    "functions/load/swap.py swap": ("swap_",),
    "local_cloud/cloud.py _run_query": ("reports_",),
    "local_cloud/cloud.py rows": ("cloud_", "demo_", "trial_"),
    "local_cloud/googlesql/client.py query": (),  # sends nothing: it runs what tests give it
    "local_cloud/cli/trial.py _query": (),  # what a person gives `nox -s try`
    "smoke/chain.py _reports": ("smoke_reports",),
    "smoke/services.py failed_check_stops_a_script": ("smoke_failed_check_stops_a_script",),
    "smoke/services.py rows_changed_are_counted": ("smoke_rows_changed_are_counted",),
}
"""File and function → beginnings of the names of texts in tests/support/sql_texts.py."""
CLIENTS = {
    "functions/core/clients.py", "functions/core/bigquery.py", "functions/load/staging.py",
    "functions/serve/warehouse/report_store.py", "functions/serve/warehouse/sql.py", "functions/load/swap.py",
    "local_cloud/bigquery/server.py", "local_cloud/cloud.py", "local_cloud/googlesql/client.py",
    "local_cloud/functions_runtime/in_process.py",
    "local_cloud/cli/pictures.py", "local_cloud/pulumi/provision.py",
}  # fmt: skip
"""Files that import BigQuery's client."""


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the packages, by its path."""
    paths = [path for each in PACKAGES for path in sorted((ROOT / each).rglob("*.py"))]
    return tuple((str(p.relative_to(ROOT)), ast.parse(p.read_text("utf-8"))) for p in paths)


def calls(tree: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a function or method of these names, with the function that it is in."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and called(node) in names:
                    yield function.name, node


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def test_every_place_that_sends_sql_is_listed_with_its_texts() -> None:
    found = {f"{path} {name}" for path, tree in modules() for name, _ in calls(tree, SENDING)}
    assert found == set(SITES), "list the place in SITES, and collect its text in sql_texts.py"


@pytest.mark.parametrize("beginning", sorted(b for each in SITES.values() for b in each))
def test_the_texts_of_a_place_are_collected(beginning: str) -> None:
    assert [text for text in texts() if text.name.startswith(beginning)]


def test_queries_of_serve_are_written_in_one_file() -> None:
    found = {path for path, tree in modules() for _ in calls(tree, ("Query",))}
    assert found == {"functions/serve/warehouse/sql.py"}


def test_looks_of_the_local_cloud_have_their_text_at_the_call() -> None:
    found = {path: list(calls(tree, ("rows",))) for path, tree in modules()}
    asks = {
        path: [call for _, call in each if call.args and ast.unparse(call.func) in ROWS]
        for path, each in found.items()
    }
    assert {path for path, each in asks.items() if each} == set(LOCAL_CLOUD_VALUES)
    for path, each in asks.items():
        for call in each:
            place = f"{path}:{call.lineno}"
            assert isinstance(call.args[0], ast.Constant | ast.JoinedStr), place


ROWS = ("cloud.rows", "self.rows")


def test_whoever_imports_bigquerys_client_is_listed() -> None:
    found = {
        path
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import) and imports_bigquery(node)
    }
    assert found == CLIENTS, "another way to BigQuery: does it send SQL? See SITES"


def imports_bigquery(node: ast.ImportFrom | ast.Import) -> bool:
    """Whether it imports from `google.cloud.bigquery`."""
    module = getattr(node, "module", "") or ""
    names = [f"{module}.{alias.name}".lstrip(".") for alias in node.names]
    return any(name.startswith("google.cloud.bigquery") for name in names)


def test_a_new_place_is_noticed() -> None:
    tree = ast.parse("def f(clients):\n    clients.bigquery.query('SELECT 1')\n")
    assert [name for name, _ in calls(tree, SENDING)] == ["f"]
