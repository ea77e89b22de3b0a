"""The shipped split, local file to local files: `python -m bench.way_shipped EXPORT FOLDER`."""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from bench.folder_bucket import FolderBucket
from catalog.contract import DATASETS, load
from catalog.names import SplitKey, raw_data
from catalog.records import Claim, Origin, Outcome, RawFile
from catalog.runs import Run
from functions.split import Try
from functions.zones import Zones

_PIECE = 1 << 20


def main(export: Path, folder: Path) -> None:
    """Split an export into `folder`, and print the record's sums."""
    contract = load(DATASETS / "paris_wifi_usage.toml")
    run = Run.at(datetime(2025, 6, 5, 4, 17, tzinfo=UTC))
    zones = Zones(
        *(cast("Any", FolderBucket(folder / zone)) for zone in ("raw", "landing", "quarantine"))
    )
    name = raw_data(contract.dataset, run, "try", "usage.csv")
    target = folder / "raw" / name
    target.parent.mkdir(parents=True)
    os.link(export, target)
    digest = hashlib.sha256()
    with export.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    raw = RawFile(
        object=name, generation=1, url="https://x/y", status=200, bytes=export.stat().st_size,
        sha256=digest.hexdigest(), headers={},
    )  # fmt: skip
    claim = Claim(
        dataset=contract.dataset, run=run.name, outcome=Outcome.ACCEPTED, origin=Origin.SYNTHETIC,
        source="export", fetched_at=run.name, files=(raw,), attempt="try",
    )  # fmt: skip
    import time

    b = time.monotonic()
    c = time.process_time()
    record = Try(contract, claim, SplitKey(run), zones).record()
    print(f"wall {time.monotonic() - b:.2f} cpu {time.process_time() - c:.2f}", file=sys.stderr)
    print(
        record.outcome,
        record.rows_in,
        sum(p.rows for p in record.parts),
        record.no_slot,
        record.reason,
    )
    import resource

    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
