"""`demo` as people call it, and each of its checks seen to fail."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from local_cloud import demo
from local_cloud.cloud import REPOSITORY
from tests.support.idle_grants import outdated, unexplained

CHECKS = (
    "every slot reconciles",
    "every batch succeeded",
    "months are loaded",
    "only the changed month moved",
    "an hour of bikes is loaded",
    "the broken day was refused",
    "every report has rows",
    "reports were published, none failed",
    "every call was granted",
)

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
    found = re.search(r"^\d+ grants used in [\d,]+ questions; idle: (.+)$", printed, re.MULTILINE)
    assert found is not None
    idle = found[1].split(", ")
    assert unexplained(idle) == set()
    assert outdated(idle) == set()


@dataclass(frozen=True)
class Seen:
    """What the checks are given."""

    ledger: tuple[dict[str, Any], ...]
    states: tuple[str, ...]
    runs: tuple[dict[str, Any], ...]
    reports: dict[str, int]
    refused: tuple[dict[str, Any], ...]
    denied: tuple[str, ...] = ()

    def failed(self) -> list[str]:
        """The checks that do not hold."""
        made = demo._checks(
            self.ledger, self.states, self.runs, self.reports, self.refused, self.denied
        )
        assert tuple(check.says for check in made) == CHECKS
        return [check.says for check in made if not check.held]


def month(slot: str, day: str, **counts: int) -> dict[str, Any]:
    """The ledger's row of a month, loaded on that day of September."""
    return {
        "dataset": "paris_wifi_usage", "slot": slot,
        "loaded_at": datetime(2024, 9, int(day), 3, 40, tzinfo=UTC),
        "rows_in": 10, "rows_out": 7, "rejected": 1, "duplicates": 2,
    } | counts  # fmt: skip


def refusal(dataset: str, day: str = "12") -> dict[str, Any]:
    """An event that a run was refused."""
    return {"dataset": dataset, "run": f"202409{day}T041700Z", "message": "a page"}


REST = tuple(month(f"2024-0{number}", "09") for number in (4, 5, 7, 8))
MOVED = month("2024-06", "11")
BIKES = month("2024-09-09T03", "09") | {"dataset": "velib_stations", "runs": 2}
GOOD = Seen(
    ledger=(*REST, MOVED, BIKES),
    states=("SUCCEEDED", "SUCCEEDED"),
    runs=({"outcome": "published", "data_as_of": "2024-08-31"},),
    reports={"wifi_usage_by_day": 150, "wifi_sites_by_district": 22},
    refused=(refusal("paris_wifi_usage"), refusal("paris_wifi_sites")),
)


def test_what_is_good_holds() -> None:
    assert GOOD.failed() == []


@pytest.mark.parametrize(
    ("change", "failed"),
    [
        ({"ledger": (*REST, BIKES, month("2024-06", "11", rows_out=6))}, "every slot reconciles"),
        ({"ledger": (*REST, BIKES, month("2024-06", "11", duplicates=0))}, "every slot reconciles"),
        ({"states": ("SUCCEEDED", "FAILED")}, "every batch succeeded"),
        ({"states": ("SUCCEEDED", "RUNNING")}, "every batch succeeded"),
        ({"states": ()}, "every batch succeeded"),
        ({"ledger": (*REST[:3], MOVED, BIKES)}, "months are loaded"),
        ({"ledger": (*REST, BIKES, month("2024-06", "09"))}, "only the changed month moved"),
        ({"ledger": (*REST[:3], month("2024-08", "11"), MOVED, BIKES)},
         "only the changed month moved"),
        ({"ledger": (*REST, MOVED)}, "an hour of bikes is loaded"),
        ({"refused": (refusal("paris_wifi_usage"),)}, "the broken day was refused"),
        ({"refused": (*GOOD.refused[:1], refusal("paris_wifi_sites", "11"))},
         "the broken day was refused"),
        ({"refused": ()}, "the broken day was refused"),
        ({"reports": {"wifi_usage_by_day": 150, "wifi_sites_by_district": 0}},
         "every report has rows"),
        ({"reports": {}}, "every report has rows"),
        ({"runs": (*GOOD.runs, {"outcome": "failed", "data_as_of": None})},
         "reports were published, none failed"),
        ({"runs": ()}, "reports were published, none failed"),
        ({"denied": ("fn-load does not have",)}, "every call was granted"),
    ],
)  # fmt: skip
def test_each_check_can_fail_alone(change: dict[str, Any], failed: str) -> None:
    assert replace(GOOD, **change).failed() == [failed]


def test_an_empty_cloud_holds_nothing() -> None:
    unseen = "every call was granted"  # where nothing was asked, nothing was refused
    assert Seen((), (), (), {}, ()).failed() == [check for check in CHECKS if check != unseen]
