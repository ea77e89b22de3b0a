"""Read a function's settings from its environment, once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from catalog.contract import Key
from catalog.records import Origin


class MissingSettingError(RuntimeError):
    """The environment lacks a setting: the deployment is wrong, not the message."""


class JobFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The files of one system's Spark job, as gs:// URIs."""

    main: str
    python_files: tuple[str, ...] = ()


class SparkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How batches are submitted; one JSON document in the environment."""

    jobs: dict[str, JobFiles]
    """System → its job."""
    service_account: str
    subnetwork: str
    version: str = "2.3"
    ttl_seconds: int = 3600
    max_batches: int = 2
    """Batches of one system that may run at once."""
    max_attempts: int = 3
    properties: dict[str, str] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A function's configuration."""

    project: str
    region: str
    raw: str
    landing: str
    lake: str
    quarantine: str
    origins: dict[str, Origin] = {}
    """Data set → origin of its rows, if that is not the publisher; `*` means all data sets."""
    spark: SparkSettings | None = None
    manifest_bytes: int = 8_000_000_000
    """The most bytes of parts in one manifest; a manifest has at least one slot, whatever its
    size."""
    download_seconds: float = 400.0
    keys: dict[str, str] = {}
    """Environment variable → a publisher's key, whose version the stack pins."""
    revision: str = ""
    """Name of the deployed revision, from Cloud Run."""

    def origin(self, dataset: str) -> Origin:
        """Return where the rows of a data set come from."""
        return self.origins.get(dataset, self.origins.get("*", Origin.PUBLISHER))

    def key_headers(self, key: Key | None) -> dict[str, str]:
        """Return the header with a source's key; raise MissingSettingError if it is missing."""
        if key is None:
            return {}
        if not self.keys.get(key.setting):
            raise MissingSettingError(
                f"{key.setting} is not set: pin {key.secret} in citypulse:secrets"
            )
        return {key.header: self.keys[key.setting]}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings in `environment`; raise MissingSettingError for the first missing one."""

    def need(name: str) -> str:
        if not environment.get(name):
            raise MissingSettingError(f"environment variable {name} is not set: see infra_pulumi")
        return environment[name]

    spark = environment.get("SPARK")
    return Settings(
        project=need("PROJECT"),
        region=need("REGION"),
        raw=need("RAW_BUCKET"),
        landing=need("LANDING_BUCKET"),
        lake=need("LAKE_BUCKET"),
        quarantine=need("QUARANTINE_BUCKET"),
        origins=msgspec.json.decode(environment.get("ORIGINS", "{}"), type=dict[str, Origin]),
        spark=msgspec.json.decode(spark, type=SparkSettings) if spark else None,
        manifest_bytes=int(environment.get("MANIFEST_BYTES", "8000000000")),
        download_seconds=float(environment.get("DOWNLOAD_SECONDS", "400")),
        keys={name: key for name, key in environment.items() if name.startswith("SECRET_")},
        revision=environment.get("K_REVISION", ""),
    )


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the settings of this process."""
    return from_environment(os.environ)
