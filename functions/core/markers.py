"""List the markers of a data set's slots, for `seal` and `sweep`."""

from __future__ import annotations

from google.cloud.storage import Bucket

from catalog.contract import Contract
from catalog.object_names import Marker
from functions.core import gcs
from functions.core.contracts import require_slot
from functions.core.strays import parse_names


def dirty(landing: Bucket, contract: Contract) -> list[Marker]:
    """List the markers of slots that changed and are in no manifest yet."""
    return _listed(landing, contract, f"dirty/{contract.dataset}/")


def pending_replays(landing: Bucket, contract: Contract) -> list[Marker]:
    """List the replays that are in a manifest but not in the ledger yet."""
    return _listed(landing, contract, f"replays/{contract.dataset}/")


def _listed(landing: Bucket, contract: Contract, folder: str) -> list[Marker]:
    def parse(name: str) -> Marker:
        """Read a marker's name; raise if its slot is unknown."""
        marker = Marker.parse(name)
        require_slot(contract, marker.slot)
        return marker

    return [marker for _, marker in parse_names(landing, gcs.names(landing, folder), parse)]
