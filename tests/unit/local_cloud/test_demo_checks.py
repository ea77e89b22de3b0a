"""Each check of the demo seen to fail alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from local_cloud.cli import demo

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
        checks = demo._checks(
            self.ledger, self.states, self.runs, self.reports, self.refused, self.denied
        )
        assert tuple(check.says for check in checks) == CHECKS
        return [check.says for check in checks if not check.held]


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
