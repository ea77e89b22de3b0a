"""Routing of events: which objects notify which topic, which topics feed which function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from catalog import object_names
from catalog.contract import Contract
from infra_pulumi.steps import STEPS

NOTIFICATIONS = (
    ("raw", "runs/", "split"),
    ("raw", "streams/", "split"),
    ("landing", "manifests/", "submit"),
    ("lake", "receipts/", "load"),
)
"""Zone, prefix of the object's name, topic: the notifications of every stack."""

_SNAPSHOT = 'attributes.kind = "snapshot"'


@dataclass(frozen=True)
class Push:
    """A push subscription; the several subscriptions of one function have different filters."""

    name: str
    step: str
    topic: str
    filter: str | None = None
    retention: str = "604800s"


PUSHES = (
    Push("download", "download", "ingest", f"NOT {_SNAPSHOT}"),
    # A late tick of a snapshot must not fetch today's state.
    Push("download-snapshot", "download", "ingest", _SNAPSHOT, "600s"),
    # A late sweep must not act on an old time; the schedule is its retry.
    Push("sweep", "sweep", "sweep", retention="600s"),
    *(
        Push(step.name, step.name, step.topic)
        for step in STEPS
        if step.name not in ("download", "sweep")
    ),
)


def latest_table_notifications(contracts: Iterable[Contract]) -> Iterator[tuple[str, str, str]]:
    """Yield a notification per data set with a latest table, in the form of `NOTIFICATIONS`."""
    for contract in contracts:
        if contract.latest_table is not None and not contract.retired:
            yield "landing", object_names.split_records(contract.dataset), "show"
