"""A warehouse with the tables of the program, for tests of SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from google.cloud import bigquery

from catalog.contract import load_all
from infra_pulumi.ops_tables import DEAD_LETTERS, EVENTS, LOADS, REPORT_RUNS
from local_cloud.bigquery import BigQueryServer
from local_cloud.ports import free_port
from local_cloud.processes import Supervisor

OPS = (EVENTS, LOADS, DEAD_LETTERS, REPORT_RUNS)
"""The tables of `ops` that SQL reads."""


class Warehouse:
    """Runs SQL, fills tables."""

    def __init__(self, client: bigquery.Client) -> None:
        self.client = client

    def run(self, text: str, run_time: datetime | None = None) -> list[dict[str, Any]]:
        """Run a script as the scheduled query does; the rows of its last statement."""
        parameter = bigquery.ScalarQueryParameter("run_time", "TIMESTAMP", run_time)
        configuration = bigquery.QueryJobConfig(query_parameters=[parameter] if run_time else [])
        return [dict(row) for row in self.client.query(text, configuration).result()]

    def fill(self, table: str, *rows: dict[str, Any]) -> None:
        """Put rows into a table."""
        assert self.client.insert_rows_json(table, list(rows)) == []

    def empty(self) -> None:
        """Make every table anew, and no report."""
        tables = {f"ops.{table.name}": table.fields() for table in OPS}
        for contract in load_all().values():
            for table in contract.lake_tables():
                fields = [{"name": c.name, "type": c.type, "mode": c.mode} for c in table.columns]
                tables[f"lake.{table.name}"] = fields
        for name, fields in tables.items():
            self.client.delete_table(name, not_found_ok=True)
            self._make(name, fields)
        for published in self.client.list_tables("reports"):
            self.client.delete_table(published)

    def empty_ops(self) -> None:
        """Take every row out of `ops`, and leave all else as it is."""
        there = {table.table_id for table in self.client.list_tables("ops")}
        for table in OPS:
            if table.name not in there:
                self._make(f"ops.{table.name}", table.fields())
        self.run("".join(f"DELETE FROM ops.{table.name} WHERE TRUE;\n" for table in OPS))

    def _make(self, name: str, fields: list[dict[str, Any]]) -> None:
        """Make a table with these columns."""
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
