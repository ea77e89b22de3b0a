"""The grants by which the demo asks for nothing, each with where it is seen used, or why nowhere."""

from __future__ import annotations

from collections.abc import Iterable

REFUSING = ("download", "show", "seal", "submit", "load")
"""The steps that keep in quarantine what they refuse; split does so in the demo, too."""

WHEN_LOST = {
    "fn-sweep-creates-in-quarantine", "fn-sweep-lake", "fn-sweep-publishes-load",
    "fn-sweep-publishes-split", "fn-sweep-publishes-submit", "fn-sweep-quarantine",
}  # fmt: skip
"""What the sweep needs once something is lost; test_permissions loses it. Seal it calls in the demo, too:
for an hour that closed."""

WHEN_PUBLISHED = {
    "fn-show-bigquery.jobUser", "fn-show-landing", "fn-show-ops", "fn-show-publishes-events",
    "fn-show-reports", "storage-publishes-show",
}  # fmt: skip
"""What shows a snapshot's newest run: the demo and test_now see it used."""

WHEN_REFUSED = {f"fn-{step}-{does}quarantine" for step in REFUSING for does in ("creates-in-", "")}
"""What keeps a message that a step refuses permanently; test_permissions sends one to each."""

UNSEEN = {
    "agent-acknowledges-": "Pub/Sub's own account dead-letters: the stand-in asks nobody",
    "agent-publishes-dead-letters": "as before",
    "bigquerydatatransfer-agent": "Google's own account starts scheduled queries: nothing here does",
    "builds": "Cloud Build is not here",
    "cloudscheduler-agent": "Google's own account publishes what is scheduled: the clock does here",
    "dataproc-agent": "Google's own account makes machines: there are none",
    "fn-download-publishes-ingest": "no data set of the repository comes in slices",
    "fn-seal-publishes-seal": "no run of the tests has more slots than one manifest takes",
    "fn-sweep-publishes-ingest": "no data set of the repository comes in slices",
    "spark-batch-dataproc.worker": "for the service's own buckets and agents: not counted here",
    "transfers-act-as-": "Google's own account starts scheduled queries: nothing here does",
}
"""How a grant's name begins → why no call by it can be seen in the local cloud."""


def unexplained(idle: Iterable[str]) -> set[str]:
    """The idle grants that are in none of the lists."""
    explained = WHEN_LOST | WHEN_REFUSED
    return {name for name in idle if name not in explained and not name.startswith(tuple(UNSEEN))}


def outdated(idle: Iterable[str]) -> set[str]:
    """The entries of the lists that no idle grant confirms."""
    found = set(idle)
    unseen = {begin for begin in UNSEEN if not any(name.startswith(begin) for name in found)}
    return unseen | ((WHEN_LOST | WHEN_REFUSED) - found)
