"""The stack under Pulumi's real engine: what mocks cannot show. Each stage goes on from the one before."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from catalog.contract import Contract, Kind, load_all
from local_cloud.pulumi.engine.making import AT_ONCE
from local_cloud.pulumi.engine.order import races
from local_cloud.pulumi.engine.project import BUCKET, DATASET, OBJECT, TABLE, Project
from local_cloud.pulumi.engine.stack import EngineError, EngineStack, EngineStep
from local_cloud.pulumi.mocks import Resource, run_program
from local_cloud.pulumi.provision import provider_outputs

pytestmark = pytest.mark.timeout(500)

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("bq_sql", "catalog", "dataproc_jobs", "functions", "infra_pulumi")
STACK = "dev"
PROJECT = "citypulse-dev"
type Found = dict[str, Any]
"""A resource as the state has it: urn, type, inputs, outputs …"""

COLUMN = '    { name = "added_here", type = "STRING", description = "Added here" },\n'


@dataclass(frozen=True)
class Stage:
    """What an `up` did, and the resources after it."""

    steps: list[EngineStep]
    resources: list[Found]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the program reads, to be changed at will."""
    copy = tmp_path_factory.mktemp("repository")
    for folder in FOLDERS:
        shutil.copytree(
            REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return copy


@pytest.fixture(scope="module")
def contract(repository: Path) -> Contract:
    """The contract that is changed: the first that is ticked."""
    ticked = [
        contract
        for _, contract in sorted(load_all(repository / "catalog" / "datasets").items())
        if contract.kind is not Kind.STREAM and not contract.retired
    ]
    return ticked[0]


@pytest.fixture(scope="module")
def project() -> Project:
    return Project(PROJECT)


@pytest.fixture(scope="module")
def stack(
    repository: Path, project: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineStack]:
    folder = tmp_path_factory.mktemp("engine")
    program = repository / "infra_pulumi" / "__main__.py"
    settings = {"citypulse:build": str(folder / "build"), **AT_ONCE}
    with EngineStack(program, project, folder, name=STACK, settings=settings) as made:
        yield made


@pytest.fixture(scope="module")
def first_preview(stack: EngineStack) -> list[EngineStep]:
    return stack.preview()


@pytest.fixture(scope="module")
def first_up(stack: EngineStack, first_preview: list[EngineStep]) -> list[EngineStep]:
    return stack.up()


@pytest.fixture(scope="module")
def second_preview(stack: EngineStack, first_up: list[EngineStep]) -> list[EngineStep]:
    return stack.preview()


@pytest.fixture(scope="module")
def at_first(stack: EngineStack, second_preview: list[EngineStep]) -> list[Found]:
    """The resources before anything changed."""
    return stack.resources()


@pytest.fixture(scope="module")
def after_a_byte(stack: EngineStack, repository: Path, at_first: object) -> Stage:
    with (repository / "functions" / "main.py").open("ab") as source:
        source.write(b"\n")
    return Stage(stack.up(), stack.resources())


@pytest.fixture(scope="module")
def after_another_time(
    stack: EngineStack, repository: Path, contract: Contract, after_a_byte: object
) -> Stage:
    minute, rest = contract.schedule.split(" ", 1)
    other = f"{(int(minute) + 1) % 60 or 1} {rest}"
    edit(repository, contract, f'schedule = "{contract.schedule}"', f'schedule = "{other}"')
    return Stage(stack.up(), stack.resources())


@pytest.fixture(scope="module")
def after_a_column(
    stack: EngineStack, repository: Path, contract: Contract, after_another_time: object
) -> Stage:
    edit(repository, contract, "\ncolumns = [\n", f"\ncolumns = [\n{COLUMN}")
    return Stage(stack.up(), stack.resources())


@dataclass(frozen=True)
class Kept:
    """What came of destroying a stack that is not disposable."""

    steps: list[EngineStep]
    """How it was made so."""
    said: str
    before: set[tuple[str, str]]
    after: set[tuple[str, str]]


@pytest.fixture(scope="module")
def kept(stack: EngineStack, project: Project, after_a_column: object) -> Kept:
    stack.configure({"citypulse:disposable": "false"})
    steps, before = stack.up(), set(project.living)
    with pytest.raises(EngineError) as refused:
        stack.destroy()
    return Kept(steps, str(refused.value), before, set(project.living))


@pytest.fixture(scope="module")
def destroyed(stack: EngineStack, kept: Kept) -> list[EngineStep]:
    stack.configure({"citypulse:disposable": "true"})
    stack.up()
    return stack.destroy()


def test_a_preview_says_what_up_makes(
    first_preview: list[EngineStep], first_up: list[EngineStep]
) -> None:
    assert sorted(first_preview) == sorted(first_up)
    assert {step.op for step in first_up} == {"create"}


def test_up_makes_what_the_program_registers(
    first_up: list[EngineStep], repository: Path, tmp_path: Path
) -> None:
    registered: list[Resource] = []

    def note(resource: Resource) -> tuple[str, dict[str, Any]]:
        registered.append(resource)
        made, outputs = provider_outputs(resource, PROJECT)
        return made, dict(outputs)

    settings = {
        "gcp:project": PROJECT,
        "gcp:region": "europe-west1",
        "citypulse:build": str(tmp_path),
        "citypulse:disposable": "true",
    }
    run_program(repository / "infra_pulumi" / "__main__.py", settings, note)
    made = {(step.type, step.name) for step in first_up if step.type.startswith("gcp:")}
    assert made == {(resource.type, resource.name) for resource in registered}


def test_a_second_preview_has_nothing_to_do(second_preview: list[EngineStep]) -> None:
    assert second_preview == [], "a value of the program differs from run to run"


def test_nothing_is_made_by_luck_after_what_it_needs(at_first: list[Found]) -> None:
    assert races(at_first, PROJECT) == []


def test_a_byte_of_source_makes_another_archive_and_moves_its_functions(
    at_first: list[Found], after_a_byte: Stage
) -> None:
    assert redeployed(after_a_byte) == []
    assert archive(after_a_byte.resources)["inputs"]["name"] != archive(at_first)["inputs"]["name"]


def test_the_archive_goes_after_the_functions_have_left_it(after_a_byte: Stage) -> None:
    ops = [(step.op, step.type.rpartition(":")[2]) for step in after_a_byte.steps]
    last_update = max(place for place, (op, _) in enumerate(ops) if op == "update")
    assert ops.index(("create-replacement", "BucketObject")) < last_update
    assert ops.index(("delete-replaced", "BucketObject")) > last_update


def test_another_time_moves_the_data_sets_own_job_alone(
    after_another_time: Stage, contract: Contract
) -> None:
    job = next(
        found
        for found in of(after_another_time.resources, "gcp:cloudscheduler/job:Job")
        if json.loads(base64.b64decode(found["inputs"]["pubsubTarget"]["data"]))
        == {"dataset": contract.dataset}
    )
    assert redeployed(after_another_time) == [EngineStep("update", *key(job), ("schedule",))]


def test_a_column_more_changes_the_live_table_in_place(
    after_a_column: Stage, contract: Contract
) -> None:
    table = next(
        found
        for found in of(after_a_column.resources, TABLE)
        if found["inputs"]["tableId"] == contract.tables[0].name
    )
    assert redeployed(after_a_column) == [EngineStep("update", *key(table), ("schema",))]
    assert "added_here" in table["inputs"]["schema"]


def test_a_stack_that_is_not_disposable_is_not_destroyed(kept: Kept) -> None:
    assert "protected" in kept.said
    assert kept.after == kept.before


def test_protection_comes_in_place(kept: Kept) -> None:
    assert {step.op for step in kept.steps} == {"update"}
    assert {step.type for step in kept.steps} >= {BUCKET, TABLE, DATASET}


def test_destroy_leaves_nothing_but_the_apis(destroyed: list[EngineStep], project: Project) -> None:
    assert {step.op for step in destroyed} == {"delete"}
    kept = [resource.type for resource in project.living.values()]
    assert kept == []


def redeployed(stage: Stage) -> list[EngineStep]:
    """What was done beyond a new archive and the functions that it moves, both of which must be."""
    source = archive(stage.resources)
    users = {
        key(found)
        for found in of(stage.resources)
        if key(found) != key(source) and source["inputs"]["name"] in json.dumps(found["inputs"])
    }
    replaced = {step for step in stage.steps if (step.type, step.name) == key(source)}
    moved = {step for step in stage.steps if (step.type, step.name) in users}
    assert {step.op for step in replaced} == {"create-replacement", "replace", "delete-replaced"}
    assert {(step.op, step.changed) for step in moved} == {("update", ("buildConfig",))}
    assert len(moved) == len(users) >= 1
    return [step for step in stage.steps if step not in replaced | moved]


def archive(resources: list[Found]) -> Found:
    """The object from which the functions are built."""
    function = of(resources, "gcp:cloudfunctionsv2/function:Function")[0]
    wanted = function["inputs"]["buildConfig"]["source"]["storageSource"]["object"]
    return next(found for found in of(resources, OBJECT) if found["inputs"]["name"] == wanted)


def of(resources: list[Found], kind: str = "") -> list[Found]:
    """The provider's resources, of one type or of all."""
    return [
        found
        for found in resources
        if found["type"].startswith("gcp:") and kind in ("", found["type"])
    ]


def key(resource: Found) -> tuple[str, str]:
    """Type and name of a resource."""
    return str(resource["type"]), str(resource["urn"].rpartition("::")[2])


def edit(repository: Path, contract: Contract, old: str, new: str) -> None:
    """Change a contract's file in one place."""
    file = repository / "catalog" / "datasets" / f"{contract.dataset}.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{file.name} has no {old!r}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
