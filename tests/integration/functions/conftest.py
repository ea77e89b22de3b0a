"""Fixtures of the steps' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_cloud.publishers import Publishers
from tests.support.split_cloud import desk, storage_server  # noqa: F401
from tests.support.step_cloud import Servers, Toy, serve


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Storage, BigQuery and the gate, once for all tests."""
    yield from serve(tmp_path_factory.mktemp("steps"))


@pytest.fixture
def toy(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A toy system of the test's own."""
    return Toy(servers, monkeypatch)


@pytest.fixture
def tabled(toy: Toy) -> Toy:
    """A toy system whose lake has its tables."""
    toy.make_tables()
    return toy


@pytest.fixture(scope="module")
def publisher_servers() -> Iterator[Publishers]:
    """The publishers' servers of a module, which begin without an address."""
    with Publishers() as started:
        yield started


@pytest.fixture
def publishers(publisher_servers: Publishers, monkeypatch: pytest.MonkeyPatch) -> Publishers:
    """The publishers' servers, asked by this process from now on."""
    for name, value in publisher_servers.env.items():
        monkeypatch.setenv(name, value)
    publisher_servers.requests.clear()
    return publisher_servers
