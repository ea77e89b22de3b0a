"""What a stack file registers is what its golden inventory says."""

from __future__ import annotations

import pytest

from local_cloud.pulumi.mocks import Resource
from local_cloud.pulumi.provision import RECORDED
from tests.support.inventory import GOLDEN, RENEW, inventory
from tests.support.stacks import registered, stack_files


@pytest.mark.parametrize("stack", stack_files())
def test_the_stack_is_as_its_golden_says(stack: str) -> None:
    path = GOLDEN / f"{stack}.json"
    wanted = path.read_text(encoding="utf-8") if path.exists() else ""
    made = inventory(registered(stack).resources)
    assert made == wanted, f"look at the difference, then renew it: {RENEW}"


def test_a_type_that_is_only_recorded_is_one_that_a_stack_has() -> None:
    keyed = {
        "gcp:secretmanager/secretIamMember:SecretIamMember"
    }  # tests/unit/infra_pulumi/test_keys.py
    assert {r.type for r in registered("prod").resources} | keyed >= RECORDED


def test_hashes_are_masked_and_nothing_else() -> None:
    kept = Resource("a:b:C", "x", {"project": "citypulse-dev", "age": 7.0})
    one = Resource("a:b:C", "y", {"name": "jobs/0123456789abcdef/x.py", "query": "SELECT 1"})
    other = Resource("a:b:C", "y", {"name": "jobs/fedcba9876543210/x.py", "query": "SELECT 2"})
    assert inventory([kept, one]) == inventory([other, kept])
    assert '"age": 7' in inventory([kept])
    assert "citypulse-dev" in inventory([kept])
