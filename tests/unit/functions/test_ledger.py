"""What a query of the ledger may cost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from google.cloud.bigquery import QueryJobConfig

from functions.core import bigquery


class Queries:
    """Clients whose BigQuery keeps the configuration of each query and finds no row."""

    def __init__(self) -> None:
        self.configs: list[QueryJobConfig] = []
        self.bigquery = self

    def query(self, sql: str, *, job_config: QueryJobConfig, **_: Any) -> Any:
        self.configs.append(job_config)
        return SimpleNamespace(result=lambda **_: [])


@pytest.mark.parametrize(
    ("options", "cap"), [({}, bigquery.QUERY_BYTES), ({"cap": 7}, 7)], ids=["by default", "given"]
)
def test_a_query_has_a_cap_on_its_bytes(options: dict[str, Any], cap: int) -> None:
    clients: Any = Queries()
    bigquery.query(clients, "SELECT 1", [], **options)
    assert [config.maximum_bytes_billed for config in clients.configs] == [cap]
