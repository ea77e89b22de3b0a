"""Which outcomes of a test catch a mutation, and which are reported as failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions.core.errors import PermanentError
from tests.mutants.mutation import Mutation, MutationError
from tests.mutants.plugin import Mutants

pytest_plugins = ["pytester"]

SHOP = """
PRICE = 3

def price():
    return PRICE
"""
TESTS = """
import pytest
import shop
from functions.core.errors import PermanentError

@pytest.fixture(scope="module")
def before():
    return shop.price()

@pytest.fixture
def paid():
    return shop.price() / 1

def test_price(before, paid):
    assert before == 3
    assert paid == 3

@pytest.mark.parametrize("count", [1, 2])
def test_sum(count):
    assert count * shop.price() == 3 * count

def test_raised():
    with pytest.raises(TypeError):
        len(shop.price())

def test_no_price():
    pass
"""


def run(pytester: pytest.Pytester, *mutations: Mutation) -> pytest.HookRecorder:
    """Run the tests of the shop with mutations, without plugins that import a server."""
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    pytester.syspathinsert()
    without = ("-p", "no:cacheprovider", "-p", "no:local_bigquery")
    return pytester.inline_run(*without, plugins=[Mutants(mutations)])


def mutated(
    test: str, change: Callable[[Any], Any], target: str = "shop.price", **options: Any
) -> Mutation:
    """A mutation of the shop."""
    return Mutation("m", 1, "A mistake", target, f"test_shop.py::{test}", change, **options)


def free(price: Any) -> Any:
    return lambda: 0


def failing(error: Exception) -> Callable[[Any], Any]:
    """What makes a function raise."""

    def change(_: Any) -> Any:
        def price() -> int:
            raise error

        return price

    return change


@pytest.mark.parametrize(
    "caught",
    [
        mutated("test_price", free),
        mutated("test_price", lambda _: 4, "shop.PRICE"),
        mutated("test_sum[2]", free),
        mutated("test_raised", lambda _: lambda: ""),
        mutated("test_sum[1]", failing(PermanentError("no price"))),
        mutated("test_sum[1]", failing(LookupError()), errors=(LookupError,)),
    ],
)
def test_a_failure_of_the_call_catches(pytester: pytest.Pytester, caught: Mutation) -> None:
    run(pytester, caught).assertoutcome(passed=2)


@pytest.mark.parametrize(
    ("survivor", "fault"),
    [
        (mutated("test_no_price", free), "survived: test_shop.py::test_no_price passes"),
        (mutated("test_sum[1]", failing(LookupError())), "ended with LookupError"),
        (mutated("test_price", failing(AssertionError())), "AssertionError"),  # of a fixture
        (mutated("test_price", free, "shop.gone"), "shop.gone not found"),
        (mutated("test_price", free, "shop.Gone.price"), "shop.Gone.price not found"),
        (mutated("test_price", lambda found: found), "it leaves shop.price as it is"),
    ],
)
def test_everything_else_is_a_failure(
    pytester: pytest.Pytester, survivor: Mutation, fault: str
) -> None:
    passed, _, failed = run(pytester, survivor).listoutcomes()
    assert [report.nodeid for report in passed] == [survivor.test]
    assert [report.nodeid.replace("-m]", "]").removesuffix("[m]") for report in failed] == [
        survivor.test
    ]
    assert fault in failed[0].longreprtext


def test_a_survivor_says_how_to_repeat_it(pytester: pytest.Pytester) -> None:
    _, _, [failed] = run(pytester, mutated("test_no_price", free)).listoutcomes()
    assert "mutation m (invariant 1: A mistake)" in failed.longreprtext
    assert "nox -s mutants -- -k m" in failed.longreprtext


@pytest.mark.parametrize("test", ["test_sum[3]", "test_gone"])
def test_a_test_that_is_not_there_is_named(pytester: pytest.Pytester, test: str) -> None:
    _, _, [failed] = run(pytester, mutated(test, free)).listoutcomes()
    assert f"test_shop.py::{test} not found" in failed.longreprtext


def test_a_timeout_catches_nothing() -> None:
    timeout = pytest.fail.Exception("Timeout (>60.0s) from pytest-timeout.")
    assert "ended with Failed" in (mutated("test_price", free).survival(timeout) or "")


def test_a_mutation_ends_with_its_block() -> None:
    one = mutated("", lambda _: 5, "functions.load.step.SECONDS")
    from functions.load import step as load

    before = load.SECONDS
    with one.applied():
        assert load.SECONDS == 5
    assert before == load.SECONDS
    with pytest.raises(MutationError, match=r"functions\.load\.step\.GONE not found"):  # noqa: SIM117
        with mutated("", lambda _: 5, "functions.load.step.GONE").applied():
            pass
