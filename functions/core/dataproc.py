"""Read the Dataproc batches of a manifest and of a system, for `submit` and `sweep`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from google.api_core.exceptions import NotFound
from google.cloud.dataproc_v1 import Batch, GetBatchRequest, ListBatchesRequest

from catalog import object_names
from functions.core.clients import Clients
from functions.core.settings import Settings

_FAILED = (Batch.State.FAILED, Batch.State.CANCELLED)
_LISTED = 100
_NO_QUOTA = re.compile(r"Insufficient '[^']+' quota")
"""The service's text for a batch that did not begin because quota was missing."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a manifest: the number in its batch's id, and the batch."""

    number: int
    batch: Batch

    @property
    def failed(self) -> bool:
        """Whether it ended without success."""
        return self.batch.state in _FAILED

    @property
    def succeeded(self) -> bool:
        """Whether it ended with success."""
        return bool(self.batch.state == Batch.State.SUCCEEDED)

    @property
    def counts(self) -> bool:
        """Whether it counts as an attempt; a refusal for lack of quota before it ran does not."""
        ran = any(past.state == Batch.State.RUNNING for past in self.batch.state_history)
        refused = self.failed and _NO_QUOTA.search(self.batch.state_message)
        return ran or not refused


def parent(settings: Settings) -> str:
    """Return the location that batches are created in."""
    return f"projects/{settings.project}/locations/{settings.region}"


def attempts(clients: Clients, settings: Settings, manifest_id: str) -> list[Attempt]:
    """List the attempts at a manifest so far, first to last."""
    found: list[Attempt] = []
    for number in itertools.count(1):
        name = f"{parent(settings)}/batches/{object_names.batch_id(manifest_id, number)}"
        try:
            batch = clients.batches.get_batch(GetBatchRequest(name=name))
        except NotFound:
            break
        found.append(Attempt(number, batch))
    return found


def unfinished(clients: Clients, settings: Settings, system: str) -> int:
    """Count a system's batches that are pending or running."""
    wanted = f'labels.system = "{system}" AND (state = PENDING OR state = RUNNING)'
    request = ListBatchesRequest(parent=parent(settings), filter=wanted, page_size=_LISTED)
    return sum(1 for _ in clients.batches.list_batches(request))


def newest(clients: Clients, settings: Settings, system: str) -> Iterator[Batch]:
    """Yield a system's batches, newest first."""
    request = ListBatchesRequest(
        parent=parent(settings),
        filter=f'labels.system = "{system}"',
        order_by="create_time desc",
        page_size=_LISTED,
    )
    yield from clients.batches.list_batches(request)
