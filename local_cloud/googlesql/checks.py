"""Find what BigQuery refuses or reads differently although GoogleSQL's analyser accepts it.

https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#join_types
https://cloud.google.com/bigquery/docs/transactions
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_ast_enums_pb2 as resolved_enums_pb2

from local_cloud.googlesql.scripts import Statement

_JOINS = resolved_enums_pb2.ResolvedJoinScanEnums
_OUTER = (_JOINS.LEFT, _JOINS.RIGHT, _JOINS.FULL)
_PREFIX = "ZetaSQL:"
_OPAQUE = re.compile(
    r"""--[^\n]*|\#[^\n]*|/\*.*?\*/|r?'(?:\\.|[^'\\\n])*'|r?"(?:\\.|[^"\\\n])*\"""", re.DOTALL
)
_STRUCT = re.compile(r"\bSTRUCT\s*(?=[(<])", re.IGNORECASE)


def faults(statement: Statement) -> Iterator[tuple[int, str]]:
    """List a statement's faults, GoogleSQL's own and those that it accepts, each with its line."""
    if statement.fault:
        yield statement.fault_line, statement.fault
    for message in _faults_beyond_analysis(statement) if statement.resolved is not None else ():
        yield statement.line, message


def functions(node: Message) -> set[str]:
    """Name the functions and operators that a resolved statement calls."""
    return {
        each.function.name.removeprefix(_PREFIX)
        for each in _nodes(node)
        if {"function", "signature"} <= set(each.DESCRIPTOR.fields_by_name)
    }


def _faults_beyond_analysis(statement: Statement) -> Iterator[str]:
    node = statement.resolved
    assert node is not None  # noqa: S101 - `faults` asks for resolved statements alone
    if number := _outer_joins_without_equality(node):
        yield f"{number} outer joins without an equality in ON: BigQuery refuses them"
    if number := _correlated_subqueries(node):
        yield f"{number} correlated subqueries: BigQuery cannot decorrelate all of them; use a join"
    if (number := _structs(node)) > (written := _constructors(statement.text)):
        yield (
            f"{number} STRUCTs are built, {written} are written: a table's name is read as its row; "
            "rename the table or CTE that has a column of the same name"
        )
    if statement.table and not statement.is_temporary and statement.in_transaction:
        yield f"{statement.table} is created in a transaction: BigQuery takes only TEMP tables there"


def _outer_joins_without_equality(node: Message) -> int:
    return sum(
        each.join_type in _OUTER and "$equal" not in _conjuncts(each.join_expr)
        for each in _nodes(node)
        if each.DESCRIPTOR.name == "ResolvedJoinScanProto"
    )


def _conjuncts(expression: Message) -> Iterator[str]:
    """Name the function at the top of each condition that AND connects."""
    for each in _nodes(expression):
        if each.DESCRIPTOR.name == "ResolvedFunctionCallBaseProto":
            name = each.function.name.removeprefix(_PREFIX)
            if name == "$and":
                for argument in each.argument_list:
                    yield from _conjuncts(argument)
            else:
                yield name
            return


def _correlated_subqueries(node: Message) -> int:
    """Count the subqueries that read columns of the query around them."""
    return sum(
        each.DESCRIPTOR.name == "ResolvedSubqueryExprProto" and bool(each.parameter_list)
        for each in _nodes(node)
    )


def _structs(node: Message) -> int:
    return sum(each.DESCRIPTOR.name == "ResolvedMakeStructProto" for each in _nodes(node))


def _constructors(sql: str) -> int:
    """Count `STRUCT(…)` and `STRUCT<…>(…)`; a `STRUCT<…>` alone spells a type."""
    sql = _bare(sql)
    return sum(_after_type(sql[word.end() :]).startswith("(") for word in _STRUCT.finditer(sql))


def _after_type(sql: str) -> str:
    """Cut off the type arguments `<…>` that the text begins with, if any."""
    depth = 0
    for place, sign in enumerate(sql):
        depth += {"<": 1, ">": -1}.get(sign, 0)
        if depth == 0:
            return sql[place:].removeprefix(">").lstrip()
    return ""


def _bare(sql: str) -> str:
    """Blank out comments and texts."""
    return _OPAQUE.sub(" ", sql)


def _nodes(node: Message) -> Iterator[Any]:
    """Walk every message below a node."""
    for field, value in node.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if field.is_repeated else (value,):
            yield each
            yield from _nodes(each)
