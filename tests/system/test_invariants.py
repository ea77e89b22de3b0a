"""Invariants that no step's own test holds: time budgets and the partitions that SQL may touch."""

from __future__ import annotations

from datetime import UTC, date, datetime

from catalog.contract import load_all
from catalog.records import Counts, Manifest, Origin, SlotParts
from functions import ledger, load
from functions.settings import from_environment
from functions.swap import swap_script
from infra_pulumi.functions import SECONDS
from tests.system.house import SYSTEM, USAGE

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
        "sweep": ledger.QUERY_SECONDS,
    }
    assert SECONDS <= 540
    assert {step: s for step, s in waits.items() if s + PUBLISH_SECONDS >= SECONDS} == {}


def test_a_swap_touches_the_partitions_of_its_manifest_alone() -> None:
    """The first and last `slot_start` that a statement admits are those of the manifest's slots."""
    slots = [_slot("2024-04"), _slot("2024-06")]
    contract = load_all()[USAGE]
    manifest = Manifest(
        id="m", system=SYSTEM, sealed_at="", lake="gs://x", bytes=1, slots=tuple(slots),
        tables=contract.lake_tables(), contracts={USAGE: contract.for_job()},
    )  # fmt: skip
    counts = [Counts(dataset=USAGE, slot=s.slot, rows_in=0, rows_out=0) for s in slots]
    script = swap_script(manifest, counts, frozenset(), datetime(2024, 7, 1, tzinfo=UTC))
    values = {str(parameter.name): parameter.value for parameter in script.parameters}
    admitted = {n: value for n, value in values.items() if n.startswith(("first", "last"))}
    assert len(admitted) == 2 * len(manifest.tables)
    assert {v for name, v in admitted.items() if name.startswith("first")} == {date(2024, 4, 1)}
    assert {v for name, v in admitted.items() if name.startswith("last")} == {date(2024, 6, 1)}


def _slot(slot: str) -> SlotParts:
    return SlotParts(
        dataset=USAGE, slot=slot, slot_start=f"{slot}-01", version="v", revision="r",
        origin=Origin.SAMPLE, parts=(),
    )  # fmt: skip
