"""The tables that each statement of a script reads: BigQuery bills 10 MB for each at least."""

from __future__ import annotations

import re
from dataclasses import dataclass

LEAST = 10 * 1024 * 1024
"""Bytes that are billed for each table of a statement, however few it holds."""

_UNREAD = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)

_MADE = re.compile(r"CREATE\s+TEMP\s+TABLE\s+(\w+)", re.IGNORECASE)

_READ = re.compile(r"\b(?:FROM|JOIN|USING|UPDATE|MERGE)\s+`?((?:\w+\.)?\w+)", re.IGNORECASE)

_ZONES = ("lake.", "ops.", "reports.", "staging.")

_HANDLED = re.compile(r"EXCEPTION\s+WHEN\s+ERROR\s+THEN.*?\bRAISE\b", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class CostedStatement:
    """A statement that reads: its tables, and the temporary table that it makes, if any."""

    tables: frozenset[str]
    makes: str = ""


@dataclass(frozen=True)
class CostedScript:
    """What a script reads each time (its gate), and further where it goes on."""

    gate: tuple[CostedStatement, ...]
    rest: tuple[CostedStatement, ...] = ()


def script(sql: str) -> CostedScript:
    """The statements of a script that ends well; what stands before a RETURN is its gate.

    A table counts where it is of a BigQuery data set of ours or made by the script itself as a temporary one; the
    target of an INSERT or a CREATE is not read. What runs on an error alone is left out.
    """
    bare = _HANDLED.sub(";", _UNREAD.sub("''", sql))
    made = set(_MADE.findall(bare))
    gate, _, rest = bare.rpartition("RETURN;")
    return CostedScript(_statements(gate, made), _statements(rest, made))


def billed(statement: CostedStatement, sizes: dict[str, float], share: float = 1.0) -> float:
    """Bytes that a statement is billed for, a `share` of each table's size being read."""
    return sum(max(LEAST, sizes.get(table, 0.0) * share) for table in statement.tables)


def _statements(bare: str, made: set[str]) -> tuple[CostedStatement, ...]:
    found = (_statement(piece, made) for piece in bare.split(";"))
    return tuple(one for one in found if one.tables)


def _statement(piece: str, made: set[str]) -> CostedStatement:
    named = set(_READ.findall(piece))
    makes = _MADE.search(piece)
    return CostedStatement(
        frozenset(name for name in named if name.startswith(_ZONES) or name in made),
        makes[1] if makes else "",
    )
