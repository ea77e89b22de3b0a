"""The stacks that several files of tests look at; a process registers each configuration once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from local_cloud.pulumi.mocks import Resource, Setting
from tests.support import stacks

REPOSITORY = Path(__file__).resolve().parents[3]
DEMO = {"gcp:project": "demo", "gcp:region": "europe-west1"}
"""The settings that every stack needs."""
STREAM = REPOSITORY / "tests" / "system" / "toy_stream"
SITES = REPOSITORY / "catalog" / "datasets" / "paris_wifi_sites.toml"
KEY = 'key = { secret = "trees-key", header = "X-API-Key" }\n'

type Register = Callable[..., list[Resource]]
type Root = Callable[..., str]


@pytest.fixture(scope="session")
def register() -> Register:
    """Runs the program with settings beyond the necessary ones and gives what it registered."""

    def run(settings: Mapping[str, Setting] | None = None) -> list[Resource]:
        return list(stacks.register({**DEMO, **(settings or {})}).resources)

    return run


@pytest.fixture(scope="session")
def stack(register: Register) -> list[Resource]:
    """What the program registers for the repository alone."""
    return register()


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Makes a root with one small data set of its own system, e.g. toys of toys_system."""

    def make(dataset: str, *, retired: bool = False, key: str = "") -> str:
        root = tmp_path_factory.mktemp(dataset)
        text = SITES.read_text(encoding="utf-8")
        text = text.replace("paris_wifi_sites", dataset).replace('"wifi_sites', f'"{dataset}_base')
        text = text.replace('system = "paris_wifi"', f'system = "{dataset}_system"')
        text = text.replace("[source]\n", f"[source]\n{key}")
        job = root / "dataproc_jobs" / f"{dataset}_system.py"
        contract = root / "catalog" / "datasets" / f"{dataset}.toml"
        for path, body in {job: "\n", contract: "retired = true\n" * retired + text}.items():
            path.parent.mkdir(parents=True)
            path.write_text(body, encoding="utf-8")
        return str(root)

    return make


@pytest.fixture(scope="session")
def full(register: Register, toy: Root) -> list[Resource]:
    """A stack with each optional thing: more roots, a stream, a key, readers; it may lose its data."""
    return register(
        {
            "citypulse:disposable": "true",
            "citypulse:roots": [str(STREAM), toy("toys"), toy("trees", key=KEY)],
            "citypulse:secrets": '{"trees-key": "3"}',
            "citypulse:serve_to": "us@example.org",
        }
    )
