"""The part of BigQuery's client that tests of SQL use, over ZetaSQL's reference engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.api_core.exceptions import BadRequest, NotFound
from google.cloud import bigquery
from google.cloud.bigquery.table import Row

from local_cloud.googlesql.dialect import type_name
from local_cloud.googlesql.engine import Service
from local_cloud.googlesql.warehouse import ScriptError, Warehouse

_STANDARD = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
"""Type names of BigQuery's API → those of SQL, where they differ."""


@dataclass(frozen=True)
class _Job:
    """A job that has ended."""

    rows: Sequence[Row]

    def result(self, **_: Any) -> Sequence[Row]:
        """Give the rows of the last SELECT."""
        return self.rows


class Client:
    """Answers as `google.cloud.bigquery.Client` does; there is one job at a time."""

    project = "demo"

    def __init__(self) -> None:
        self._warehouse = Warehouse(Service())

    def create_dataset(self, dataset: str) -> None:
        """Do nothing: a table's data set is a part of its name."""

    def delete_dataset(self, dataset: str, *, delete_contents: bool) -> None:
        """Delete all tables of a data set; raise ValueError if they were to stay."""
        if not delete_contents:
            raise ValueError(f"{dataset}: only a data set with its contents is deleted here")
        for table in self.list_tables(dataset):
            self.delete_table(table)

    def create_table(self, table: bigquery.Table) -> None:
        """Create an empty table."""
        columns = [
            (f.name, _STANDARD.get(f.field_type, f.field_type), f.mode or "NULLABLE")
            for f in table.schema
        ]
        self._warehouse.create(_name(table), columns)

    def delete_table(self, table: Any, *, not_found_ok: bool = False) -> None:
        """Delete a table; raises NotFound."""
        if self._warehouse.tables.pop(_name(table), None) is None and not not_found_ok:
            raise _not_found(table)

    def get_table(self, table: Any, **_: Any) -> bigquery.Table:
        """Describe a table, as of now; raises NotFound."""
        found = self._warehouse.tables.get(_name(table))
        if found is None:
            raise _not_found(table)
        fields: list[dict[str, Any]] = [
            {
                "name": column,
                "type": type_name(kind),
                "mode": "REQUIRED" if column in found.required else "NULLABLE",
                "description": found.descriptions.get(column, ""),
            }
            for column, kind in found.columns
        ]
        reference = bigquery.TableReference.from_string(_name(table), self.project)
        changed_at = int(datetime.now(UTC).timestamp() * 1000)
        description: bigquery.Table = bigquery.Table.from_api_repr({
            "tableReference": reference.to_api_repr(),
            "schema": {"fields": fields},
            "description": found.description,
            "lastModifiedTime": str(changed_at),
        })  # fmt: skip
        return description

    def list_tables(self, dataset: str) -> list[bigquery.TableReference]:
        """List the tables of a data set."""
        parent = bigquery.DatasetReference(self.project, dataset)
        names = (name.partition(".") for name in self._warehouse.tables)
        return [parent.table(name) for place, _, name in names if place == dataset]

    def insert_rows_json(self, table: Any, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Insert rows; list what is wrong with them."""
        try:
            self._warehouse.insert(_name(table), rows)
        except ScriptError as error:
            return [str(error)]
        return []

    def query(self, sql: str, job_config: Any = None, **_: Any) -> _Job:
        """Run a script to its end; raises BadRequest."""
        return _Job(self.query_and_wait(sql, job_config))

    def query_and_wait(self, sql: str, job_config: Any = None, **_: Any) -> Sequence[Row]:
        """Run a script and return the rows of its last SELECT; raises BadRequest."""
        parameters = dict(_parameters(job_config.query_parameters if job_config else ()))
        try:
            rows = self._warehouse.run(sql, parameters)
        except ScriptError as error:
            raise BadRequest(str(error)) from error  # type: ignore[no-untyped-call]
        places = {name: place for place, (name, _) in enumerate(rows.columns)}
        return [Row(tuple(values), places) for values in rows.values()]


def _parameters(parameters: Iterable[Any]) -> Iterable[tuple[str, tuple[str, Any]]]:
    """List name, type and value of each parameter."""
    for each in parameters:
        if isinstance(each, bigquery.ArrayQueryParameter):
            yield each.name, (f"ARRAY<{each.array_type}>", each.values)
        else:
            yield each.name, (each.type_, each.value)


def _name(table: Any) -> str:
    """Name a table with its data set, from a text or from an object that describes it."""
    if isinstance(table, str):
        return ".".join(table.split(".")[-2:])
    return f"{table.dataset_id}.{table.table_id}"


def _not_found(table: Any) -> NotFound:
    error: NotFound = NotFound(f"Not found: Table {_name(table)}")  # type: ignore[no-untyped-call]
    return error
