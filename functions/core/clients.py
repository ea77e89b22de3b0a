"""Create the Google clients, each one at its first use.

Endpoints and credentials come from the clients' own environment settings. Dataproc's client has no
such setting: if `DATAPROC_API_ENDPOINT` is set, it replaces the region's address.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from functions.core.settings import Settings

if TYPE_CHECKING:
    from google.cloud import bigquery, dataproc_v1, pubsub_v1, storage  # type: ignore[attr-defined]
    from google.cloud.storage import Bucket

EVENTS_SECONDS = 10.0
"""How long a step waits until all its events are published: telemetry may not delay a step
further."""


class Clients:
    """The clients of one process; a function imports only the libraries that it uses."""

    def __init__(self, settings: Settings) -> None:
        """Create no client yet."""
        self.settings = settings

    @cached_property
    def storage(self) -> storage.Client:
        """Cloud Storage."""
        from google.cloud import storage

        return storage.Client(project=self.settings.project)

    @cached_property
    def bigquery(self) -> bigquery.Client:
        """BigQuery, in the region of the data."""
        from google.cloud import bigquery

        return bigquery.Client(project=self.settings.project, location=self.settings.region)

    @cached_property
    def publisher(self) -> pubsub_v1.PublisherClient:
        """Pub/Sub, for publishing."""
        from google.cloud import pubsub_v1  # type: ignore[attr-defined]

        return pubsub_v1.PublisherClient()

    @cached_property
    def batches(self) -> dataproc_v1.BatchControllerClient:
        """Dataproc batches of the region, over REST."""
        from google.cloud import dataproc_v1

        endpoint = os.environ.get(
            "DATAPROC_API_ENDPOINT", f"https://{self.settings.region}-dataproc.googleapis.com"
        )
        return dataproc_v1.BatchControllerClient(
            transport="rest", client_options={"api_endpoint": endpoint}
        )

    def publish(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        """Publish one message to a topic of the project and wait for the acknowledgement."""
        path = f"projects/{self.settings.project}/topics/{topic}"
        self.publisher.publish(path, data, **attributes).result(timeout=60)

    def publish_events(self, events: Sequence[tuple[bytes, dict[str, str]]]) -> list[BaseException]:
        """Publish (data, attributes) pairs to topic `events`, with one wait for all of them.

        Returns an error for each pair that Pub/Sub did not acknowledge within `EVENTS_SECONDS`.
        """
        path = f"projects/{self.settings.project}/topics/events"
        futures = [self.publisher.publish(path, data, **about) for data, about in events]
        done, late = wait(futures, timeout=EVENTS_SECONDS)
        errors = [error for future in done if (error := future.exception())]
        return [*errors, *[TimeoutError(f"no answer in {EVENTS_SECONDS:g} s")] * len(late)]


@dataclass(frozen=True)
class Buckets:
    """The buckets that `download` and `split` read and write."""

    raw: Bucket
    landing: Bucket
    quarantine: Bucket

    @classmethod
    def of(cls, clients: Clients, settings: Settings) -> Buckets:
        """Return the buckets that the settings name."""
        bucket = clients.storage.bucket
        return cls(bucket(settings.raw), bucket(settings.landing), bucket(settings.quarantine))
