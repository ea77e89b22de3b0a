"""Every invariant has its mutations, and every mutation finds its target and its test."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.mutation import Mutation
from tests.mutants.mutations import INVARIANTS, MUTATIONS

REPOSITORY = Path(__file__).parents[3]


def test_every_invariant_has_two_mutations() -> None:
    counts = Counter(mutation.invariant for mutation in MUTATIONS)
    assert set(counts) == set(INVARIANTS) == set(range(1, 13))
    assert {invariant: n for invariant, n in counts.items() if n < 2} == {}


def test_names_select_one_mutation() -> None:
    """`-k` takes any part of a name."""
    names = [mutation.name for mutation in MUTATIONS]
    assert [(one, other) for one in names for other in names if one in other] == [
        (name, name) for name in names
    ]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_described_and_finds_its_target(mutation: Mutation) -> None:
    assert mutation.mistake
    with mutation.applied():
        pass


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_named_test_exists(mutation: Mutation) -> None:
    """The id of a parameter is seen by `nox -s mutants` alone: it collects the tests."""
    path, _, name = mutation.test.partition("::")
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name.partition("[")[0] in defined
