"""`demo` as people call it, and each of its checks seen to fail."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from local_cloud.cloud import REPOSITORY
from tests.support.idle_grants import outdated, unexplained
from tests.unit.local_cloud.test_demo_checks import CHECKS

SERVED = "the API gives every row of every report"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def printed() -> str:
    """What one call prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "local_cloud", "demo"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_check_is_printed_and_held(printed: str) -> None:
    found = re.findall(
        r"^(held|FAILED) +([^:\n]+): ", printed.partition("== checks")[2], re.MULTILINE
    )
    assert found == [("held", check) for check in (*CHECKS, SERVED)]


def test_each_day_and_each_step_is_told(printed: str) -> None:
    days = re.findall(r"^== day (\d), (\S+): (.+)$", printed, re.MULTILINE)
    assert [day for day, _, _ in days] == ["1", "2", "3", "4"]
    steps = set(re.findall(r"^\d\d:\d\d:\d\d  (\w+)", printed, re.MULTILINE))
    assert {"download", "split", "seal", "submit", "load"} <= steps
    assert "synthetic" in printed


def test_every_grant_is_used_or_named_with_its_reason(printed: str) -> None:
    found = re.search(
        r"^\d+ grants used in [\d,]+ permission checks; idle: (.+)$", printed, re.MULTILINE
    )
    assert found is not None
    idle = found[1].split(", ")
    assert unexplained(idle) == set()
    assert outdated(idle) == set()
