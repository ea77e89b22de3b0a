"""The shipped split of a file, on local files or over the object store."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from catalog import object_names
from catalog.contract import DATASETS, load
from catalog.object_names import SplitKey
from catalog.records import Claim, Origin, Outcome, RawFile, SplitRecord
from catalog.runs import Run
from functions.core.clients import Buckets
from functions.split.attempt import split_run

_USAGE = load(DATASETS / "paris_wifi_usage.toml")
_UNBOUND = replace(_USAGE.bounds, bytes_max=1 << 40, rows_max=1 << 40)
CONTRACT = replace(_USAGE, bounds=_UNBOUND)
"""The contract with room for exports of several times the publisher's size."""
RUN = Run.at(datetime(2025, 6, 5, 4, 17, tzinfo=UTC))
OBJECT = object_names.raw_data(CONTRACT.dataset, RUN, "try", "usage.csv")

_PIECE = 1 << 20


def claim_of(export: Path, generation: int) -> Claim:
    """Return the claim that `download` would have written for an export."""
    digest = hashlib.sha256()
    with export.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    raw = RawFile(
        object=OBJECT, generation=generation, url="https://x/y", status=200,
        bytes=export.stat().st_size, sha256=digest.hexdigest(), headers={},
    )  # fmt: skip
    return Claim(
        dataset=CONTRACT.dataset, run=RUN.name, outcome=Outcome.ACCEPTED, origin=Origin.SYNTHETIC,
        source="export", fetched_at=RUN.name, files=(raw,), attempt="try",
    )  # fmt: skip


def split(claim: Claim, zones: Buckets) -> SplitRecord:
    """Split the claimed run; raise ValueError if it is refused."""
    record = split_run(CONTRACT, claim, SplitKey(RUN), zones)
    if record.outcome is not Outcome.ACCEPTED:
        raise ValueError(record.reason)
    return record
