"""Run scripts on ZetaSQL's reference engine: tables, DML, transactions, handlers.

The engine evaluates one SELECT, INSERT, UPDATE or DELETE over tables that are sent with it. What it does
not do is emulated here: control flow, handlers, transactions (one at a time), CREATE TABLE AS, DROP
TABLE, ASSERT's failure, MERGE, and what rewriting.py lists. NOT NULL is enforced; partitions, quotas and
permissions are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service_pb2
from zetasql.wasi._pb2.zetasql.public import type_pb2, value_pb2

from local_cloud.googlesql.dialect import (
    analyzer_options,
    empty_catalog,
    type_name,
    type_proto,
)
from local_cloud.googlesql.engine import Service, SqlError
from local_cloud.googlesql.rewriting import Rewriter, merge_parts, path_name
from local_cloud.googlesql.scripts import concrete, parse, source
from local_cloud.googlesql.values import from_proto, to_proto

_ROW = "_row_of_table"
"""A hidden key: UPDATE of a table whose key is a column of its own has aborted the engine."""

_TEMPORARY = 3
"""`ASTCreateStatementEnums.Scope.TEMPORARY`."""


class ScriptError(Exception):
    """A statement failed, or RAISE ended the script; the text is the error's message."""


class _ReturnError(Exception):
    """RETURN ends the script."""


@dataclass
class TableState:
    """A table: columns with types, and rows as the service has them."""

    columns: list[tuple[str, type_pb2.TypeProto]]
    rows: list[Sequence[value_pb2.ValueProto]] = field(default_factory=list)
    required: frozenset[str] = frozenset()
    description: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """Column → description."""

    def require(self, name: str, rows: Iterable[Sequence[value_pb2.ValueProto]]) -> None:
        """Raise ScriptError where a required column of a row is NULL."""
        places = [n for n, (column, _) in enumerate(self.columns) if column in self.required]
        for cells in rows:
            for place in places:
                if cells[place].WhichOneof("value") is None:
                    column, _ = self.columns[place]
                    raise ScriptError(f"Required field {column} of {name} cannot be null")


@dataclass
class QueryRows:
    """What a SELECT gives."""

    columns: list[tuple[str, type_pb2.TypeProto]]
    cells: list[Sequence[value_pb2.ValueProto]]

    def values(self) -> list[list[Any]]:
        """Convert the cells to values of Python."""
        kinds = [kind for _, kind in self.columns]
        return [
            [from_proto(kind, cell) for kind, cell in zip(kinds, row, strict=True)]
            for row in self.cells
        ]


class Warehouse:
    """Tables by name, such as `ops.loads`, and scripts over them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tables: dict[str, TableState] = {}

    def create(self, name: str, columns: Sequence[tuple[str, str, str]]) -> None:
        """Create an empty table of columns with type and mode."""
        self.tables[name] = TableState(
            [(column, type_proto(kind)) for column, kind, _ in columns],
            required=frozenset(column for column, _, mode in columns if mode == "REQUIRED"),
        )

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of JSON as `insertAll` does; raises ScriptError for an unknown column."""
        table = self.tables[name]
        own_columns = {column for column, _ in table.columns}
        if unknown := {column for row in rows for column in row} - own_columns:
            raise ScriptError(f"{name} has no column {', '.join(sorted(unknown))}")
        values = [
            [to_proto(type_name(kind), row.get(column)) for column, kind in table.columns]
            for row in rows
        ]
        table.require(name, values)
        table.rows += values

    def run(self, sql: str, parameters: Mapping[str, tuple[str, Any]]) -> QueryRows:
        """Run a script.

        Args:
            sql: One or more statements.
            parameters: Name → type and value of each query parameter.

        Returns:
            The rows of the last SELECT.

        Raises:
            ScriptError: A statement failed and no handler took it.
        """
        return _Script(self, sql, parameters).run()


