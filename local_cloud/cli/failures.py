"""Find what failed for the files given to `try`: batches, and scheduled queries with checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.cloud.dataproc_v1 import Batch

from catalog import object_names
from local_cloud.cloud import LocalCloud
from local_cloud.scheduler import QueryRun


@dataclass(frozen=True)
class StepFailure:
    """A batch or a scheduled query that did not do its work, and why."""

    step: str
    """`batch` or `report`."""
    name: str
    reason: str


def of_batches(cloud: LocalCloud, system: str) -> list[StepFailure]:
    """List the batches whose manifest has no receipt; attempts that failed alike count once."""
    by_reason: dict[str, StepFailure] = {}
    for batch in cloud.dataproc.batches():
        manifest = _manifest(batch)
        if cloud.read("lake", object_names.receipt(system, manifest)) is not None:
            continue
        reason = batch.state_message.strip() or (
            f"{batch.state.name}, without a receipt: does dataproc_jobs/{system}.py end with "
            "batch.run(transform)?"
        )
        by_reason.setdefault(reason.partition("\n")[0], StepFailure("batch", manifest, reason))
    return list(by_reason.values())


def of_reports(runs: Iterable[QueryRun]) -> Iterator[StepFailure]:
    """List the scheduled queries that raised an error, for example a check that does not hold."""
    for run in runs:
        if run.error is not None:
            yield StepFailure("report", run.name, run.error)


def _manifest(batch: Batch) -> str:
    """Extract the manifest id from a batch's own id, without the attempt."""
    return batch.name.rpartition("/")[2].rpartition("-a")[0]
