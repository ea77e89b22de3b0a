"""A publisher's key: read by `download` alone, in the version that the stack pins."""

from __future__ import annotations

from typing import Any

import pytest

from infra_pulumi.config import ConfigError
from local_cloud.pulumi.mocks import Resource
from local_cloud.pulumi.provision import _keys
from tests.unit.infra_pulumi.conftest import KEY, Register, Root

GRANT = "gcp:secretmanager/secretIamMember:SecretIamMember"


def functions(stack: list[Resource]) -> dict[str, Any]:
    """The functions' service configurations by step."""
    kind = "gcp:cloudfunctionsv2/function:Function"
    return {r.name: r.inputs["serviceConfig"] for r in stack if r.type == kind}


def test_download_alone_reads_the_version_that_is_pinned(full: list[Resource]) -> None:
    given = {
        name: service["secretEnvironmentVariables"]
        for name, service in functions(full).items()
        if service.get("secretEnvironmentVariables")
    }
    assert given == {
        "download": [
            {"key": "SECRET_TREES_KEY", "projectId": "demo", "secret": "trees-key", "version": "3"}
        ]
    }
    [grant] = [r for r in full if r.type == GRANT]
    assert grant.inputs == {
        "secretId": "trees-key",
        "role": "roles/secretmanager.secretAccessor",
        "member": "serviceAccount:fn-download@demo.iam.gserviceaccount.com",
    }
    local = _keys(functions(full)["download"])
    assert local == {"SECRET_TREES_KEY": "trees-key/3 (made up)"}


def test_a_stack_without_keys_grants_none(stack: list[Resource]) -> None:
    assert [r for r in stack if r.type == GRANT] == []
    assert not any("secretEnvironmentVariables" in each for each in functions(stack).values())


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ({}, "citypulse:secrets lacks trees-key"),
        ({"citypulse:secrets": '{"trees-key": "latest"}'}, "pin a version by its number"),
    ],
)
def test_a_version_that_is_not_pinned_is_refused(
    register: Register, toy: Root, pinned: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        register({"citypulse:roots": [toy("trees", key=KEY)], **pinned})
