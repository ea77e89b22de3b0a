"""A warehouse with the tables of the program, once for all tests of SQL."""

from __future__ import annotations

import pytest
from google.cloud import bigquery

from tests.support.warehouse import Warehouse, server  # noqa: F401


@pytest.fixture
def warehouse(server: bigquery.Client) -> Warehouse:  # noqa: F811
    """The warehouse with empty tables."""
    made = Warehouse(server)
    made.empty()
    return made
