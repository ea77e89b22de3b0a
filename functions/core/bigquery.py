"""Run queries and scripts in BigQuery, within bounds of bytes and time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from google.cloud.bigquery import DEFAULT_RETRY, QueryJobConfig, ScalarQueryParameter

from functions.core.clients import Clients
from functions.core.errors import PermanentError

QUERY_BYTES = 20_000_000_000
"""The most bytes that one query of the ledger may be billed for."""

QUERY_SECONDS = 120.0

RETRY = DEFAULT_RETRY.with_timeout(60.0)
"""How long a call that creates a job is retried; the library's default, ten minutes, is too
long."""


def query(
    clients: Clients,
    sql: str,
    parameters: list[ScalarQueryParameter],
    *,
    cap: int = QUERY_BYTES,
    seconds: float = QUERY_SECONDS,
) -> Iterable[Any]:
    """Run a query or script with a cap on its bytes; return the rows of its last SELECT.

    Raises GoogleAPICallError when it fails and TimeoutError when it takes over `seconds`.
    """
    config = QueryJobConfig(query_parameters=parameters, maximum_bytes_billed=cap)
    job = clients.bigquery.query(sql, job_config=config, retry=RETRY, timeout=60.0, job_retry=None)
    rows: Iterable[Any] = job.result(timeout=seconds, job_retry=None)
    return rows


def parameter(name: str, kind: str, value: str | int | date | None) -> ScalarQueryParameter:
    """Build a named parameter of a query."""
    return ScalarQueryParameter(name, kind, value)


_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class QueryScript:
    """A script with its parameters."""

    sql: str
    parameters: list[ScalarQueryParameter]


def identifier(name: str) -> str:
    """Return a name that SQL may contain; raise PermanentError for any other name."""
    if not _IDENTIFIER.fullmatch(name):
        raise PermanentError(f"{name!r} cannot name a table or column: a-z, 0-9 and _ only")
    return name
