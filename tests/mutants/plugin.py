"""pytest plugin of `nox -s mutants`: each named test passes as it is and fails with its mutations.

A mutation is in place from the test's own fixtures to its end; fixtures of a module or a session
are made without it. Only a failure of the test's call catches it (`Mutation.survival`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest

from tests.mutants.mutation import Mutation, MutationError

_PARAMETER = "mutation"


def pytest_configure(config: pytest.Config) -> None:
    """Collect the files of the tests that the mutations name."""
    from tests.mutants.mutations import MUTATIONS

    files = (config.rootpath / _file(mutation) for mutation in MUTATIONS)
    config.args = [str(file) for file in dict.fromkeys(files) if file.exists()]
    config.pluginmanager.register(Mutants(MUTATIONS))


class Mutants:
    """Repeats tests with mutations and inverts what comes of them."""

    def __init__(self, mutations: Sequence[Mutation]) -> None:
        self._mutations = mutations

    @pytest.fixture(autouse=True)
    def mutation(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Apply the test's mutation before its other fixtures are made."""
        mutation: Mutation | None = getattr(request, "param", None)
        if mutation is None:
            yield
            return
        with mutation.applied():
            yield

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a function as it is, and once with each mutation that names it."""
        own = [each for each in self._mutations if _function(each) == metafunc.definition.nodeid]
        if own:
            ids = [pytest.HIDDEN_PARAM, *(each.name for each in own)]
            metafunc.parametrize(_PARAMETER, [None, *own], ids=ids, indirect=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> None:
        """Leave the named tests and their repetitions, and a failure for each that is missing."""
        wanted = {node: each for each in self._mutations for node in (each.test, _repetition(each))}
        items[:] = [item for item in items if item.nodeid in wanted]
        collected = {item.nodeid for item in items}
        items += [
            Missing.from_parent(session, name=each.name, mutation=each)
            for each in self._mutations
            if _repetition(each) not in collected
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Report a mutation that its test catches as passed, any other as failed."""
        report = yield
        parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
        mutation: Mutation | None = parameters.get(_PARAMETER)
        if mutation is not None and call.when == "call":
            fault = mutation.survival(call.excinfo.value if call.excinfo else None)
            seen = f"{report.longrepr}\n\n" if report.longrepr else ""
            report.outcome = "failed" if fault else "passed"
            report.longrepr = f"{seen}{fault}" if fault else None
        return report


class Missing(pytest.Item):
    """A mutation whose test was not collected."""

    def __init__(self, *, mutation: Mutation, **options: Any) -> None:
        super().__init__(**options)
        self._mutation = mutation

    def runtest(self) -> None:
        """Fail with the name of the mutation and of the test."""
        raise MutationError(self._mutation.says(f"{self._mutation.test} not found"))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """Show the error's text alone."""
        return str(excinfo.value)


def _file(mutation: Mutation) -> str:
    """Return the path of a mutation's test."""
    return mutation.test.partition("::")[0]


def _function(mutation: Mutation) -> str:
    """Return the node id of a mutation's test without the id of its parameters."""
    return mutation.test.partition("[")[0]


def _repetition(mutation: Mutation) -> str:
    """Return the node id of a mutation's test with the mutation."""
    test = mutation.test
    return f"{test[:-1]}-{mutation.name}]" if test.endswith("]") else f"{test}[{mutation.name}]"
