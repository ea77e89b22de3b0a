"""Sessions of people and CI: `demo`, `tests`, `crashes`, `preview`, `try`, lint, types."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "tests"]

PYTHON = (Path(__file__).parent / ".python-version").read_text(encoding="utf-8").strip()
"""The one interpreter; uv fetches it where it is missing."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "citypulse"
BYTECODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}
"""Keeps compiled modules of the big packages: without it each start compiles them anew."""

_FEED = "tests/data/velib/gbfs_2024-11-19_banacchini_station"
MORNING = f"{_FEED}_information.json+{_FEED}_status.json@2024-11-19T07:40"
"""A real pair of the bikes' feed, as `try` takes it."""


def _install(session: nox.Session, group: str, *options: str) -> None:
    """Install what `uv.lock` has for a dependency group; `--inexact` leaves other packages."""
    session.run_install(
        "uv",
        "sync",
        "--quiet",
        "--frozen",
        "--only-group",
        group,
        *options,
        "--python",
        session.virtualenv.location,
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
        silent=False,
    )


@nox.session(python=PYTHON)
def demo(session: nox.Session) -> None:
    """Run the pipeline from publisher to report on a local cloud and print what it did."""
    _install(session, "local")
    session.run("python", "-m", "local_cloud", "demo", *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON, name="try")
def try_files(session: nox.Session) -> None:
    """Run your own files through the real steps: `nox -s try -- DATASET FILE…`."""
    _install(session, "local")
    # By default nox adds standard error to standard output, which must be the document only.
    session.run("python", "-m", "local_cloud", "try", *session.posargs, env=BYTECODE, stderr=None)


