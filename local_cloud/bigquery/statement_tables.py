"""Which tables a script of BigQuery's SQL reads and changes, and the permissions that takes.

Permissions: cloud.google.com/bigquery/docs/reference/standard-sql/{dml-syntax,data-definition-language}.
Read from words, not parsed: a table is what follows FROM, JOIN, USING and the statements that change
one, with its data set. Tables after a comma, and statements in strings, are not seen.
"""

from __future__ import annotations

import functools
import re

_UNSEEN = re.compile(
    r"""--[^\n]*|\#[^\n]*|/\*.*?\*/|r?'''.*?'''|r?\"\"\".*?\"\"\"|r?'(?:\\.|[^'\\\n])*'|r?"(?:\\.|[^"\\\n])*\""""
    r"|\bEXTRACT\s*\(\s*[\w()]+\s+FROM\b|\bDISTINCT\s+FROM\b",
    re.DOTALL | re.IGNORECASE,
)
"""Comments, strings, and the two places where FROM names no table."""
_NAMED = re.compile(
    r"\b(?P<words>CREATE(?:\s+OR\s+REPLACE)?\s+TABLE(?:\s+IF\s+NOT\s+EXISTS)?"
    r"|DROP\s+TABLE(?:\s+IF\s+EXISTS)?|TRUNCATE\s+TABLE|ALTER\s+TABLE|INSERT(?:\s+INTO)?"
    r"|UPDATE|DELETE(?:\s+FROM)?|MERGE(?:\s+INTO)?|FROM|JOIN|USING)"
    r"\s+`?(?:[\w-]+`?\.`?)??(?P<dataset>\w+)`?\.`?(?P<table>\w+)\b(?!`?\.)",
    re.IGNORECASE,
)
_TAKES = {
    "CREATE TABLE": ("create",),
    "CREATE OR REPLACE TABLE": ("create", "update", "updateData"),
    "DROP TABLE": ("delete",),
    "TRUNCATE TABLE": ("updateData",),
    "ALTER TABLE": ("update",),
    "INSERT": ("updateData",),
    "UPDATE": ("updateData", "getData"),
    "DELETE": ("updateData", "getData"),
    "MERGE": ("updateData", "getData"),
    "FROM": ("getData",),
    "JOIN": ("getData",),
    "USING": ("getData",),
}


@functools.lru_cache(maxsize=256)
def touched(sql: str) -> tuple[tuple[str, str, str], ...]:
    """List permission, data set and table for all that a script touches, sorted."""
    found = set()
    for match in _NAMED.finditer(_UNSEEN.sub(" ", sql)):
        words = " ".join(match["words"].upper().split())
        words = words.removesuffix(" INTO").partition(" IF ")[0]
        words = "DELETE" if words == "DELETE FROM" else words
        for permission in _TAKES[words]:
            found.add((f"bigquery.tables.{permission}", match["dataset"], match["table"]))
    return tuple(sorted(found))
