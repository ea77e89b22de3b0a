"""Where the rows of every slot went, and the receipt that says so."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from batch_manifest import FORMAT, BatchError, Manifest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812


@dataclass(frozen=True)
class RowOutcome:
    """How many rows of a slot have an outcome, and the reason if it is `rejected`."""

    dataset: str
    slot: str
    outcome: str
    reason: str | None
    rows: int

    @property
    def is_reject(self) -> bool:
        """Whether the rows were rejected."""
        return self.outcome == "rejected"


def count_outcomes(classified: dict[str, DataFrame]) -> list[RowOutcome]:
    """Count the outcomes of every slot's rows, in one Spark job for all data sets."""
    counts = [
        frame.where(~F.col("context"))
        .groupBy(F.lit(dataset).alias("dataset"), "slot", "_outcome", "_reason")
        .count()
        for dataset, frame in classified.items()
    ]
    rows = reduce(DataFrame.unionAll, counts).collect()
    return [RowOutcome(*row) for row in rows]


def datasets_with_rejects(outcomes: Iterable[RowOutcome]) -> set[str]:
    """Return the data sets that have rejected rows."""
    return {outcome.dataset for outcome in outcomes if outcome.is_reject}


def count_slots(
    manifest: Manifest, written: list[dict[str, Any]], outcomes: list[RowOutcome]
) -> list[dict[str, Any]]:
    """Count where the rows of each slot went; raise BatchError where they do not add up."""
    return [_count_slot(slot, manifest, written, outcomes) for slot in manifest.slots]


def build_receipt(
    manifest: Manifest,
    *,
    batch: str,
    attempt: int,
    seconds: float,
    written: list[dict[str, Any]],
    counts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Build the receipt of an attempt, which `load` takes for its order to load."""
    return {
        "format": FORMAT,
        "id": manifest.id,
        "system": manifest.system,
        "batch": batch,
        "job": _job_name(),
        "attempt": attempt,
        "seconds": round(seconds, 3),
        "written": written,
        "counts": counts,
    }


def _count_slot(
    slot: dict[str, Any],
    manifest: Manifest,
    written: list[dict[str, Any]],
    outcomes: list[RowOutcome],
) -> dict[str, Any]:
    dataset, name = slot["dataset"], slot["slot"]
    base = manifest.base_table(dataset)["name"]
    rows_out = next(w["rows"] for w in written if w["table"] == base and w["slot"] == name)
    of_slot = [o for o in outcomes if (o.dataset, o.slot) == (dataset, name)]
    rejected = Counter(slot.get("rejected", {}))
    for outcome in of_slot:
        if outcome.is_reject:
            rejected[str(outcome.reason)] += outcome.rows
    revised = sum(o.rows for o in of_slot if o.outcome == "revised")
    duplicates = sum(o.rows for o in of_slot if o.outcome == "duplicate") + revised
    if slot["rows_in"] != rows_out + rejected.total() + duplicates:
        raise BatchError(
            f"{dataset} {name}: {slot['rows_in']} rows in, but {rows_out} in {base}, "
            f"{rejected.total()} rejected and {duplicates} duplicates: the transform of the "
            "base table must neither drop nor add rows, and the parts must be whole"
        )
    return {
        "dataset": dataset,
        "slot": name,
        "rows_in": slot["rows_in"],
        "rows_out": rows_out,
        "rejected": rejected,
        "duplicates": duplicates,
        "revised": revised,
    }


def _job_name() -> str:
    """Name the job, with a hash of its file and of the shared modules next to this one."""
    main, folder = Path(sys.argv[0]), Path(__file__).parent
    shared = [folder / "batch.py", *sorted(folder.glob("batch_*.py"))]
    digest = hashlib.sha256()
    for path in (main, *shared):
        if path.is_file():
            digest.update(path.read_bytes())
    return f"{main.stem}-{digest.hexdigest()[:16]}"
