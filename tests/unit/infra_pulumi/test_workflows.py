"""The workflows: actions pinned by commit, the least permissions, and no key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.stacks import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def loose(text: str) -> Iterator[str]:
    """Actions of a workflow that are not pinned by commit with their version beside it."""
    for line in re.findall(r"uses:\s*(.+)", text):
        if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", line.strip()):
            yield line


def parsed(path: Path) -> dict[Any, Any]:
    told: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return told


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path: Path) -> None:
    assert list(loose(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("line", ["uses: a/b@v4", "uses: a/b@main", f"uses: a/b@{'0' * 40}"])
def test_a_tag_alone_is_not_a_pin(line: str) -> None:
    assert list(loose(line)) != []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_has_a_key_or_more_than_it_needs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "credentials_json" not in text
    assert "secrets." not in text
    assert "pull_request_target" not in text
    granted = parsed(path)["permissions"]
    assert granted["contents"] == "read"
    assert {k: v for k, v in granted.items() if k != "contents"} in ({}, {"id-token": "write"})


def test_ci_runs_what_contributing_says_it_does() -> None:
    told = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [named] = re.findall(r"nox -s ((?:\w+ )+\w+)\n\nare the sessions that CI runs", told)
    workflow = parsed(REPOSITORY / ".github" / "workflows" / "ci.yml")
    runs = [step.get("run", "") for step in workflow["jobs"]["check"]["steps"]]
    sessions = [found[1] for run in runs if (found := re.search(r"nox -s (\w+)", run))]
    assert list(dict.fromkeys(sessions)) == named.split()
    [thorough] = re.findall(r"`(\S+nox -s tests -- \S+ --hypothesis-profile=\w+)`", told)
    assert thorough in runs
    assert len(sessions) == len(named.split()) + 1, "a step runs that CONTRIBUTING.md does not name"


def test_pull_requests_preview_and_main_deploys() -> None:
    workflow = parsed(REPOSITORY / ".github" / "workflows" / "deploy.yml")
    when = workflow[True]  # YAML 1.1 reads `on` so
    assert set(when) == {"pull_request", "push"}
    assert when["push"] == {"branches": ["main"]}
    (job,) = workflow["jobs"].values()
    assert "head.repo.full_name == github.repository" in job["if"], "forks must not get a token"
    *_, auth, pulumi = (step["with"] for step in job["steps"] if "with" in step)
    by_push = "${{ github.event_name == 'push' && "
    assert auth["service_account"] == by_push + "vars.DEPLOY_ACCOUNT || vars.PREVIEW_ACCOUNT }}"
    assert pulumi["command"] == by_push + "'up' || 'preview' }}"
