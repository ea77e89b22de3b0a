"""Cache parsed statements by text, and translations by text, context and schemas.

A translation is used again only while every table that the statement names has the columns and the
resource that it had. Statements whose translation depends on more are translated each time: system
variables, INFORMATION_SCHEMA, wildcard tables, functions of a script, row access policies, the
caller's name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlglot
from local_bigquery.catalog import names
from local_bigquery.models import Table
from local_bigquery.sql import script
from local_bigquery.sql import translate as translator
from local_bigquery.sql.dialect import BigQueryDialect
from local_bigquery.sql.rules import ddl
from local_bigquery.sql.rules.tables import resolve
from local_bigquery.sql.translate import Context
from sqlglot import exp

from local_cloud.bigquery.catalogue import CatalogueVersion, Reference, version
from local_cloud.bigquery.notes import Resources

STATEMENTS = 4096
"""Statements in memory; one more empties it."""

type Trees = list[exp.Expression]
type Bound = tuple[str, dict[str, Any]]
"""DuckDB's SQL and the values of its parameters."""

_CACHEABLE = exp.Query | exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Create
_OF_THE_CALLER = exp.SessionUser | exp.CurrentUser
_CATALOGUES = {"INFORMATION_SCHEMA", "__TABLES__"}

_translate: Callable[[exp.Expression, Context], Bound] = translator.translate
_split: Callable[[exp.Expression], Trees] = ddl.split


@dataclass(frozen=True)
class _Statement:
    """A parsed statement, which nobody changes, under a key that says how it was written."""

    tree: exp.Expression
    key: Hashable
    tables: tuple[exp.Table, ...]
    ctes: frozenset[str]

    @classmethod
    def of(cls, tree: exp.Expression, key: Hashable) -> _Statement:
        """Describe a tree; the table that it creates is none that its translation reads."""
        target = names.target(tree) if isinstance(tree, exp.Create) else None
        tables = tuple(table for table in tree.find_all(exp.Table) if table is not target)
        ctes = frozenset(cte.alias_or_name.casefold() for cte in tree.find_all(exp.CTE))
        return cls(tree, key, tables, ctes)


@dataclass(frozen=True)
class _Translation:
    """DuckDB's SQL of a statement, and what translating it leaves in the context."""

    sql: str
    schemas: dict[Reference, Any]
    used: frozenset[str]
    referenced: frozenset[Reference]
    temporary: frozenset[str]
    position: int

    def apply(self, context: Context) -> Bound:
        """Leave in the context what translating would; return the SQL and the bound values."""
        context.used = set(self.used)
        context.referenced |= self.referenced
        context.temporary |= self.temporary
        context.position = self.position
        return self.sql, {name: context.values[name] for name in self.used}


class Translations:
    """Caches of parsed statements and of their translations."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._trees: dict[Hashable, Trees] = {}
        self._statements: dict[int, _Statement] = {}
        self._translations: dict[Hashable, _Translation] = {}
        self.parse_script = functools.lru_cache(maxsize=256)(script.parse_script)

    def parse(self, text: str) -> Trees:
        """Parse the statements of a text."""
        return self._get_or_make(("statement", text), lambda: translator.parse(text))

    def select(self, expression: str) -> exp.Expression:
        """Parse an expression of a script, as the SELECT of its value."""
        (tree,) = self._get_or_make(
            ("expression", expression), lambda: [_parse_expression(expression)]
        )
        return tree

    def variables(self, text: str) -> list[tuple[str, exp.Expression]]:
        """List a DECLARE's or SET's names, each with its value's SELECT; [] for a system variable."""
        pairs = _assignments(text)
        trees = self._get_or_make(("variables", text), lambda: [tree for _, tree in pairs])
        return [(name, tree) for (name, _), tree in zip(pairs, trees, strict=True)]

    def split(self, tree: exp.Expression) -> Trees:
        """Split a statement of BigQuery's into those that DuckDB runs for it."""
        return self._derive("parts", tree, _split)

    def filled_table(self, tree: exp.Expression) -> Trees:
        """Split a CREATE TABLE with columns and a query into the bare one and the query; else []."""
        is_filled = isinstance(tree, exp.Create) and isinstance(tree.this, exp.Schema)
        if not is_filled or not isinstance(tree.expression, exp.Query):
            return []
        return self._derive("filled", tree, _bare_and_query)

    def translate(self, tree: exp.Expression, context: Context) -> Bound:
        """Translate a statement, or use its translation where nothing that it reads changed."""
        statement = self._statement(tree)
        if statement is None or context.functions or self._resources.secured():
            return _translate(tree, context)
        key = (statement.key, *_facts_of_context(context))
        translation = self._translations.get(key)
        if translation is None or translation.schemas != self._schemas(translation.schemas):
            translation = self._new_translation(statement, context)
            self._translations[key] = translation
        return translation.apply(context)

    def translate_generated(self, tree: exp.Expression, context: Context) -> Bound:
        """Translate a statement that the server itself wrote from one of ours, as for a MERGE."""
        key = ("generated", tree.sql(dialect=BigQueryDialect))
        (statement,) = self._get_or_make(key, lambda: [tree])
        return self.translate(statement, context)

    def _new_translation(self, statement: _Statement, context: Context) -> _Translation:
        """Translate in the context; schemas are read first, so a change meanwhile is noticed."""
        references = (resolve(table, context, statement.ctes) for table in statement.tables)
        schemas = self._schemas(each for each in references if each)
        temporary, referenced = set(context.temporary), set(context.referenced)
        context.referenced = set()
        sql, _ = _translate(statement.tree, context)
        translation = _Translation(
            sql,
            schemas,
            frozenset(context.used),
            frozenset(context.referenced),
            frozenset(context.temporary - temporary),
            context.position,
        )
        context.referenced |= referenced
        return translation

    def _schemas(self, references: Iterable[Reference]) -> dict[Reference, Any]:
        """Read what translations depend on of tables: their columns and resources."""
        wanted = [*references]
        versions = {project: version(project) for project in {each[0] for each in wanted}}
        return {each: self._schema(each, versions[each[0]]) for each in wanted}

    def _schema(self, reference: Reference, catalogue: CatalogueVersion) -> object:
        table = catalogue.entries.get(reference[1:])
        resource = self._resources.load(Table, *reference)
        if (table and table.kind != "TABLE") or (resource and resource.expirationTime):
            return object()  # equals nothing: a view's columns, and time, are read each time
        return table and table.columns, resource and _facts_of_table(resource)

    def _statement(self, tree: exp.Expression) -> _Statement | None:
        statement = self._statements.get(id(tree))
        return statement if statement and statement.tree is tree else None

    def _derive(self, how: str, tree: exp.Expression, derive: Callable[..., Trees]) -> Trees:
        """Derive statements from one in the cache, and cache them too."""
        statement = self._statement(tree)
        if statement is None:
            return derive(tree)
        return self._get_or_make((how, statement.key), lambda: derive(tree))

    def _get_or_make(self, key: Hashable, make: Callable[[], Trees]) -> Trees:
        trees = self._trees.get(key)
        if trees is None:
            trees = make()
            if all(isinstance(tree, _CACHEABLE) and _is_fixed(tree) for tree in trees):
                self._add(key, trees)
        return trees

    def _add(self, key: Hashable, trees: Trees) -> None:
        if len(self._statements) >= STATEMENTS:
            for cache in (self._trees, self._statements, self._translations):
                cache.clear()
        self._trees[key] = trees
        for index, tree in enumerate(trees):
            if self._statement(tree) is None:  # a part may be the statement itself
                self._statements[id(tree)] = _Statement.of(tree, (key, index))


