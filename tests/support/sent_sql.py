"""SQL that reaches the BigQuery stand-in, compared with the texts that `nox -s sql` analyses.

A text is compared as a whole, else statement by statement. Names of manifests, the number of a parameter
and, in queries of `serve`, the choice of columns, filters, order and limit are left out of account.
It cannot see the order of statements in a script that differs as a whole, values of parameters, and SQL
that no run sends. tests/unit/sql/test_call_sites.py compares the call sites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from local_cloud.gateway.calls import Call
from local_cloud.gateway.proxy import Gate
from local_cloud.iam.permissions import query_of
from tests.support.sql_texts import tables, texts

_JOBS = ("jobs.query", "jobs.insert")

_STAGED = re.compile(r"\bstaging\.(\w+)")

_NUMBERED = re.compile(r"@(p|first_|last_|dataset_)\d+\b")

_STATEMENT_END = re.compile(r";(?:\n|$)")

_SERVED = re.compile(
    r"SELECT (?P<columns>r\..*?)\nFROM \(\n  SELECT\n(?P<inner>.*?)\n  FROM (?P<source>.*) AS s\n\) AS r"
    r"(?P<rest>\n.*)",
    re.DOTALL,
)
"""A query of rows as functions/serve/warehouse/sql.py writes it."""

_TERM = re.compile(r",?\n|, (?=r\.)| AND | OR |\bWHERE |\bORDER BY ")


class SentSql:
    """Notes each SQL text that passes a gate."""

    def __init__(self, gate: Gate) -> None:
        self._found: set[str] = set()
        self._refusal = gate.refusal
        gate.refusal = self._note

    def unknown(self) -> list[str]:
        """List what was sent and is in no collected text."""
        return [part for text in sorted(self._found) for part in unknown(text)]

    def __len__(self) -> int:
        """How many different texts were sent."""
        return len(self._found)

    def _note(self, call: Call) -> str | None:
        if call.service == "bigquery" and call.action in _JOBS and (sql := query_of(call)):
            self._found.add(normal(sql))
        return self._refusal(call) if self._refusal else None


def unknown(sql: str) -> list[str]:
    """List the parts of a text that no collected text has."""
    text = normal(sql)
    if text in _repository_texts():
        return []
    served = _SERVED.fullmatch(text)
    if served:
        terms = _repository_terms().get(served["source"], frozenset())
        return [f"{served['source']}: {term}" for term in _terms(served) if term not in terms]
    return [each for each in _statements(text) if each not in _repository_statements()]


def normal(sql: str) -> str:
    """Write a text without names of manifests and numbers of parameters."""
    return _NUMBERED.sub(r"@\1N", _STAGED.sub(_staged, sql.strip()))


def _staged(match: re.Match[str]) -> str:
    lake = (name.removeprefix("lake.") for name in tables() if name.startswith("lake."))
    table = max((name for name in lake if match[1].startswith(f"{name}_")), key=len, default="")
    return f"staging.{table}_MANIFEST" if table else match[0]


def _statements(text: str) -> list[str]:
    return [each.strip() for each in _STATEMENT_END.split(text) if each.strip()]


def _terms(served: re.Match[str]) -> Iterable[str]:
    """List the columns, conditions and orders of a query of `serve`, whichever way they go."""
    parts = f"{served['columns']}\n{served['inner']}{served['rest']}"
    for part in _TERM.split(parts):
        term = re.sub(r"^LIMIT \d+$", "LIMIT N", part.strip(" ()"))
        if term:
            yield term.replace(" DESC", " ASC").replace(" < ", " > ")


@cache
def _repository_texts() -> frozenset[str]:
    return frozenset(normal(text.sql) for text in texts())


@cache
def _repository_statements() -> frozenset[str]:
    return frozenset(each for text in _repository_texts() for each in _statements(text))


@cache
def _repository_terms() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for served in filter(None, map(_SERVED.fullmatch, _repository_texts())):
        found.setdefault(served["source"], set()).update(_terms(served))
    return {source: frozenset(terms) for source, terms in found.items()}
