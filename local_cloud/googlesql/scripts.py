"""Parse a script as a whole, and analyse each statement with the names that it may use.

Variables and temporary tables are defined from their statement on. An expression of IF, SET, DECLARE
and RAISE is analysed as a SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2 as service_pb2
from zetasql.wasi._pb2.zetasql.resolved_ast import resolved_ast_enums_pb2 as resolved_enums_pb2

from local_cloud.googlesql.dialect import Catalog, Columns, analyzer_options, language, type_name
from local_cloud.googlesql.engine import Service, SqlError

_PLACE = re.compile(r" \[at (\d+):\d+\]$")
_CODE = re.compile(r"^Code: \d+, Message: ")
_CREATED = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP\s+)?TABLE\s+([\w.]+)", re.IGNORECASE
)
_WIDER = {
    ("INT64", "FLOAT64"),
    ("INT64", "NUMERIC"),
    ("INT64", "BIGNUMERIC"),
    ("NUMERIC", "FLOAT64"),
    ("NUMERIC", "BIGNUMERIC"),
}
"""Pairs of types: a value of the first can be assigned to the second."""


@dataclass
class Statement:
    """A statement of a script, as GoogleSQL understands it."""

    kind: str
    """`query_statement`, `create_table_statement`, …; `IF`, `SET`, `DECLARE` or `RAISE`."""
    text: str
    line: int
    """Line of the script where it begins, from 1."""
    fault: str = ""
    """GoogleSQL's message where it refuses the statement."""
    fault_line: int = 0
    """Line of the script that the message is about."""
    columns: Columns = ()
    """Columns of a query, or of the table that the statement creates."""
    table: str = ""
    """The table that the statement creates."""
    is_temporary: bool = False
    in_transaction: bool = False
    resolved: Message | None = None


class Analyser:
    """Analyses scripts against one set of tables."""

    def __init__(self, service: Service, tables: Mapping[str, Columns]) -> None:
        self._service = service
        self._tables = tables
        self._registered: tuple[int, bytes, int] | None = None

    def script(
        self,
        sql: str,
        parameters: Mapping[str, str] | None = None,
        declared: Mapping[str, Columns] | None = None,
    ) -> list[Statement]:
        """Analyse each statement of a script.

        Args:
            sql: One or more statements.
            parameters: Name and type of each query parameter.
            declared: Columns of tables that the script creates, used where creating them fails, so
                that one fault is reported once.

        Returns:
            The statements in order. Where the script cannot be parsed, one statement with its fault.
        """
        try:
            block = parse(self._service, sql)
        except SqlError as error:
            message, line = _fault(error, 1)
            return [Statement("script", sql, 1, message, line)]
        return list(_Analysis(self, sql, parameters or {}, declared or {}).block(block))

    def resolve(self, catalog: Catalog, options: Message, text: str) -> Message:
        """Analyse one statement; raises SqlError."""
        request = service_pb2.AnalyzeRequest(
            options=options, registered_catalog_id=self._register(catalog), sql_statement=text
        )
        request.descriptor_pool_list.definitions.add().builtin.SetInParent()
        resolved: Message = self._service.call("Analyze", request).resolved_statement
        return resolved

    def options(self, parameters: Mapping[str, str]) -> Message:
        """Build the analyser's options for a script."""
        return analyzer_options(self._service, parameters)

    def catalog(self) -> Catalog:
        """Build a catalog of the tables."""
        return Catalog(self._tables)

    def _register(self, catalog: Catalog) -> int:
        """Register a catalog with the service unless it is the last one: 2 ms a statement, not 100."""
        body = catalog.proto()
        instance, key = self._service.instance, body.SerializeToString(deterministic=True)
        if self._registered is None or self._registered[:2] != (instance, key):
            if self._registered and self._registered[0] == instance:
                old = service_pb2.UnregisterRequest(registered_id=self._registered[2])
                self._service.call("UnregisterCatalog", old)
            request = service_pb2.RegisterCatalogRequest(simple_catalog=body)
            request.descriptor_pool_list.definitions.add().builtin.SetInParent()
            number = self._service.call("RegisterCatalog", request).registered_id
            self._registered = instance, key, number
        return self._registered[2]


def parse(service: Service, sql: str) -> Any:
    """Parse a script to its list of statements; raises SqlError."""
    request = service_pb2.ParseRequest(sql_statement=sql, options=language(), allow_script=True)
    return service.call("Parse", request).parsed_script.statement_list_node


def concrete(node: Any) -> tuple[Any, str]:
    """Unwrap a node from the unions of messages around it; the node and its field's name."""
    name = ""
    while node.DESCRIPTOR.oneofs and not node.DESCRIPTOR.fields_by_name.get("parent"):
        field = node.WhichOneof(node.DESCRIPTOR.oneofs[0].name)
        if field is None:
            break
        name, node = field, getattr(node, field)
    return node, name


def source(script: bytes, node: Any) -> str:
    """Cut a node's text out of its script."""
    start, end = span(node)
    return script[start:end].decode()


def span(node: Any) -> tuple[int, int]:
    """Look up the first byte of a node and the one after its last."""
    node, _ = concrete(node)
    while "parse_location_range" not in node.DESCRIPTOR.fields_by_name:
        node = node.parent
    return node.parse_location_range.start, node.parse_location_range.end


