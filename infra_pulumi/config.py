"""The configuration of a stack: read once, typed, with an error that names each bad key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from catalog.records import Origin

T = TypeVar("T")

_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]|demo")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
_ADDRESS = re.compile(r"[^@\s,]+@[^@\s,]+\.[a-z]+")
_BILLING = re.compile(r"[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}")
_GITHUB = re.compile(r"[\w.-]+/[\w.-]+")
_VERSION = re.compile(r"[1-9]\d*")
_BRANCH = re.compile(r"[\w./-]+")
_TABLE = re.compile(r"lake\.\w+")
_NAMESPACE = "citypulse"

ALL = "allUsers"
"""Everybody, as IAM names them."""
_SERVED = re.compile(rf"{ALL}|{_ADDRESS.pattern}")


class ConfigError(ValueError):
    """The stack's configuration has a bad value: the text names the key and the fix."""


@dataclass(frozen=True)
class StackConfig:
    """Everything that differs between stacks."""

    project: str
    """Google Cloud project; each stack has its own."""
    region: str
    repository: Path
    build: Path
    """Folder for files that are built before the upload."""
    roots: tuple[Path, ...] = ()
    """Further folders with data sets: catalog/datasets, dataproc_jobs, bq_sql."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """Data set (`*`: all) → origin of its rows, if it is not the publisher."""
    disposable: bool = False
    """Whether buckets and tables may be deleted with their content."""
    max_batches: int = 2
    """Spark batches of one system that may run at once."""
    manifest_bytes: int = 8_000_000_000
    """Most bytes of parts in one batch."""
    download_seconds: int = 400
    """How long one download may last in all."""
    batch_ttl_seconds: int = 3600
    """After how long a batch is cancelled."""

    settle_seconds: int = 90
    """How long a first deployment waits until new APIs and grants are known everywhere."""
    kept_days: int = 30
    """How long the raw and landing zones keep deleted or overwritten objects."""
    rebuilt: tuple[str, ...] = ()
    """Lake tables (`lake.<table>`) that may lose columns; only in a disposable stack."""
    secrets: dict[str, str] = field(default_factory=dict)
    """Secret of a publisher's key → the version to read, never `latest`."""
    readers: str = ""
    """Address of the group that may read the reports."""
    serve_to: str = ""
    """Address of the group that may call `serve`, or `allUsers`; nobody if it is empty."""
    alert_emails: tuple[str, ...] = ()
    """Addresses that are notified when an alert fires."""
    scanned_gib_per_day: int = 100
    """GiB that BigQuery may bill in a day before an alert fires."""
    billing_account: str = ""
    """Billing account of the budget; without one there is no budget."""
    monthly_budget: int = 0
    """The budget of a month, in the billing account's currency."""
    github: str = ""
    """GitHub repository, `owner/name`, whose workflows deploy; without one, no federation."""
    branch: str = "main"
    """The one branch that may change the stack."""
    templates: dict[str, str] = field(default_factory=dict)
    """System → id of the Data Studio report that its pages are copied from."""

    def bucket(self, zone: str) -> str:
        """Return the name of a zone's bucket."""
        return f"{self.project}-{zone}"

    def account(self, name: str) -> str:
        """Return the e-mail address of one of the stack's service accounts."""
        return f"{name}@{self.project}.iam.gserviceaccount.com"


def read_config(repository: Path) -> StackConfig:
    """Read the configuration of the current stack, or raise ConfigError naming the key."""
    gcp, own = pulumi.Config("gcp"), pulumi.Config(_NAMESPACE)
    build = own.get("build")
    _refuse_unknown(own)
    config = StackConfig(
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
        settle_seconds=_within(own, "settle_seconds", 90, 0, 600),
        kept_days=_within(own, "kept_days", 30, 7, 90),
        rebuilt=_each(own, "rebuilt", _TABLE),
        secrets=_versions(own, "secrets"),
        readers=_optional(own, "readers", _ADDRESS),
        serve_to=_optional(own, "serve_to", _SERVED),
        alert_emails=_each(own, "alert_emails", _ADDRESS),
        scanned_gib_per_day=_within(own, "scanned_gib_per_day", 100, 1, 10**6),
        billing_account=_optional(own, "billing_account", _BILLING),
        monthly_budget=_within(own, "monthly_budget", 0, 0, 10**6),
        github=_optional(own, "github", _GITHUB),
        branch=_optional(own, "branch", _BRANCH) or "main",
        templates=_typed(own, "templates", dict[str, str], {}),
    )
    _refuse_contradictions(config)
    return config


def _refuse_contradictions(config: StackConfig) -> None:
    """Raise ConfigError for values that are sound alone and contradict each other."""
    if bool(config.billing_account) != bool(config.monthly_budget):
        raise ConfigError(
            "citypulse:billing_account and citypulse:monthly_budget make a budget together: "
            "set both or neither"
        )
    if config.rebuilt and not config.disposable:
        raise ConfigError(
            f"citypulse:rebuilt names {', '.join(config.rebuilt)} in a stack that keeps its data: "
            "add a column under a new name instead, or take the table to a data set of a new name"
        )


def _refuse_unknown(config: pulumi.Config) -> None:
    """Raise ConfigError for a key that nobody reads: it is a typing error."""
    readable = {field.name for field in fields(StackConfig)} - {"project", "region", "repository"}
    configured = (key.partition(":") for key in {**get_config_env(), **CONFIG.get()})
    wrong = sorted(
        key for name, _, key in configured if name == config.name and key not in readable
    )
    if wrong:
        raise ConfigError(
            f"{config.name}:{wrong[0]} is no key of this program; it reads {', '.join(sorted(readable))}"
        )


def _matching(config: pulumi.Config, key: str, form: re.Pattern[str]) -> str:
    value = config.get(key)
    if value is None or not form.fullmatch(value):
        raise ConfigError(
            f"{config.name}:{key} is {value!r}: set one of the form {form.pattern} with "
            f"`pulumi config set {config.name}:{key} …`"
        )
    return value


def _optional(config: pulumi.Config, key: str, form: re.Pattern[str]) -> str:
    return _matching(config, key, form) if config.get(key) else ""


def _each(config: pulumi.Config, key: str, form: re.Pattern[str]) -> tuple[str, ...]:
    values = _typed(config, key, list[str], [])
    for value in values:
        if not form.fullmatch(value):
            raise ConfigError(
                f"{config.name}:{key} has {value!r}: each must be of the form {form.pattern}"
            )
    return tuple(values)


def _versions(config: pulumi.Config, key: str) -> dict[str, str]:
    """Return secret → version; raise ConfigError for a version that is not a number."""
    pinned = _typed(config, key, dict[str, str], {})
    for name, version in pinned.items():
        if not _VERSION.fullmatch(version):
            raise ConfigError(
                f"{config.name}:{key} has {name}: {version!r}: pin a version by its number, which "
                f"`gcloud secrets versions list {name}` shows"
            )
    return pinned


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
        raise ConfigError(f"{config.name}:{key} is {value}: it must be in {least} to {most}")
    return value


def _parsed(text: str) -> Any:
    return msgspec.json.decode(text)


def _folder(root: str) -> Path:
    path = Path(root)
    if not path.is_dir():
        raise ConfigError(f"citypulse:roots names {root}, which is not a folder")
    return path
