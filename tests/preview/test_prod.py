"""What only `prod` has, under Pulumi's real engine: budget, federation, readers, channels."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_cloud.pulumi.engine.making import AT_ONCE
from local_cloud.pulumi.engine.order import races
from local_cloud.pulumi.engine.project import Project
from local_cloud.pulumi.engine.stack import EngineStack
from tests.support.stacks import PROGRAM, settings_of, stack_files

pytestmark = pytest.mark.timeout(500)

ONLY_THERE = {
    "gcp:billing/budget:Budget",
    "gcp:iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
    "gcp:monitoring/notificationChannel:NotificationChannel",
}


def test_prod_is_made_in_order_and_stays_as_it_is(tmp_path: Path) -> None:
    settings = settings_of(stack_files()["prod"])
    project = Project(str(settings["gcp:project"]))
    more = {"citypulse:build": str(tmp_path / "build"), **AT_ONCE}
    with EngineStack(PROGRAM, project, tmp_path, name="prod", settings=more) as stack:
        made = stack.up()
        assert {step.op for step in made} == {"create"}
        assert {step.type for step in made} >= ONLY_THERE
        assert stack.preview() == []
        found = stack.resources()
        [budget] = [each for each in found if each["type"] == "gcp:billing/budget:Budget"]
        assert "::billing::" in budget["provider"]
        assert races(found, project.name) == []
