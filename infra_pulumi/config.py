"""The configuration of a stack: read once, typed, each bad value refused by its key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pulumi

from catalog.records import Origin

T = TypeVar("T")

_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]|demo")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")


class ConfigError(ValueError):
    """A value of the stack's configuration that cannot be: names the key and the way out."""


@dataclass(frozen=True)
class StackConfig:
    """Everything that differs between stacks."""

    project: str
    """Google Cloud project; each stack has its own."""
    region: str
    repository: Path
    build: Path
    """Folder for what is built before it is uploaded."""
    roots: tuple[Path, ...] = ()
    """Further folders with data sets: catalog/datasets, dataproc_jobs, bq_sql."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """Data set (`*`: all) → origin of its rows, where it is not the publisher."""
    disposable: bool = False
    """Whether buckets and tables may be deleted with what they hold."""
    max_batches: int = 2
    """Spark batches of one system that may run at once."""
    manifest_bytes: int = 8_000_000_000
    """Bytes of parts that one batch takes."""
    download_seconds: int = 400
    """How long one download may last in all."""
    batch_ttl_seconds: int = 3600
    """After how long a batch is cancelled."""

    def bucket(self, zone: str) -> str:
        """The name of a zone's bucket."""
        return f"{self.project}-{zone}"

    def account(self, name: str) -> str:
        """The e-mail address of one of the stack's service accounts."""
        return f"{name}@{self.project}.iam.gserviceaccount.com"


def read_config(repository: Path) -> StackConfig:
    """The configuration of the stack at hand; raises ConfigError naming the key."""
    gcp, own = pulumi.Config("gcp"), pulumi.Config("citypulse")
    build = own.get("build")
    return StackConfig(
        project=_matching(gcp, "project", _PROJECT),
        region=_matching(gcp, "region", _REGION),
        repository=repository,
        build=Path(build) if build else repository / ".build",
        roots=tuple(_folder(root) for root in _typed(own, "roots", list[str], [])),
        origins=_typed(own, "origins", dict[str, Origin], {}),
        disposable=_typed(own, "disposable", bool, False),
        max_batches=_within(own, "max_batches", 2, 1, 100),
        manifest_bytes=_within(own, "manifest_bytes", 8_000_000_000, 1, 10**12),
        download_seconds=_within(own, "download_seconds", 400, 1, 400),
        batch_ttl_seconds=_within(own, "batch_ttl_seconds", 3600, 600, 14 * 86400),
    )


def _matching(config: pulumi.Config, key: str, form: re.Pattern[str]) -> str:
    value = config.get(key)
    if value is None or not form.fullmatch(value):
        raise ConfigError(
            f"{config.name}:{key} is {value!r}: set one of the form {form.pattern} with "
            f"`pulumi config set {config.name}:{key} …`"
        )
    return value


def _typed(config: pulumi.Config, key: str, form: type[T], default: T) -> T:
    text = config.get(key)
    if text is None:
        return default
    try:
        return msgspec.convert(_parsed(text), form)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{config.name}:{key} is {text!r}: {error}") from error


def _within(config: pulumi.Config, key: str, default: int, least: int, most: int) -> int:
    value = _typed(config, key, int, default)
    if not least <= value <= most:
        raise ConfigError(f"{config.name}:{key} is {value}: it must lie in {least} to {most}")
    return value


def _parsed(text: str) -> Any:
    return msgspec.json.decode(text)


def _folder(root: str) -> Path:
    path = Path(root)
    if not path.is_dir():
        raise ConfigError(f"citypulse:roots names {root}, which is not a folder")
    return path
