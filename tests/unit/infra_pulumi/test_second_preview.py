"""A second preview has nothing to do, though services write some values in another way."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from local_cloud.pulumi.engine.read_back import read_back
from local_cloud.pulumi.engine.replacing import differences
from local_cloud.pulumi.mocks import Resource
from tests.support.policies import FUNCTION
from tests.support.stacks import registered, stack_files

BUDGET = "billing/budget:Budget"
DASHBOARD = "monitoring/dashboard:Dashboard"


def changed(resource: Resource) -> list[str]:
    """The inputs that the next preview of the same program would change."""
    before = read_back(resource.type, resource.inputs)
    return list(differences(before, resource.inputs))


@pytest.mark.parametrize("stack", stack_files())
def test_a_second_preview_changes_nothing(stack: str) -> None:
    found = {f"{r.type} {r.name}": changed(r) for r in registered(stack).resources}
    assert {name: paths for name, paths in found.items() if paths} == {}


def without_execution_id(inputs: dict[str, Any]) -> None:
    del inputs["serviceConfig"]["environmentVariables"]["LOG_EXECUTION_ID"]


def by_id(inputs: dict[str, Any]) -> None:
    inputs["budgetFilter"]["projects"] = ["projects/citypulse-prod"]


def at_zero(dashboard: dict[str, Any]) -> None:
    dashboard["mosaicLayout"]["tiles"][0]["xPos"] = 0


def without_lines(dashboard: dict[str, Any]) -> None:
    dashboard["mosaicLayout"]["tiles"][0]["widget"]["xyChart"]["thresholds"] = []


def drawn(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A change of what the dashboard's JSON says."""

    def rewrite(inputs: dict[str, Any]) -> None:
        dashboard = json.loads(inputs["dashboardJson"])
        change(dashboard)
        inputs["dashboardJson"] = json.dumps(dashboard, sort_keys=True)

    return rewrite


@pytest.mark.parametrize(
    ("kind", "change", "path"),
    [
        (FUNCTION, without_execution_id, "serviceConfig.environmentVariables.LOG_EXECUTION_ID"),
        (BUDGET, by_id, "budgetFilter.projects[0]"),
        (DASHBOARD, drawn(at_zero), "dashboardJson"),
        (DASHBOARD, drawn(without_lines), "dashboardJson"),
    ],
    ids=["execution id", "project by id", "zero", "empty list"],
)
def test_a_value_that_a_service_rewrites_is_a_difference_for_ever(
    kind: str, change: Callable[[dict[str, Any]], None], path: str
) -> None:
    victims = list(registered("prod").of(kind))
    assert victims
    for victim in victims:
        inputs = copy.deepcopy(dict(victim.inputs))
        change(inputs)
        assert changed(Resource(victim.type, victim.name, inputs)) == [path]
