"""GoogleSQL's analyser, once for a process."""

from __future__ import annotations

import pytest

from local_cloud.googlesql.engine import Service
from local_cloud.googlesql.scripts import Analyser
from tests.support.sql_texts import tables


@pytest.fixture(scope="session")
def analyser() -> Analyser:
    """GoogleSQL's analyser with the tables of the project."""
    return Analyser(Service(), tables())
