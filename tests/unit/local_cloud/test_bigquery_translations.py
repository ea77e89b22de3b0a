"""When a translation is used again, and when the statement is translated anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from local_bigquery.models import RowAccessPolicy, Table
from local_bigquery.sql.translate import Context
from sqlglot import exp

from local_cloud.bigquery import translations as module
from local_cloud.bigquery.catalogue import CatalogueVersion, Entry
from local_cloud.bigquery.notes import Resources
from local_cloud.bigquery.translations import Translations

TABLE = ("demo", "ops", "t")
INTEGER = ("v", "int64", True, None)
QUERY = "SELECT v FROM ops.t"


class Server:
    """Translations over one table, with a translator that counts."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], Entry] = {TABLE[1:]: Entry("TABLE", 1, (INTEGER,))}
        self.resources = Resources()
        self.translations = Translations(self.resources)
        self.count = 0

    def version(self, project: str) -> CatalogueVersion:
        return CatalogueVersion(1, frozenset({"ops"}), self.entries)

    def count_one(self, tree: exp.Expression, context: Context) -> tuple[str, dict[str, Any]]:
        self.count += 1
        context.used = {"p"} & {*context.values}
        context.referenced.add(TABLE)
        return f"translation {self.count}", {}

    def run(self, text: str = QUERY, **context: Any) -> Context:
        """Translate the statements of a text in a context of their own."""
        own = Context("demo", None, **context)
        for tree in self.translations.parse(text):
            self.translations.translate(tree, own)
        return own


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(module, "version", server.version)
    monkeypatch.setattr(module, "_translate", server.count_one)
    return server


def test_the_same_statement_is_translated_once(server: Server) -> None:
    assert [server.run().referenced for _ in range(3)] == [{TABLE}] * 3
    assert server.count == 1


CHANGES: dict[str, Callable[[Server], object]] = {
    "column added": lambda s: s.entries.update(
        {TABLE[1:]: Entry("TABLE", 1, (INTEGER, ("w", "int64", True, None)))}
    ),
    "type changed": lambda s: s.entries.update(
        {TABLE[1:]: Entry("TABLE", 1, (("v", "float64", True, None),))}
    ),
    "field of a record changed": lambda s: s.entries.update(
        {TABLE[1:]: Entry("TABLE", 1, (("v", "int64", True, 3),))}
    ),
    "table dropped": lambda s: s.entries.clear(),
    "partition filter required": lambda s: s.resources.save(
        Table(requirePartitionFilter=True), *TABLE
    ),
    "snapshot": lambda s: s.resources.save(Table(type="SNAPSHOT"), *TABLE),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_its_table_translates_it_anew(server: Server, change: str) -> None:
    server.run()
    CHANGES[change](server)
    server.run()
    server.run()
    assert server.count == 2


def test_a_table_made_anew_with_the_same_columns_changes_nothing(server: Server) -> None:
    server.resources.save(Table(description="one"), *TABLE)
    server.run()
    server.entries[TABLE[1:]] = Entry("TABLE", 2, (INTEGER,))
    server.resources.save(Table(description="another"), *TABLE)
    server.run()
    assert server.count == 1


UNCACHED: dict[str, Callable[[Server], object]] = {
    "view": lambda s: s.entries.update({TABLE[1:]: Entry("VIEW", None, ())}),
    "table that expires": lambda s: s.resources.save(Table(expirationTime="9"), *TABLE),
    "row access policy": lambda s: s.resources.save(RowAccessPolicy(), *TABLE, "p"),
}


@pytest.mark.parametrize("state", UNCACHED)
def test_what_a_translation_cannot_name_is_read_each_time(server: Server, state: str) -> None:
    UNCACHED[state](server)
    server.run()
    server.run()
    assert server.count == 2


@pytest.mark.parametrize(
    "text",
    [
        "SELECT @@error.message",
        "SELECT SESSION_USER()",
        "SELECT 1 FROM ops.INFORMATION_SCHEMA.TABLES",
        "SELECT 1 FROM ops.__TABLES__",
        "SELECT 1 FROM `ops.t_*`",
        "CREATE VIEW ops.v AS SELECT 1 AS a",
        "CREATE FUNCTION ops.f(x INT64) AS (x)",
    ],
)
def test_statements_that_are_translated_each_time(server: Server, text: str) -> None:
    server.run(text)
    server.run(text)
    assert server.count == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"variables": {"v": "temp.a"}}, {"variables": {"v": "temp.b"}}),
        ({"variables": {"v": "temp.a"}}, {}),
        ({"parameters": {"p": "$p"}}, {"parameters": {"p": "CAST($p AS DATE)"}}),
        ({"temporary": {"t"}}, {"temporary": set()}),
    ],
)
def test_another_context_is_another_translation(
    server: Server, first: dict[str, Any], second: dict[str, Any]
) -> None:
    for _ in range(2):
        server.run(**first)
        server.run(**second)
    assert server.count == 2


def test_functions_of_a_script_are_never_cached(server: Server) -> None:
    for _ in range(2):
        server.run(functions={"f": "name"})
    assert server.count == 2


def test_values_are_those_of_the_run(server: Server) -> None:
    (tree,) = server.translations.parse("SELECT @p")
    for value in ("a", "b"):
        context = Context("demo", None, parameters={"p": "$p"}, values={"p": value})
        assert server.translations.translate(tree, context)[1] == {"p": value}
    assert server.count == 1


def test_a_full_cache_begins_anew(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATEMENTS", 2)
    for text in (QUERY, "SELECT 1", "SELECT 2", QUERY):
        server.run(text)
    assert server.count == 4
