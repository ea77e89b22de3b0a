"""A warehouse with the tables of the program, for tests of SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from google.cloud import bigquery

from catalog.contract import load_all
from infra_pulumi.ops_tables import DEAD_LETTERS, EVENTS, LOADS, REPORT_RUNS
from local_cloud.bigquery.server import BigQueryServer
from local_cloud.bigquery.statement_tables import touched
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor

OPS = (EVENTS, LOADS, DEAD_LETTERS, REPORT_RUNS)
"""The tables of `ops` that SQL reads."""


_CHANGED: WeakKeyDictionary[bigquery.Client, set[str]] = WeakKeyDictionary()
"""Tables that tests have changed since they were last emptied, by the client of their server."""


class Warehouse:
    """Runs SQL, fills tables; what a test changed is emptied for the next one."""

    def __init__(self, client: bigquery.Client) -> None:
        self.client = client
        self._changed = _CHANGED.setdefault(client, set())

    def run(self, text: str, run_time: datetime | None = None) -> list[dict[str, Any]]:
        """Run a script as the scheduled query does; the rows of its last statement."""
        self._changed.update(
            f"{dataset}.{table}"
            for permission, dataset, table in touched(text)
            if not permission.endswith(".getData")
        )
        parameter = bigquery.ScalarQueryParameter("run_time", "TIMESTAMP", run_time)
        configuration = bigquery.QueryJobConfig(query_parameters=[parameter] if run_time else [])
        return [dict(row) for row in self.client.query(text, configuration).result()]

    def fill(self, table: str, *rows: dict[str, Any]) -> None:
        """Put rows into a table."""
        self._changed.add(table)
        assert self.client.insert_rows_json(table, list(rows)) == []

    def empty(self) -> None:
        """Leave every table of the program without rows, and no report."""
        lake = [table for contract in load_all().values() for table in contract.lake_tables()]
        columns = {
            f"lake.{table.name}": [
                {"name": c.name, "type": c.type, "mode": c.mode} for c in table.columns
            ]
            for table in lake
        }
        self._empty({f"ops.{table.name}": table.fields() for table in OPS} | columns)
        if any(self.client.list_tables("reports")):
            self.client.delete_dataset("reports", delete_contents=True)
            self.client.create_dataset("reports")

    def empty_ops(self) -> None:
        """Take every row out of `ops`, and leave all else as it is."""
        self._empty({f"ops.{table.name}": table.fields() for table in OPS})

    def _empty(self, tables: dict[str, list[dict[str, Any]]]) -> None:
        """Create the tables that are missing, and delete the rows of every table that changed."""
        datasets = {name.partition(".")[0] for name in tables}
        there = {
            f"{dataset}.{table.table_id}"
            for dataset in datasets
            for table in self.client.list_tables(dataset)
        }
        for name in tables.keys() - there:
            self._create(name, tables[name])
        changed = sorted(self._changed & tables.keys())
        if changed:
            self.run("".join(f"DELETE FROM {name} WHERE TRUE;\n" for name in changed))
            self._changed.difference_update(changed)

    def _create(self, name: str, fields: list[dict[str, Any]]) -> None:
        """Create a table with these columns."""
        schema = [bigquery.SchemaField.from_api_repr(field) for field in fields]
        self.client.create_table(bigquery.Table(f"{self.client.project}.{name}", schema=schema))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bigquery.Client]:
    """A client of a running stand-in that holds empty data sets."""
    folder = tmp_path_factory.mktemp("bigquery")
    supervisor = Supervisor(folder)
    server = BigQueryServer(
        supervisor, free_port(), free_port(), "http://127.0.0.1:9", folder / "d"
    )
    server.start()
    server.wait_ready(60)
    client = server.client()
    for dataset in ("lake", "ops", "reports", "staging"):
        client.create_dataset(dataset)
    yield client
    supervisor.stop()
