"""A mutation: one plausible mistake in the code, applied in memory, and the test that must fail."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from functions.core.errors import PermanentError, RetryLaterError
from functions.parsing.header import RunRefusedError

FAILURES = (AssertionError, PermanentError, RetryLaterError, RunRefusedError)
"""Errors of a failed test: an assertion, or an error that the product raises for its users."""

_NOTHING_RAISED = "DID NOT RAISE"
"""How the message of `pytest.raises` begins; a timeout is the same exception with another text."""


class MutationError(Exception):
    """A mutation that cannot be applied."""


@dataclass(frozen=True)
class Mutation:
    """One mistake: what it replaces, and the node id of the test that must fail with it."""

    name: str
    invariant: int
    """Its number in `INVARIANTS`."""
    mistake: str
    """The mistake in one line."""
    target: str
    """Dotted name of a function, method or constant, where the code looks it up."""
    test: str
    change: Callable[[Any], Any]
    """Target → its replacement."""
    errors: tuple[type[Exception], ...] = ()
    """Further errors by which this test may fail."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the target; raise MutationError if it is missing, or if nothing changes."""
        path, _, attribute = self.target.rpartition(".")
        try:
            owner = pkgutil.resolve_name(path)
            found = getattr(owner, attribute)
        except (ImportError, AttributeError) as error:
            raise MutationError(self.says(f"{self.target} not found ({error})")) from error
        changed = self.change(found)
        if changed == found:
            raise MutationError(self.says(f"it leaves {self.target} as it is"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, attribute, changed)
            yield

    def survival(self, error: BaseException | None) -> str | None:
        """Explain why the outcome of the test's call does not catch this mutation; None if it does."""
        if error is None:
            return self.says(f"survived: {self.test} passes although the code is wrong")
        if isinstance(error, (*FAILURES, *self.errors)):
            return None
        if isinstance(error, pytest.fail.Exception) and str(error).startswith(_NOTHING_RAISED):
            return None
        return self.says(
            f"{self.test} ended with {type(error).__name__}, which is no failed assertion and no "
            "error of the product; if that is how it fails, add the type to `errors`"
        )

    def says(self, fault: str) -> str:
        """Name the mutation, the fault and the command that repeats it."""
        return (
            f"mutation {self.name} (invariant {self.invariant}: {self.mistake}): {fault}.\n"
            f"Correct the test, or the mutation in tests/mutants/mutations.py.\n"
            f"Repeat: nox -s mutants -- -k {self.name}"
        )


def mutation(
    invariant: int, target: str, test: str, *, errors: tuple[type[Exception], ...] = ()
) -> Callable[[Callable[[Any], Any]], Mutation]:
    """Make a mutation of a function: its name, the first line of its docstring, what it returns.

    Args:
        invariant: Its number in `INVARIANTS`.
        target: Dotted name of what is replaced; the function gets its value.
        test: Node id, below `tests/`, of the test that must fail.
        errors: Exceptions other than `FAILURES` by which that test may fail.
    """

    def make(change: Callable[[Any], Any]) -> Mutation:
        mistake = (change.__doc__ or "").partition("\n")[0].rstrip(".")
        return Mutation(
            change.__name__, invariant, mistake, target, f"tests/{test}", change, errors
        )

    return make
