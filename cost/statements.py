"""The tables that each statement of a script reads: BigQuery bills 10 MB for each at least."""

from __future__ import annotations

import re
from dataclasses import dataclass

LEAST = 10 * 1024 * 1024
"""Fewest bytes that are billed for each table of a statement."""

_UNREAD = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)

_TEMP_TABLE = re.compile(r"CREATE\s+TEMP\s+TABLE\s+(\w+)", re.IGNORECASE)

_READ = re.compile(r"\b(?:FROM|JOIN|USING|UPDATE|MERGE)\s+`?((?:\w+\.)?\w+)", re.IGNORECASE)

_ZONES = ("lake.", "ops.", "reports.", "staging.")

_HANDLED = re.compile(r"EXCEPTION\s+WHEN\s+ERROR\s+THEN.*?\bRAISE\b", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class CostedStatement:
    """A statement that reads: its tables, and the temporary table that it creates, if any."""

    tables: frozenset[str]
    makes: str = ""


@dataclass(frozen=True)
class CostedScript:
    """The statements that a script runs each time (its gate), and those after the gate."""

    gate: tuple[CostedStatement, ...]
    rest: tuple[CostedStatement, ...] = ()


def script(sql: str) -> CostedScript:
    """Return the statements of a script that ends well; its gate is before a RETURN.

    A table counts if it is in one of our BigQuery data sets, or a temporary table of the script. The
    target of an INSERT or a CREATE is not read. Statements that run only on an error are left out.
    """
    bare = _HANDLED.sub(";", _UNREAD.sub("''", sql))
    temporary = set(_TEMP_TABLE.findall(bare))
    gate, _, rest = bare.rpartition("RETURN;")
    return CostedScript(_statements(gate, temporary), _statements(rest, temporary))


def billed(statement: CostedStatement, sizes: dict[str, float], share: float = 1.0) -> float:
    """Return the bytes that a statement is billed for if it reads a `share` of each table."""
    return sum(max(LEAST, sizes.get(table, 0.0) * share) for table in statement.tables)


def _statements(bare: str, temporary: set[str]) -> tuple[CostedStatement, ...]:
    found = (_statement(piece, temporary) for piece in bare.split(";"))
    return tuple(one for one in found if one.tables)


def _statement(piece: str, temporary: set[str]) -> CostedStatement:
    named = set(_READ.findall(piece))
    makes = _TEMP_TABLE.search(piece)
    return CostedStatement(
        frozenset(name for name in named if name.startswith(_ZONES) or name in temporary),
        makes[1] if makes else "",
    )
