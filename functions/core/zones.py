"""The buckets of the steps that take runs in."""

from __future__ import annotations

from dataclasses import dataclass

from google.cloud.storage import Bucket

from functions.core.clients import Clients
from functions.core.settings import Settings


@dataclass(frozen=True)
class Zones:
    """The buckets that `download` and `split` read and write."""

    raw: Bucket
    landing: Bucket
    quarantine: Bucket

    @classmethod
    def of(cls, clients: Clients, settings: Settings) -> Zones:
        """The buckets that the settings name."""
        bucket = clients.storage.bucket
        return cls(bucket(settings.raw), bucket(settings.landing), bucket(settings.quarantine))
