"""Identifiers and texts use the words of the field: what the word list refuses is not there."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("functions", "catalog", "dataproc_jobs", "local_cloud", "infra_pulumi")
RIDDLES = frozenset(
    ["told", "made", "asked", "kept", "shown", "given", "known", "judged", "taken", "meant"]
)
"""Past participles that say nothing about what a name holds."""
REPLACED_SOON = frozenset(
    f"functions/{each}.py"
    for each in (
        "parsing/arrays", "parsing/csv/bits", "parsing/csv/blocks", "parsing/csv/grid",
        "split/row_groups", "validation/block_cut", "validation/instants", "validation/proofs",
        "validation/slot_codes", "validation/typed",
    )
)  # fmt: skip
"""Modules that typed parts will replace: they moved as they were."""
IDIOMS = {
    r"\btold\b|\btells?\b(?! (?:you|the user))": "show, report, say, identify",
    r"\breckon(?:s|ed)?\b": "calculate",
    r"\banew\b": "again",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bborne\b|\bbears?\b": "allow, have",
    r"\bbeside\b": "next to, compared with",
    r"\bwhence\b": "from where",
    r"\botherwise than\b": "different from",
    r"\bunless (?:said|told)\b|\bif not said\b": "by default",
    r"\b(?:is|are) well\b": "is fine",
    r"\brefused by name\b": "fails with an error that names it",
    r"\bforsaken\b|\bnought\b|\bnigh\b": "a word of today",
    r"\bfor good\b": "permanently",
    r"\bstands? (?:in|for|at|there|where)\b": "is in, is listed in, represents",
    r"\blies? in\b": "is in",
}
"""Idiom → what to write instead."""
ALLOWED = 20
"""How many idioms may stay, each on purpose."""


def modules(*packages: str) -> Iterator[Path]:
    """Every module of the packages."""
    for package in packages:
        yield from sorted((REPOSITORY / package).rglob("*.py"))


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name that a module binds, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Every comment and docstring of a module, with its first line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (
            token.type == tokenize.STRING and token.string.startswith('"""')
        ):
            yield token.start[0], token.string


def riddles(source: str) -> list[str]:
    """Names of a module that are in the word list."""
    found = names(ast.parse(source))
    return [f"line {line}: {name}" for line, name in found if name.strip("_").lower() in RIDDLES]


def idioms(source: str) -> list[str]:
    """Idioms in the comments and docstrings of a module."""
    return [
        f"line {line}: {match[0]!r}: write {better}"
        for line, text in texts(source)
        for idiom, better in IDIOMS.items()
        for match in re.finditer(idiom, text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_a_riddle(package: str) -> None:
    found = {
        str(path.relative_to(REPOSITORY)): riddles(path.read_text("utf-8"))
        for path in modules(package)
        if str(path.relative_to(REPOSITORY)) not in REPLACED_SOON
    }
    assert {path: each for path, each in found.items() if each} == {}


def test_few_idioms_are_left() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)} {each}"
        for path in modules(*PACKAGES)
        for each in idioms(path.read_text("utf-8"))
    ]
    assert len(found) <= ALLOWED, "\n".join(found)


def test_modules_that_are_replaced_soon_exist() -> None:
    assert [path for path in REPLACED_SOON if not (REPOSITORY / path).is_file()] == []


@pytest.mark.parametrize(
    ("source", "riddle", "idiom"),
    [
        ("told = 1\n", "line 1: told", None),
        ("def f(_given: int) -> None: ...\n", "line 1: _given", None),
        ("class Shown: ...\n", "line 1: Shown", None),
        ("import os as made\n", "line 1: made", None),
        ("self.asked = 1\n", "line 1: asked", None),
        ("x = 1  # what lies in it\n", None, "line 1: 'lies in': write is in"),
        ('"""It tells all."""\n', None, "line 1: 'tells': write show, report, say, identify"),
        ('told_at = "told"  # a text and a longer name\n', None, None),
    ],
)
def test_the_list_finds_what_it_refuses(source: str, riddle: str | None, idiom: str | None) -> None:
    assert riddles(source) == ([riddle] if riddle else [])
    assert idioms(source) == ([idiom] if idiom else [])