def _fault(error: SqlError, line: int) -> tuple[str, int]:
    """Split GoogleSQL's message from its place; the line counts from that of the statement."""
    text = _CODE.sub("", str(error))
    place = _PLACE.search(text)
    return _PLACE.sub("", text), line + int(place[1]) - 1 if place else line


class _Analysis:
    """One script: its names after the statements so far."""

    def __init__(
        self,
        analyser: Analyser,
        sql: str,
        parameters: Mapping[str, str],
        declared: Mapping[str, Columns],
    ) -> None:
        self._analyser = analyser
        self._sql = sql.encode()
        self._catalog = analyser.catalog()
        self._options = analyser.options(parameters)
        self._declared = declared
        self._in_transaction = False

    def block(self, block: Any) -> Iterator[Statement]:
        """Analyse a list of statements."""
        for each in block.statement_list:
            node, name = concrete(each)
            control = _CONTROL.get(name)
            if control:
                yield from control(self, node)
            else:
                kind = name.removeprefix("ast_").removesuffix("_node")
                yield self._statement(kind, source(self._sql, node), self._line(node))

    def _line(self, node: Any) -> int:
        return self._sql[: span(node)[0]].count(b"\n") + 1

    def _declare(self, node: Any) -> Iterator[Statement]:
        kind = source(self._sql, node.type).upper()
        if node.HasField("default_value"):
            yield self._expression("DECLARE", node.default_value, kind)
        for variable in node.variable_list.identifier_list:
            self._catalog.define_variable(variable.id_string, kind)

    def _set(self, node: Any) -> Iterator[Statement]:
        kind = self._catalog.variable_type(node.variable.id_string)
        statement = self._expression("SET", node.expression, kind)
        if not kind and not statement.fault:
            statement.fault = f"SET {node.variable.id_string}: DECLARE it first"
            statement.fault_line = statement.line
        yield statement

    def _if(self, node: Any) -> Iterator[Statement]:
        yield self._expression("IF", node.condition, "BOOL")
        yield from self.block(node.then_list)
        for clause in node.elseif_clauses.elseif_clauses:
            yield self._expression("IF", clause.condition, "BOOL")
            yield from self.block(clause.body)
        if node.HasField("else_list"):
            yield from self.block(node.else_list)

    def _begin_end(self, node: Any) -> Iterator[Statement]:
        yield from self.block(node.statement_list_node)
        for handler in node.handler_list.exception_handler_list:
            yield from self.block(handler.statement_list)

    def _raise(self, node: Any) -> Iterator[Statement]:
        if node.HasField("message"):
            yield self._expression("RAISE", node.message, "STRING")

    def _return(self, _: Any) -> Iterator[Statement]:
        yield from ()

    def _expression(self, kind: str, node: Any, wanted: str) -> Statement:
        """Analyse an expression that must have a type."""
        text = source(self._sql, node)
        statement = self._statement(kind, f"SELECT ({text}) AS value", self._line(node))
        found = statement.columns[0][1] if statement.columns else wanted
        if wanted and found != wanted and (found, wanted) not in _WIDER:
            statement.fault = f"{kind} takes {wanted}, the expression is {found}"
            statement.fault_line = statement.line
        return statement

    def _statement(self, kind: str, text: str, line: int) -> Statement:
        statement = Statement(kind, text, line, in_transaction=self._in_transaction)
        try:
            resolved = self._analyser.resolve(self._catalog, self._options, text)
        except SqlError as error:
            statement.fault, statement.fault_line = _fault(error, line)
            created = _CREATED.match(text)
            if created and created[1] in self._declared:
                self._catalog.define_table(created[1], self._declared[created[1]])
            return statement
        statement.resolved = resolved
        self._note(statement, *concrete(resolved))
        return statement

    def _note(self, statement: Statement, node: Any, name: str) -> None:
        """Note what a statement gives and what it changes for those after it."""
        match name:
            case "resolved_begin_stmt_node":
                self._in_transaction = True
            case "resolved_commit_stmt_node" | "resolved_rollback_stmt_node":
                self._in_transaction = False
            case "resolved_query_stmt_node":
                columns = node.output_column_list
                statement.columns = [(c.name, type_name(c.column.type)) for c in columns]
            case "resolved_create_table_as_select_stmt_node" | "resolved_create_table_stmt_node":
                _note_table(statement, node)
                self._catalog.define_table(statement.table, statement.columns)


def _note_table(statement: Statement, node: Any) -> None:
    """Note the table that a statement creates."""
    while "column_definition_list" not in node.DESCRIPTOR.fields_by_name:
        node = node.parent
    statement.columns = [(c.name, type_name(c.type)) for c in node.column_definition_list]
    statement.table = ".".join(node.parent.name_path)
    temporary = resolved_enums_pb2.ResolvedCreateStatementEnums.CREATE_TEMP
    statement.is_temporary = node.parent.create_scope == temporary


_CONTROL = {
    "ast_variable_declaration_node": _Analysis._declare,
    "ast_single_assignment_node": _Analysis._set,
    "ast_if_statement_node": _Analysis._if,
    "ast_begin_end_block_node": _Analysis._begin_end,
    "ast_raise_statement_node": _Analysis._raise,
    "ast_return_statement_node": _Analysis._return,
}
"""Statements of control, which GoogleSQL's analyser does not take itself."""
