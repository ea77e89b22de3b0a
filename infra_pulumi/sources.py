"""Sources of the stack: contracts, Spark jobs and SQL of the repository and other roots."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog.contract import Contract, load_all, refuse_shared_tables, systems
from infra_pulumi.config import ConfigError, StackConfig

SHARED_MODULES = ("batch.py", "batch_*.py")
"""Files of `dataproc_jobs` that every job has next to its main file."""
DECLARED = (
    "bq_sql/*/tables/*.toml",
    "bq_sql/*/live/*.toml",
    "bq_sql/*/live/*.sql",
    "dashboards/**/*.toml",
    "dashboards/**/*.json",
)
"""Files that `serve` reads: declarations of reports, live ones with their SELECT, and pages."""


@dataclass(frozen=True)
class JobSource:
    """The files of one system's Spark job, and the hash of their content."""

    main: Path
    shared: tuple[Path, ...]
    hash: str


@dataclass(frozen=True)
class Sources:
    """All files that belong to the data sets."""

    contracts: dict[str, Contract]
    contract_files: tuple[Path, ...]
    jobs: dict[str, JobSource]
    """System → its Spark job."""
    sql: dict[str, Path]
    """System → its folder of SQL, if it has one."""
    declared: dict[str, Path]
    """Files that `serve` reads, by their path in a root; the first root that has one counts."""

    @property
    def systems(self) -> dict[str, tuple[Contract, ...]]:
        """The contracts that are not retired, by system."""
        return systems(self.contracts)


def read_sources(config: StackConfig) -> Sources:
    """Read all roots, or raise ConfigError naming what is missing or there twice."""
    roots = (config.repository, *config.roots)
    contracts: dict[str, Contract] = {}
    files: list[Path] = []
    for root in roots:
        folder = root / "catalog" / "datasets"
        declared = load_all(folder)
        for name in sorted(contracts.keys() & declared.keys()):
            raise ConfigError(f"data set {name} is declared in two roots: rename the one in {root}")
        contracts |= declared
        files += [folder / f"{name}.toml" for name in declared]
    refuse_shared_tables(contracts)
    shared = _shared_modules(config.repository / "dataproc_jobs")
    names = sorted(systems(contracts))
    return Sources(
        contracts=contracts,
        contract_files=tuple(files),
        jobs={system: _job(system, roots, shared) for system in names},
        sql={s: found for s in names if (found := _first(roots, f"bq_sql/{s}", Path.is_dir))},
        declared=_declared(roots),
    )


def _declared(roots: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in roots:
        for path in (path for form in DECLARED for path in sorted(root.glob(form))):
            found.setdefault(path.relative_to(root).as_posix(), path)
    return found


def _shared_modules(folder: Path) -> tuple[Path, ...]:
    return tuple(path for form in SHARED_MODULES for path in sorted(folder.glob(form)))


def _job(system: str, roots: tuple[Path, ...], shared: tuple[Path, ...]) -> JobSource:
    main = _first(roots, f"dataproc_jobs/{system}.py", Path.is_file)
    if main is None or not shared:
        missing = "batch.py" if main else f"{system}.py"
        raise ConfigError(f"system {system}: dataproc_jobs/{missing} is missing: write the job")
    if main.name in {path.name for path in shared}:
        raise ConfigError(
            f"system {system}: dataproc_jobs/{main.name} is a module that all jobs share: "
            "rename the system"
        )
    content = b"\n".join(path.read_bytes() for path in (main, *shared))
    return JobSource(main, shared, hashlib.sha256(content).hexdigest()[:16])


def _first(roots: tuple[Path, ...], place: str, there: Callable[[Path], bool]) -> Path | None:
    return next((root / place for root in roots if there(root / place)), None)
