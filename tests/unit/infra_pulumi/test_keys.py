"""A publisher's key: read by `download` alone, in the version that the stack pins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra_pulumi.config import ConfigError
from local_cloud.program import Resource
from local_cloud.provision import _keys
from tests.unit.infra_pulumi.conftest import REPOSITORY, Register

KEY = '[source]\nkey = { secret = "trees-key", header = "X-API-Key" }\n'
PINNED = {"citypulse:secrets": '{"trees-key": "3"}'}
GRANT = "gcp:secretmanager/secretIamMember:SecretIamMember"


@pytest.fixture
def keyed(tmp_path: Path) -> dict[str, Any]:
    """The settings of a stack with a root whose data set names a key."""
    text = (REPOSITORY / "catalog" / "datasets" / "paris_wifi_sites.toml").read_text()
    text = text.replace("paris_wifi_sites", "trees").replace('"wifi_sites', '"trees')
    text = text.replace('system = "paris_wifi"', 'system = "green"').replace("[source]\n", KEY)
    for name, body in {"catalog/datasets/trees.toml": text, "dataproc_jobs/green.py": "\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(body)
    return {"citypulse:roots": [str(tmp_path)]}


def functions(stack: list[Resource]) -> dict[str, Any]:
    """The functions' service configurations by step."""
    kind = "gcp:cloudfunctionsv2/function:Function"
    return {r.name: r.inputs["serviceConfig"] for r in stack if r.type == kind}


def test_download_alone_reads_the_version_that_is_pinned(
    register: Register, keyed: dict[str, Any]
) -> None:
    stack = register(keyed | PINNED)
    given = {
        name: service["secretEnvironmentVariables"]
        for name, service in functions(stack).items()
        if service.get("secretEnvironmentVariables")
    }
    assert given == {
        "download": [
            {"key": "SECRET_TREES_KEY", "projectId": "demo", "secret": "trees-key", "version": "3"}
        ]
    }
    [grant] = [r for r in stack if r.type == GRANT]
    assert grant.inputs == {
        "secretId": "trees-key",
        "role": "roles/secretmanager.secretAccessor",
        "member": "serviceAccount:fn-download@demo.iam.gserviceaccount.com",
    }
    local = _keys(functions(stack)["download"])
    assert local == {"SECRET_TREES_KEY": "trees-key/3 (made up)"}


def test_a_stack_without_keys_grants_none(register: Register) -> None:
    stack = register()
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
    register: Register, keyed: dict[str, Any], pinned: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        register(keyed | pinned)
