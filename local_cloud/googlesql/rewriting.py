"""BigQuery's SQL in the words that ZetaSQL's reference engine takes.

| BigQuery | the engine |
|---|---|
| `data_set.table` | one quoted name |
| MAX_BY(x, y), MIN_BY(x, y) | its synonym ANY_VALUE(x HAVING MAX y) |
| APPROX_QUANTILES(x, n)[OFFSET(k)] | the exact quantile, as BigQuery's documentation shows it |
| `@@error.message`, `@@row_count` | a parameter |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from local_cloud.googlesql.scripts import concrete, source, span

_BY = {"MAX_BY": "MAX", "MIN_BY": "MIN"}

type _Edit = tuple[int, int, str]


class Rewriter:
    """Rewrites parts of one script; notes the tables and parameters that they name."""

    def __init__(self, script: bytes, is_table: Callable[[str], bool]) -> None:
        self._script = script
        self._is_table = is_table
        self.tables: set[str] = set()
        self.parameters: set[str] = set()

    def text(self, node: Any) -> str:
        """Rewrite a node of the parsed script."""
        node, _ = concrete(node)
        start, end = span(node)
        parts = []
        for edit_start, edit_end, text in sorted(self._edits(node)):
            if edit_start >= start:  # what lies within another edit is dropped
                parts += [self._script[start:edit_start].decode(), text]
                start = edit_end
        return "".join([*parts, self._script[start:end].decode()])

    def table(self, path: Any) -> str:
        """Quote a table's path as one name, and note it."""
        name = path_name(path)
        if not self._is_table(name):
            return source(self._script, path)
        self.tables.add(name)
        return f"`{name}`"

    def _edits(self, node: Any) -> Iterator[_Edit]:
        """List what changes in a node, from the outside in."""
        edit = _EDITS.get(node.DESCRIPTOR.name)
        if edit:
            yield from edit(self, node)
        for child in _children(node):
            yield from self._edits(child)

    def _table_path(self, node: Any) -> Iterator[_Edit]:
        if not node.HasField("path_expr"):
            return
        name = path_name(node.path_expr)
        if self._is_table(name):
            alias = "" if node.HasField("alias") else f" AS {name.rpartition('.')[2]}"
            yield (*span(node.path_expr), self.table(node.path_expr) + alias)

    def _target(self, node: Any) -> Iterator[_Edit]:
        path, _ = concrete(node.target_path)
        yield (*span(path), self.table(path))

    def _parameter(self, node: Any) -> Iterator[_Edit]:
        self.parameters.add(node.name.id_string)
        yield from ()

    def _system_variable(self, node: Any) -> Iterator[_Edit]:
        name = path_name(node.path).replace(".", "_")
        self.parameters.add(name)
        yield (*span(node), f"@{name}")

    def _call(self, node: Any) -> Iterator[_Edit]:
        word = _BY.get(path_name(node.function).upper())
        if word:
            first, second = node.arguments
            yield (*span(node.function), "ANY_VALUE")
            yield (span(first)[1], span(second)[0], f" HAVING {word} ")

    def _element(self, node: Any) -> Iterator[_Edit]:
        called, _ = concrete(node.array)
        if called.DESCRIPTOR.name != "ASTFunctionCallProto":
            return
        if path_name(called.function).upper() == "APPROX_QUANTILES":
            x, count = (source(self._script, each) for each in called.arguments)
            position, _ = concrete(node.position)
            offset = source(self._script, position.arguments[0])
            place = f"CAST(CEIL({offset} * COUNT({x}) / {count}) AS INT64) - 1"
            exact = f"ARRAY_AGG({x} IGNORE NULLS ORDER BY {x})[SAFE_OFFSET({place})]"
            yield (*span(node), exact)


_EDITS: dict[str, Callable[[Rewriter, Any], Iterator[_Edit]]] = {
    "ASTTablePathExpressionProto": Rewriter._table_path,
    "ASTInsertStatementProto": Rewriter._target,
    "ASTUpdateStatementProto": Rewriter._target,
    "ASTDeleteStatementProto": Rewriter._target,
    "ASTParameterExprProto": Rewriter._parameter,
    "ASTSystemVariableExprProto": Rewriter._system_variable,
    "ASTFunctionCallProto": Rewriter._call,
    "ASTArrayElementProto": Rewriter._element,
}


def path_name(path: Any) -> str:
    """Join the names of a path, such as `ops.loads`."""
    path, _ = concrete(path)
    return ".".join(each.id_string for each in path.names)


def _children(node: Message) -> Iterator[Any]:
    """List the messages that a node holds."""
    for field, value in node.ListFields():
        if field.message_type is not None:
            yield from value if field.is_repeated else (value,)


def merge_parts(rewriter: Rewriter, node: Any) -> list[tuple[str, str]]:
    """Split a MERGE, which the engine refuses, into statements; each with its kind.

    WHEN MATCHED THEN UPDATE becomes UPDATE, WHEN NOT MATCHED THEN INSERT becomes INSERT … WHERE NOT
    EXISTS. Raises NotImplementedError for a clause of another form.
    """
    target = rewriter.table(node.target_path)
    alias = f" AS {node.alias.identifier.id_string}" if node.HasField("alias") else ""
    using, condition = rewriter.text(node.table_expression), rewriter.text(node.merge_condition)
    parts = []
    for clause in node.when_clauses.clause_list:
        action = clause.action
        if clause.HasField("search_condition"):
            raise NotImplementedError("MERGE with AND after WHEN: add it to rewriting.py")
        if action.HasField("update_item_list"):
            sets = rewriter.text(action.update_item_list)
            sql = f"UPDATE {target}{alias} SET {sets} FROM {using} WHERE {condition}"
            parts.append(("UPDATE", sql))
        else:
            columns = rewriter.text(action.insert_column_list)
            values = ", ".join(rewriter.text(each) for each in action.insert_row.values)
            sql = (
                f"INSERT INTO {target} {columns} SELECT {values} FROM {using} "
                f"WHERE NOT EXISTS (SELECT 1 FROM {target}{alias} WHERE {condition})"
            )
            parts.append(("INSERT", sql))
    return parts