class _Script:
    """A script while it runs."""

    def __init__(
        self, warehouse: Warehouse, sql: str, parameters: Mapping[str, tuple[str, Any]]
    ) -> None:
        self._service = warehouse.service
        self._permanent = warehouse.tables
        self._text = sql.encode()
        self._parameters = dict(parameters)
        self._variables: dict[str, tuple[type_pb2.TypeProto, value_pb2.ValueProto]] = {}
        self._temporary: dict[str, TableState] = {}
        self._before: tuple[dict[str, list[Any]], dict[str, TableState]] | None = None
        self._last = QueryRows([], [])

    def run(self) -> QueryRows:
        """Run every statement."""
        try:
            self.block(parse(self._service, self._text.decode()))
        except _ReturnError:
            pass
        except SqlError as error:
            raise ScriptError(_message(error)) from error
        except ScriptError:
            self._roll_back()
            raise
        return self._last

    def block(self, block: Any) -> None:
        """Run a list of statements."""
        for each in block.statement_list:
            node, name = concrete(each)
            run = _STATEMENTS.get(name)
            if run is None:
                raise NotImplementedError(f"{name}: add it to warehouse.py")
            run(self, node)

    def _declare(self, node: Any) -> None:
        kind = type_proto(source(self._text, node.type).upper())
        value = value_pb2.ValueProto()
        if node.HasField("default_value"):
            value = self._value(node.default_value)
        for variable in node.variable_list.identifier_list:
            self._variables[variable.id_string] = kind, value

    def _set(self, node: Any) -> None:
        name = node.variable.id_string
        self._variables[name] = self._variables[name][0], self._value(node.expression)

    def _if(self, node: Any) -> None:
        if node.HasField("elseif_clauses"):
            raise NotImplementedError("ELSEIF: add it to warehouse.py")
        if self._value(node.condition).bool_value:
            self.block(node.then_list)
        elif node.HasField("else_list"):
            self.block(node.else_list)

    def _begin_end(self, node: Any) -> None:
        try:
            self.block(node.statement_list_node)
        except ScriptError as error:
            handlers = node.handler_list.exception_handler_list
            if not handlers:
                raise
            outer = self._parameters.get("error_message", ("STRING", None))
            self._parameters["error_message"] = "STRING", str(error)
            self.block(handlers[0].statement_list)
            self._parameters["error_message"] = outer

    def _raise(self, node: Any) -> None:
        if node.HasField("message"):
            raise ScriptError(self._value(node.message).string_value)
        raise ScriptError(self._parameters["error_message"][1])

    def _return(self, _: Any) -> None:
        raise _ReturnError

    def _begin(self, _: Any) -> None:
        rows = {name: list(table.rows) for name, table in self._permanent.items()}
        self._before = rows, dict(self._temporary)

    def _commit(self, _: Any) -> None:
        self._before = None

    def _rollback(self, _: Any) -> None:
        self._roll_back()

    def _roll_back(self) -> None:
        if self._before is not None:
            for name, rows in self._before[0].items():
                self._permanent[name].rows = rows
            self._temporary, self._before = self._before[1], None

    def _assert(self, node: Any) -> None:
        if not self._value(node.expr).bool_value:
            raise ScriptError(node.description.string_value or "Assertion failed")

    def _create(self, node: Any) -> None:
        rewriter = self._rewriter()
        rows = self._select(rewriter.text(node.query), rewriter)
        name, table = path_name(node.parent.name), TableState(rows.columns, rows.cells)
        if node.parent.HasField("table_element_list"):
            self._hold_to_declared(name, table, node.parent.table_element_list)
        table.description = _option(node.parent.options_list, "description")
        table.require(name, table.rows)
        is_temporary = node.parent.parent.scope == _TEMPORARY
        (self._temporary if is_temporary else self._permanent)[name] = table

    def _hold_to_declared(self, name: str, table: TableState, elements: Any) -> None:
        """Compare a new table's columns with those that its statement declares."""
        required, descriptions = set(), {}
        for (column, kind), each in zip(table.columns, elements.elements, strict=True):
            definition, _ = concrete(each)
            schema, _ = concrete(definition.schema)
            declared = path_name(schema.type_name).upper()
            if (definition.name.id_string, declared) != (column, type_name(kind)):
                raise ScriptError(f"{name}: {column} is {type_name(kind)}, declared {declared}")
            descriptions[column] = _option(schema.parent.options_list, "description")
            if schema.parent.attributes.values:  # NOT NULL is the only one that is used
                required.add(column)
        table.required, table.descriptions = frozenset(required), descriptions

    def _drop(self, node: Any) -> None:
        name = path_name(node.name)
        if self._permanent.pop(name, None) is None and not node.is_if_exists:
            raise ScriptError(f"Not found: Table {name}")

    def _insert(self, node: Any) -> None:
        self._modify_one("INSERT", node)

    def _update(self, node: Any) -> None:
        self._modify_one("UPDATE", node)

    def _delete(self, node: Any) -> None:
        self._modify_one("DELETE", node)

    def _modify_one(self, kind: str, node: Any) -> None:
        rewriter = self._rewriter()
        sql = rewriter.text(node)
        self._count(self._modify(kind, path_name(node.target_path), sql, rewriter))

    def _merge(self, node: Any) -> None:
        rewriter, target = self._rewriter(), path_name(node.target_path)
        parts = merge_parts(rewriter, node)
        self._count(sum(self._modify(kind, target, sql, rewriter) for kind, sql in parts))

    def _count(self, rows: int) -> None:
        """Set `@@row_count`."""
        self._parameters["row_count"] = "INT64", rows

    def _query(self, node: Any) -> None:
        rewriter = self._rewriter()
        self._last = self._select(rewriter.text(node), rewriter)

    def _value(self, node: Any) -> value_pb2.ValueProto:
        """Evaluate an expression."""
        rewriter = self._rewriter()
        return self._select(f"SELECT ({rewriter.text(node)})", rewriter).cells[0][0]

    def _rewriter(self) -> Rewriter:
        return Rewriter(self._text, lambda name: self._table(name) is not None)

    def _table(self, name: str) -> TableState | None:
        return self._temporary.get(name) or self._permanent.get(name)

    def _select(self, sql: str, rewriter: Rewriter) -> QueryRows:
        request = self._request(service_pb2.EvaluateQueryRequest, sql, rewriter)
        answer = self._call("EvaluateQuery", request)
        if number := answer.prepared.prepared_query_id:
            self._call(
                "UnprepareQuery", service_pb2.UnprepareQueryRequest(prepared_query_id=number)
            )
        columns = [(column.name, column.type) for column in answer.prepared.columns]
        return QueryRows(columns, [list(row.cell) for row in answer.content.table_data.row])

    def _modify(self, kind: str, name: str, sql: str, rewriter: Rewriter) -> int:
        """Run an INSERT, UPDATE or DELETE; how many rows it changes."""
        table = self._table(name)
        if table is None:
            raise ScriptError(f"Not found: Table {name}")
        keyed = "" if kind == "INSERT" else name
        request = self._request(service_pb2.EvaluateModifyRequest, sql, rewriter, keyed)
        answer = self._call("EvaluateModify", request).content
        rows = [list(row.cell)[: len(table.columns)] for row in answer]
        if kind == "INSERT":
            table.require(name, rows)
            table.rows = [*table.rows, *rows]
            return len(rows)
        keys = [row.old_primary_key[0].int64_value for row in answer]
        if kind == "DELETE":
            gone = set(keys)
            table.rows = [row for number, row in enumerate(table.rows) if number not in gone]
        else:
            table.require(name, rows)
            changed = dict(zip(keys, rows, strict=True))
            table.rows = [changed.get(number, row) for number, row in enumerate(table.rows)]
        return len(keys)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return self._service.call(method, request)
        except SqlError as error:
            raise ScriptError(_message(error)) from error

    def _request(self, kind: Any, sql: str, rewriter: Rewriter, keyed: str = "") -> Any:
        """Build a request: the statement, and the tables, variables and parameters that it names."""
        parameters = {n: v for n, v in self._parameters.items() if n in rewriter.parameters}
        kinds = {name: kind_ for name, (kind_, _) in parameters.items()}
        options = analyzer_options(self._service, kinds, system_variables=False)
        request = kind(sql=sql, options=options)
        for name, (kind_, value) in parameters.items():
            request.params.add(name=name, value=to_proto(kind_, value))
        catalog = empty_catalog()
        for name, (type_, value) in self._variables.items():
            if re.search(rf"\b{name}\b", sql):
                catalog.constant.add(name_path=[name], type=type_).value.CopyFrom(value)
        for number, name in enumerate(sorted(rewriter.tables), start=1):
            self._add_table(request, catalog, number, name, name == keyed)
        request.simple_catalog.CopyFrom(catalog)
        request.descriptor_pool_list.definitions.add().builtin.SetInParent()
        return request

    def _add_table(self, request: Any, catalog: Any, number: int, name: str, keyed: bool) -> None:
        """Add a table with its rows; with `keyed` also the hidden number of each row."""
        table = self._table(name)
        assert table is not None  # noqa: S101 - the rewriter notes existing tables alone
        proto = catalog.table.add(name=name, serialization_id=number)
        for column, type_ in table.columns:
            proto.column.add(name=column, type=type_, is_writable_column=True)
        if keyed:
            row_type = type_proto("INT64")
            proto.column.add(
                name=_ROW, type=row_type, is_pseudo_column=True, is_writable_column=True
            )
            proto.primary_key_column_index.append(len(table.columns))
        content = request.table_content[name].table_data
        content.SetInParent()
        for place, cells in enumerate(table.rows):
            row = content.row.add()
            row.cell.extend(cells)
            if keyed:
                row.cell.add(int64_value=place)


_STATEMENTS = {
    "ast_variable_declaration_node": _Script._declare,
    "ast_single_assignment_node": _Script._set,
    "ast_if_statement_node": _Script._if,
    "ast_begin_end_block_node": _Script._begin_end,
    "ast_raise_statement_node": _Script._raise,
    "ast_return_statement_node": _Script._return,
    "ast_begin_statement_node": _Script._begin,
    "ast_commit_statement_node": _Script._commit,
    "ast_rollback_statement_node": _Script._rollback,
    "ast_assert_statement_node": _Script._assert,
    "ast_create_table_statement_node": _Script._create,
    "ast_drop_statement_node": _Script._drop,
    "ast_insert_statement_node": _Script._insert,
    "ast_update_statement_node": _Script._update,
    "ast_delete_statement_node": _Script._delete,
    "ast_merge_statement_node": _Script._merge,
    "ast_query_statement_node": _Script._query,
}


def _option(options: Any, name: str) -> str:
    """Look up a text in OPTIONS(…); empty where it is not there."""
    for entry in options.options_entries:
        if entry.name.id_string == name:
            return str(concrete(entry.value)[0].string_value)
    return ""


def _message(error: SqlError) -> str:
    return re.sub(r"^Code: \d+, Message: ", "", str(error))
