"""Batches and reports that failed are told by `try`, with what they said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.cloud.dataproc_v1 import Batch

from local_cloud.cli import failures
from local_cloud.cli.failures import StepFailure
from local_cloud.cloud import LocalCloud
from local_cloud.scheduler import QueryRun

State = Batch.State
RAISED = "Job failed with message [ValueError: my transform is broken]"
NO_RECEIPT = (
    "SUCCEEDED, without a receipt: does dataproc_jobs/trees.py end with batch.run(transform)?"
)


@dataclass(frozen=True)
class Lake:
    """Of a local cloud its batches and the receipts in its lake."""

    found: list[Batch]
    receipts: frozenset[str]

    @property
    def dataproc(self) -> Any:
        """What has the batches."""
        return SimpleNamespace(batches=lambda: self.found)

    def read(self, zone: str, name: str) -> bytes | None:
        """A receipt."""
        assert zone == "lake"
        return b"{}" if name in self.receipts else None


def batch(manifest: str, attempt: int, state: State, message: str = "") -> Batch:
    """One attempt at a manifest."""
    name = f"projects/demo/locations/europe-west1/batches/{manifest}-a{attempt}"
    return Batch(name=name, state=state, state_message=message)


@pytest.mark.parametrize(
    ("found", "receipts", "told"),
    [
        ([batch("trees-1", 1, State.SUCCEEDED)], {"receipts/trees/trees-1.json"}, []),
        ([batch("trees-1", 1, State.FAILED, RAISED)], set(), [("trees-1", RAISED)]),
        ([batch("trees-1", 1, State.SUCCEEDED)], set(), [("trees-1", NO_RECEIPT)]),
        (
            [batch("trees-1", n, State.FAILED, f"{RAISED}\nline {n}") for n in (1, 2)],
            set(),
            [("trees-1", f"{RAISED}\nline 1")],
        ),
        (
            [batch("trees-1", 1, State.FAILED, RAISED), batch("trees-1", 2, State.SUCCEEDED)],
            {"receipts/trees/trees-1.json"},
            [],
        ),
    ],
    ids=["done", "raised", "no receipt", "twice alike", "done by the second attempt"],
)
def test_batches(found: list[Batch], receipts: set[str], told: list[tuple[str, str]]) -> None:
    cloud = cast("LocalCloud", Lake(found, frozenset(receipts)))
    assert failures.of_batches(cloud, "trees") == [
        StepFailure("batch", name, reason) for name, reason in told
    ]


def test_reports() -> None:
    at = datetime(2024, 6, 1, tzinfo=UTC)
    runs = [
        QueryRun("reports-trees", at, "ASSERT: a month has more than one tree", 0.1),
        QueryRun("reports-paris_wifi", at, None, 0.1),
    ]
    assert list(failures.of_reports(runs)) == [
        StepFailure("report", "reports-trees", "ASSERT: a month has more than one tree")
    ]
