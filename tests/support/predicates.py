"""What statements say of the slots they touch: parsed, scope by scope."""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp

BOUNDS = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.EQ, exp.Between, exp.In)


def unbounded(sql: str, *zones: str) -> list[str]:
    """The tables of these zones, by default the lake, that a scope touches in all their slots.

    A predicate counts where it holds for every row: joined by AND in the scope's WHERE, or in the
    ON of the join that brings the table, with `slot_start` bare on its left and no column on its
    right. Raises ValueError for what cannot be parsed.
    """
    return [
        table.sql("bigquery")
        for statement in parsed(sql)
        for scope in scopes(statement)
        for table in tables(scope)
        if table.db in (zones or ("lake",)) and not bounding(scope, table)
    ]


def parsed(sql: str) -> list[exp.Expr]:
    """The statements of a script; an ASSERT is the SELECT of its condition."""
    read = re.sub(r"\bASSERT\b(.*?)\bAS '[^']*'", r"SELECT\1AS held", sql, flags=re.DOTALL)
    found = [statement for statement in sqlglot.parse(read, read="bigquery") if statement]
    unread = [each.sql("bigquery") for each in found if isinstance(each, exp.Command)]
    if unread:
        raise ValueError(f"not understood: {unread[0][:80]}")
    return found


def scopes(statement: exp.Expr) -> Iterator[exp.Expr]:
    """What has a WHERE of its own: every SELECT, a DELETE, an UPDATE, a MERGE (which has none)."""
    yield from statement.find_all(exp.Select, exp.Delete, exp.Update, exp.Merge)


def tables(scope: exp.Expr) -> list[exp.Table]:
    """The tables that a scope itself reads or changes."""
    return [table for table in scope.find_all(exp.Table) if _owner(table) is scope]


def _owner(node: exp.Expr) -> exp.Expr | None:
    """The innermost scope that holds a node."""
    return node.find_ancestor(exp.Select, exp.Delete, exp.Update, exp.Merge)


def bounding(scope: exp.Expr, table: exp.Table, column: str = "slot_start") -> list[exp.Expr]:
    """The conditions on a table that bound its slots, or another of its columns."""
    own = {table.alias_or_name} | ({""} if len(tables(scope)) == 1 else set())
    return [each for each in _conditions(scope, table) if _bounds(each, own, column)]


def _conditions(scope: exp.Expr, table: exp.Table) -> Iterator[exp.Expr]:
    """The conditions that each row of a table meets."""
    where = scope.args.get("where")
    joins = [join for join in scope.args.get("joins") or [] if join.this is table]
    for condition in (where and where.this, *(join.args.get("on") for join in joins)):
        if condition is not None:
            yield from condition.flatten() if isinstance(condition, exp.And) else [condition]


def _bounds(condition: exp.Expr, own: set[str], name: str) -> bool:
    """Whether a condition bounds a column by something that is no column of the row."""
    if not isinstance(condition, BOUNDS):
        return False
    column: exp.Expr = condition.this
    if not isinstance(column, exp.Column):
        return False
    if column.name != name or column.table not in own:
        return False
    if isinstance(condition, exp.In):
        return bool(condition.expressions)
    others: list[exp.Expr] = [p for p in condition.iter_expressions() if id(p) != id(column)]
    return not any(_of_row(part) for part in others)


def _of_row(part: exp.Expr) -> bool:
    """Whether an expression depends on the row; a query in brackets is not looked into."""
    return any(not column.find_ancestor(exp.Subquery) for column in part.find_all(exp.Column))
