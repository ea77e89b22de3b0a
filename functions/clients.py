"""Makes the Google clients, each once and when first asked for.

Endpoints and credentials come from the clients' own environment settings; Dataproc's client has
none, so `DATAPROC_API_ENDPOINT` stands in for the region's address where it is set.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from functions.settings import Settings

if TYPE_CHECKING:
    from google.cloud import bigquery, dataproc_v1, pubsub_v1, storage  # type: ignore[attr-defined]


class Clients:
    """The clients of one process. A function that never asks for one never imports its library."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet."""
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
        """Publish one message to a topic of the project and wait until it is taken."""
        path = f"projects/{self.settings.project}/topics/{topic}"
        self.publisher.publish(path, data, **attributes).result(timeout=60)
