"""The Python that Pulumi's CLI runs the program with: what `uv sync` installs, in a place of its own."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.support.stacks import REPOSITORY

PROGRAM = REPOSITORY / "infra_pulumi"
OPTIONS = yaml.safe_load((PROGRAM / "Pulumi.yaml").read_text("utf-8"))["runtime"]["options"]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))


def imported(path: Path) -> Iterator[str]:
    """The packages that a module imports, by the first part of their names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_pulumi_installs_what_the_program_imports_and_no_more() -> None:
    files = [*PROGRAM.glob("*.py"), *(REPOSITORY / "catalog").glob("*.py")]
    roots = {root for path in files for root in imported(path)} - set(sys.stdlib_module_names)
    asked = {root.replace("_", "-") for root in roots - {"catalog", "infra_pulumi"}}
    (group,) = PROJECT["tool"]["uv"]["default-groups"]
    assert asked == {re.split("[=<>]", entry)[0] for entry in PROJECT["dependency-groups"][group]}


def test_pulumi_leaves_the_environment_of_nox_alone() -> None:
    assert OPTIONS["toolchain"] == "uv"
    place = (PROGRAM / OPTIONS["virtualenv"]).resolve()
    assert place.relative_to(REPOSITORY).parts[0] == ".nox"
    deploy = (REPOSITORY / ".github" / "workflows" / "deploy.yml").read_text("utf-8")
    told = re.findall(r'UV_PROJECT_ENVIRONMENT="\$PWD/([^"]+)"', deploy)
    assert told == [place.relative_to(REPOSITORY).as_posix()]
