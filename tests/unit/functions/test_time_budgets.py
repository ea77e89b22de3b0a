"""Invariants that no step's own test holds: time budgets."""

from __future__ import annotations

from functions import ledger, load
from functions.settings import from_environment
from infra_pulumi.functions import SECONDS

PUBLISH_SECONDS = 60
"""How long `Clients.publish` waits at most."""


def test_every_step_ends_before_its_function_does() -> None:
    """By construction: what a step waits for, added up, and a message of its own."""
    needed = (
        "PROJECT",
        "REGION",
        "RAW_BUCKET",
        "LANDING_BUCKET",
        "LAKE_BUCKET",
        "QUARANTINE_BUCKET",
    )
    settings = from_environment(dict.fromkeys(needed, "x"))
    waits = {
        "download": settings.download_seconds,
        "load": load.SECONDS,
        "seal": 2 * ledger.QUERY_SECONDS,
        "show": ledger.QUERY_SECONDS,
        "sweep": ledger.QUERY_SECONDS,
    }
    assert SECONDS <= 540
    assert {step: s for step, s in waits.items() if s + PUBLISH_SECONDS >= SECONDS} == {}