def _facts_of_table(resource: Table) -> tuple[Hashable, ...]:
    """Collect what a translation reads of a table's resource."""
    partitioning = resource.timePartitioning
    return resource.type, resource.requirePartitionFilter, partitioning and partitioning.field


def _facts_of_context(context: Context) -> tuple[Hashable, ...]:
    """Collect what a translation reads of the script around it."""
    return (
        context.project_id,
        context.dataset_id,
        context.position,
        tuple(context.parameters.items()),
        tuple(context.values),
        tuple(context.variables.items()),
        frozenset(context.temporary),
    )


def _bare_and_query(tree: exp.Expression) -> Trees:
    bare = tree.copy()
    bare.set("expression", None)
    return [bare, tree.expression.copy()]


def _is_fixed(tree: exp.Expression) -> bool:
    """Check whether a translation reads nothing but text, context and schemas."""
    if isinstance(tree, exp.Create) and tree.args.get("kind") != "TABLE":
        return False
    return all(_is_fixed_node(node) for node in tree.walk())


def _is_fixed_node(node: exp.Expr) -> bool:
    if isinstance(node, exp.Table):
        words = {*node.name.upper().split("."), node.db.upper(), node.catalog.upper()}
        is_plain = isinstance(node.this, exp.Identifier) and not node.name.endswith("*")
        return is_plain and not words & _CATALOGUES
    if isinstance(node, exp.Parameter):  # not @@name
        return not isinstance(node.this, exp.Parameter)
    return not isinstance(node, _OF_THE_CALLER)


def _parse_expression(expression: str) -> exp.Expression:
    (value,) = sqlglot.parse_one(f"SELECT {expression}", dialect=BigQueryDialect).expressions
    return _select(value)


def _select(value: exp.Expression) -> exp.Expression:
    select: exp.Expression = script._select(value)
    return select


@functools.lru_cache(maxsize=1024)
def _assignments(text: str) -> tuple[tuple[str, exp.Expression], ...]:
    """Pair a DECLARE's or SET's variables with their values' SELECT; () for a system variable."""
    tree = sqlglot.parse_one(text, dialect=BigQueryDialect)
    pairs = _pairs_of_declare(tree) if isinstance(tree, exp.Declare) else _pairs_of_set(tree)
    return tuple((name.lower(), _select(value)) for name, value in pairs)


def _pairs_of_declare(tree: exp.Expr) -> list[tuple[str, exp.Expression]]:
    pairs = []
    for item in tree.expressions:
        value = item.args.get("default") or exp.null()
        if kind := item.args.get("kind"):
            value = exp.cast(value, kind)
        pairs += [(name.name, value.copy()) for name in item.this]
    return pairs


def _pairs_of_set(tree: exp.Expr) -> list[tuple[str, exp.Expression]]:
    pairs: list[tuple[str, exp.Expression]] = []
    for item in tree.expressions:
        target, value = item.this.this, item.this.expression
        if isinstance(target, exp.Parameter):
            return []
        targets = target.expressions if isinstance(target, exp.Tuple) else [target]
        values = value.expressions if isinstance(value, exp.Tuple) else [value]
        pairs += [
            (each.name, exp.column(part.name) if isinstance(part, exp.Var) else part)
            for each, part in zip(targets, values)  # noqa: B905 - as the server pairs them
        ]
    return pairs
