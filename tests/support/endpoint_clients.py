"""Google's clients on a stand-in's address, for tests of the steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from google.auth.credentials import AnonymousCredentials

from functions.core.clients import Clients
from functions.core.settings import Settings

if TYPE_CHECKING:  # BigQuery's client imports pandas: a test measures that its step does not
    from google.cloud import bigquery, storage
    from google.cloud.dataproc_v1 import BatchControllerClient


class EndpointClients(Clients):
    """Sends every request to one address, and records what is published."""

    def __init__(self, settings: Settings, url: str) -> None:
        super().__init__(settings)
        self.url = url
        self.published: list[tuple[str, bytes, dict[str, str]]] = []

    @cached_property
    def storage(self) -> storage.Client:
        from google.cloud import storage

        options = {"api_endpoint": self.url}
        return storage.Client("demo", _anonymous(), client_options=options)

    @cached_property
    def bigquery(self) -> bigquery.Client:
        from google.cloud import bigquery

        options = {"api_endpoint": self.url}
        return bigquery.Client("demo", _anonymous(), client_options=options)

    @cached_property
    def batches(self) -> BatchControllerClient:
        from google.cloud.dataproc_v1 import BatchControllerClient

        return BatchControllerClient(
            credentials=_anonymous(),
            transport="rest",
            client_options={"api_endpoint": self.url},
        )

    def publish(self, topic: str, data: bytes, attributes: dict[str, str]) -> None:
        self.published.append((topic, data, attributes))

    def publish_events(self, events: Sequence[tuple[bytes, dict[str, str]]]) -> list[BaseException]:
        self.published += [("events", data, about) for data, about in events]
        return []


def _anonymous() -> AnonymousCredentials:
    return AnonymousCredentials()  # type: ignore[no-untyped-call]