@nox.session(python=PYTHON)
def pictures(session: nox.Session) -> None:
    """Renew the README's pictures: a real morning of bikes, and the demo's Wi-Fi."""
    _install(session, "local")
    session.run("python", "-m", "local_cloud", "demo", env=BYTECODE)
    session.run(
        "python", "-m", "local_cloud", "try", "velib_stations", MORNING, "--pages", "build/morning",
        env=BYTECODE, stderr=None, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for picture in ("morning/velib_map.png", "demo/paris_wifi_week_hours.png"):
        shutil.copy(Path("build") / picture, "docs/pictures")


@nox.session(python=PYTHON)
def export(session: nox.Session) -> None:
    """Write a made-up Wi-Fi usage export: `nox -s export -- --rows 5000 --out usage.csv`."""
    _install(session, "local")
    session.run("python", "-m", "local_cloud", "export", *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Run unit, integration and system tests in two processes; `-- tests/unit` runs a part."""
    _install(session, "tests")
    two = ("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder")  # tests/conftest.py says how
    session.run("python", "-m", "pytest", *two, *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def mutants(session: nox.Session) -> None:
    """Break each invariant in memory: a named test must fail; `-- -k NAME` for one mutation."""
    _install(session, "tests")
    two = ("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder")
    plugin = ("-p", "tests.mutants.plugin", "--timeout", "120")
    session.run("python", "-m", "pytest", *plugin, *two, *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def sql(session: nox.Session) -> None:
    """Analyse every SQL text with Google's analyser; `-- --execute` also tests it on its engine."""
    _install(session, "sql")
    options = [each for each in session.posargs if each != "--execute"]
    pytest = ("python", "-m", "pytest", "-n", "2")
    session.run(*pytest, "tests/sql", *options, env=BYTECODE)
    if "--execute" in session.posargs:
        engine = ("-p", "tests.support.on_googlesql", "--dist", "loadfile")
        folders = ("tests/unit/bq_sql", "tests/integration/bq_sql")
        session.run(*pytest, *engine, *folders, *options, env=BYTECODE)


@nox.session(python=PYTHON)
def crashes(session: nox.Session) -> None:
    """Run the crash list; `-- --tenth` runs the next tenth, `-- "<test id>"` one crash."""
    _install(session, "tests")
    if "--renew" in session.posargs:
        session.run("python", "-m", "tests.support.record_crashes", env=BYTECODE)
        return
    chosen = any(word.startswith("tests/crashes") for word in session.posargs)
    where = () if chosen else ("tests/crashes",)
    session.run("python", "-m", "pytest", *where, "-n", "2", *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def preview(session: nox.Session) -> None:
    """Test the stack under Pulumi's real engine, then in the local cloud."""
    _install(session, "tests")
    found = _pulumi(session)
    if not found:
        session.skip("Go's modules cannot be reached; the command that failed is above")
    path = os.pathsep.join([str(Path(found).parent), session.bin, os.environ["PATH"]])
    engine = ("tests/preview", "-n", "2", "--dist", "loadfile", *session.posargs)
    session.run("python", "-m", "pytest", *engine, env={**BYTECODE, "PATH": path})


def _pulumi(session: nox.Session) -> str:
    """Find Pulumi's CLI on PATH or in the cache, else build it; return nothing if that fails."""

    def ask(command: str) -> str:
        """Return the output of a command about the CLI; show its progress meanwhile."""
        words = ("-m", "local_cloud.pulumi.engine.cli", command, str(CACHE / "pulumi"))
        return str(session.run("python", *words, silent=True, stderr=None)).strip()

    found = ask("find")
    if found:
        return found
    if not ask("go"):
        _install(session, "go", "--inexact")
    return ask("build")


@nox.session(python=PYTHON)
def commands(session: nox.Session) -> None:
    """Run `demo` and `try` as people call them, each a process of its own."""
    _install(session, "tests")
    seen = ("tests/commands", "-n", "2", "--dist", "loadfile", *session.posargs)
    session.run("python", "-m", "pytest", *seen, env=BYTECODE)


@nox.session(python=PYTHON)
def browser(session: nox.Session) -> None:
    """Test the pages in chromium; their pictures go to build/browser/."""
    _install(session, "browser")
    found = _chromium(session)
    if not found:
        session.skip("chromium cannot be installed; the command that failed is above")
    seen = ("tests/browser", *session.posargs)
    session.run("python", "-m", "pytest", *seen, env={**BYTECODE, "CHROMIUM": found})


def _chromium(session: nox.Session) -> str:
    """Find chromium on PATH, else install Debian's as root; return nothing if that fails."""
    words = ("-m", "tests.browser.chromium")
    for command in ("find", "install"):
        found = session.run("python", *words, command, silent=True, stderr=None)
        if found := str(found).strip():
            return found
    return ""


@nox.session(python=PYTHON)
def renew(session: nox.Session) -> None:
    """Renew the generated files: docs/contract.md, docs/data-studio.md, inventories, Vega."""
    _install(session, "local")
    for module in (
        "docs.generate.contract_page",
        "docs.generate.data_studio",
        "tests.support.inventory",
        "local_cloud.cli.vega",
    ):
        session.run("python", "-m", module, env=BYTECODE)


@nox.session(python=PYTHON)
def cost(session: nox.Session) -> None:
    """Print the cost of a stack in a month, by system: `nox -s cost -- --share 0.1`."""
    _install(session, "local")
    session.run("python", "-m", "cost", *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def smoke(session: nox.Session) -> None:
    """Follow one fetch of a deployed stack to its reports: `nox -s smoke -- STACK`."""
    _install(session, "functions")
    session.run("python", "-m", "smoke", *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure beside what a user would pick instead: `nox -s bench -- split --rows 300000`."""
    _install(session, "bench")
    session.run("python", "-m", "bench", *session.posargs, env=BYTECODE)


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Style, format, and who may import whom."""
    _install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-logo", "--no-cache")


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """mypy --strict over everything that ships."""
    _install(session, "lint")
    session.run("mypy")
    session.chdir("dataproc_jobs")  # a job imports its neighbours by their bare names
    session.run("mypy", "--config-file", "../pyproject.toml", "--python-version", "3.11", ".")


@nox.session(python=PYTHON)
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of the locked dependencies; needs the network."""
    _install(session, "lint")
    session.run(
        "uv",
        "export",
        "--quiet",
        "--frozen",
        "--all-groups",
        "--no-emit-project",
        "--format",
        "requirements-txt",
        "--output-file",
        f"{session.create_tmp()}/locked.txt",
        external=True,
    )
    session.run(
        "pip-audit",
        "--require-hashes",
        "--disable-pip",
        "--requirement",
        f"{session.create_tmp()}/locked.txt",
    )


@nox.session(python=PYTHON)
def lock(session: nox.Session) -> None:
    """Renew `uv.lock` and the archive's `functions/requirements.txt` from it."""
    session.run("uv", "lock", external=True)
    session.run(
        "uv",
        "export",
        "--quiet",
        "--frozen",
        "--only-group",
        "functions",
        "--no-emit-project",
        "--format",
        "requirements-txt",
        "--no-header",
        "--output-file",
        "functions/requirements.txt",
        external=True,
    )
