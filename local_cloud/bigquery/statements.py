"""Run scripts: parse each statement and expression once; variables have the script's names."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import duckdb
from local_bigquery.catalog import datasets, tables
from local_bigquery.catalog import ddl as catalog_ddl
from local_bigquery.engine import database, sessions
from local_bigquery.engine.database import quote
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query
from local_bigquery.models import (
    DatasetReference,
    JobConfigurationQuery,
    JobStatistics2,
    TableReference,
)
from local_bigquery.sql import params, script
from local_bigquery.sql.translate import Context
from sqlglot import exp

from local_cloud.bigquery.translations import Translations

type Executed = tuple[JobStatistics2, list[JobStatistics2], TableReference | None]

_execute_in_session: Callable[..., Executed] = query.execute
_run: Callable[..., JobStatistics2] = query._run
_evaluator: Callable[[duckdb.DuckDBPyConnection], Callable[[exp.Expression], Any]] = (
    query._evaluator
)


class Interpreter(script.Interpreter):  # type: ignore[misc]  # local-bigquery has no types
    """Runs a script; the name of a variable's table depends on nothing but the script.

    Each job without a session has a cursor of its own, and temporary tables are a cursor's own:
    two runs of a script hold their variables apart although the names are the same.
    """

    translations: ClassVar[Translations]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._numbers = itertools.count(1)
        self._is_in_session = self.context.system.get("session_id") is not None

    def sql(self, statement: script.Statement) -> None:
        """Run a statement."""
        if statement.kind != "SQL":
            super().sql(statement)
            return
        for tree in self.translations.parse(statement.text):
            statistics = self.run_sql(tree)
            if statistics and statistics.numDmlAffectedRows is not None:
                self.context.system["row_count"] = int(statistics.numDmlAffectedRows)

    def evaluate(self, sql: str) -> Any:
        """Evaluate an expression."""
        query, bound = self._translate(self.translations.select(sql))
        (value,) = self.cursor.execute(query, bound).fetchone()
        return value

    def declare(self, statement: script.Statement) -> None:
        """Create the variables of a DECLARE."""
        for name, select in self.translations.variables(statement.text):
            self.context.variables[name] = self._store(select)

    def set(self, statement: script.Statement) -> None:
        """Assign values to variables."""
        pairs = self.translations.variables(statement.text)
        if not pairs:
            super().set(statement)
            return
        tables = [self.variable(name) for name, _ in pairs]
        for table, (_, select) in zip(tables, pairs, strict=True):
            query, bound = self._translate(select)
            value = f"(SELECT {script.VALUE} FROM ({query}))"  # noqa: S608 - of our own names
            self.cursor.execute(f"UPDATE {table} SET {script.VALUE} = {value}", bound)  # noqa: S608

    def store(self, value: exp.Expression) -> str:
        """Store a value in a variable's table; return the table's name."""
        return self._store(script._select(value))

    def _store(self, select: exp.Expression) -> str:
        query, bound = self._translate(select)
        table = self._table()
        self.cursor.execute(f"CREATE TEMP TABLE {table} AS {query}", bound)
        return table

    def _table(self) -> str:
        if self._is_in_session:
            return str(script._temporary_table("variable"))
        return f'temp.main."__variable_{next(self._numbers)}"'

    def _translate(self, select: exp.Expression) -> tuple[str, dict[str, Any]]:
        return self.translations.translate(select, self.context)


def execute(
    cur: duckdb.DuckDBPyConnection,
    project_id: str,
    job_id: str | None,
    config: JobConfigurationQuery,
    dry_run: bool = False,
    session: sessions.Session | None = None,
) -> Executed:
    """Run a query's job; only a session has temporary tables from before it."""
    if session:
        return _execute_in_session(cur, project_id, job_id, config, dry_run, session)
    default = config.defaultDataset or DatasetReference()
    context = Context(
        default.projectId or project_id,
        default.datasetId,
        *params.bind(config.queryParameters or []),
        attach_postgres=_refuse_postgres,
        system={
            "current_job_id": job_id,
            "script.job_id": job_id,
            "session_id": None,
            "time_zone": "UTC",
        },
    )
    database.attach(context.project_id)
    dataset = context.dataset_id
    found = dataset and datasets.exists(context.project_id, dataset)
    cur.execute(f"USE {quote(context.project_id, dataset if found else 'main')}")
    statements = script.parse_script(config.query or "")
    executed: Executed = query._execute(
        cur, project_id, job_id, config, dry_run, False, context, statements
    )
    return executed


def run(
    cur: duckdb.DuckDBPyConnection, tree: exp.Expression, context: Context, *rest: Any
) -> JobStatistics2:
    """Run a statement; create and fill a table with columns and a query in one transaction.

    So nobody reads an incomplete table, and DuckLake reads its catalogue once less.
    """
    destination, config, dry_run, isolated = rest
    parts = [] if dry_run else Interpreter.translations.filled_table(tree)
    if not parts or tree.find(exp.TemporaryProperty):
        return _run(cur, tree, context, destination, config, dry_run, isolated)
    statistics = query._ddl(tree, context)
    if statistics.ddlOperationPerformed == "SKIP":
        return _run(cur, tree, context, destination, config, dry_run, isolated)
    count = str(_fill(cur, tree, context, *parts))
    catalog_ddl.apply(tree, context.project_id, context.dataset_id, query._evaluator(cur))
    statistics = statistics.replace(
        statementType=query.statement_type(tree),
        numDmlAffectedRows=count,
        dmlStats={"insertedRowCount": count},
    )
    fields = query._result_schema(cur, tree, context, statistics, False)
    return query._with_schema(statistics, fields)


def _fill(
    cur: duckdb.DuckDBPyConnection, tree: exp.Expression, context: Context, *parts: exp.Expression
) -> int:
    """Create a table and insert the rows of its query; return their number."""
    reference = query._target(tree, context)
    (create, _), (rows, bound) = (Interpreter.translations.translate(p, context) for p in parts)
    with database.writing(*reference), _transaction(cur):
        cur.execute(create)
        cur.execute(f"INSERT INTO {tables.name(*reference)} {rows}", bound)
        (count,) = cur.fetchone() or (0,)
    return int(count)


@contextlib.contextmanager
def _transaction(cur: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run the block in one transaction; in the script's own if it has one."""
    try:
        cur.execute("BEGIN")
    except duckdb.TransactionException:
        yield
        return
    try:
        yield
        cur.execute("COMMIT")
    except Exception:
        cur.execute("ROLLBACK")
        raise


def evaluator(cur: duckdb.DuckDBPyConnection) -> Callable[[exp.Expression], Any]:
    """Return a function that reads an option's value: a text as written, all else by DuckDB."""
    evaluate_in_duckdb = _evaluator(cur)

    def evaluate(node: exp.Expression) -> Any:
        return (
            node.this
            if isinstance(node, exp.Literal) and node.is_string
            else evaluate_in_duckdb(node)
        )

    return evaluate


def _refuse_postgres(uri: str) -> str:
    raise BigQueryError("invalidQuery", f"EXTERNAL_QUERY is not served here: {uri}")
