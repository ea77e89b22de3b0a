"""Check the counts of a split run against the bounds of its contract."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.contract import Bounds, Contract, Kind
from catalog.records import SplitRecord
from functions.parsing.header import RunRefusedError
from functions.validation.slotting import LATE

_REASONS = 5

_SAMPLE_CHARACTERS = 120


def check_row_count(rows: int, least: int, where: str) -> None:
    """Raise RunRefusedError if a run has fewer rows than the contract expects."""
    if rows < least:
        raise RunRefusedError(
            f"{where}: the file has {rows} rows of data, the contract expects at least "
            f"{least}; wait for the next run, or ask the publisher"
        )


def check_rejects(
    contract: Contract, rows: int, reasons: Mapping[str, int], samples: Mapping[str, str],
    where: str,
) -> None:  # fmt: skip
    """Raise RunRefusedError if more of a run's rows are rejected than the contract allows.

    `reasons` counts the rejected rows by reason; `samples` has the first row of some reasons.
    """
    bounds = contract.bounds
    counts = dict(reasons)
    # A late message says nothing about the other messages of its file.
    late = counts.pop(LATE, 0) if contract.kind is Kind.STREAM else 0
    bad = sum(counts.values())
    if bounds.accepts_rejects(bad, rows - late):
        return
    worst = sorted(counts.items(), key=lambda item: -item[1])[:_REASONS]
    listed = ", ".join(f"{reason} ({count})" for reason, count in worst)
    first = worst[0][0]
    raise RunRefusedError(
        f"{where}: {bad} of {rows} rows are rejected, more than the contract allows "
        f"(a share of {bounds.rejected_share:g}): {listed}; see the rows in quarantine"
        f"{_sample(samples.get(first, ''))}, correct the contract"
        f"{remediation(contract, first)} and replay the run"
    )


def check_drop(bounds: Bounds, rows: int, before: SplitRecord | None, where: str) -> None:
    """Raise RunRefusedError if a run has far fewer rows than the accepted one before it."""
    if bounds.drop_max is None or before is None:
        return
    if bounds.dropped_too_far(rows, before.rows_in):
        raise RunRefusedError(
            f"{where}: {rows} rows after {before.rows_in} in {before.run}, a fall of more than "
            f"{bounds.drop_max:.0%}; raise bounds.drop_max if it is right, and replay the run"
        )


def remediation(contract: Contract, reason: str) -> str:
    """Name the contract field that reads other notations, if a reason is a number or time.

    The text is in brackets, after a blank; empty for other reasons. It is not part of the reason,
    because the Spark job has the same reasons.
    """
    name, _, fault = reason.partition(": ")
    column = next((column for column in contract.columns if column.name == name), None)
    if column is None:
        return ""
    if fault == "not a number" and column.decimal is None:
        return f' (of {name}, decimal = "," reads 18,1)'
    if fault in ("not a timestamp", "not a date") and column.time_format is None:
        return f' (of {name}, time_format = "%d/%m/%Y" or the like reads what is not ISO)'
    return ""


def _sample(text: str) -> str:
    """Quote the first rejected row for an error text; empty if there is no sample."""
    sample = " ".join(text.split())
    cut = sample[:_SAMPLE_CHARACTERS]
    return f", first {cut}{' …' if cut != sample else ''}" if sample else ""
