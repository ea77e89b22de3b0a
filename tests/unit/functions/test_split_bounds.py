"""The bounds of a split run, as functions over its counts."""

from __future__ import annotations

import msgspec
import pytest

from catalog.contract import DATASETS, Contract, Kind, load
from functions.parsing.header import RunRefusedError
from functions.split.bounds import check_rejects, check_row_count
from functions.validation.slotting import LATE

USAGE = load(DATASETS / "paris_wifi_usage.toml")
WRONG = "site: empty"


def contract(kind: Kind, share: float) -> Contract:
    """Return a contract of a kind that allows a share of rejects and no further ones."""
    bounds = msgspec.structs.replace(USAGE.bounds, rejected_share=share, reject_allowance=0)
    return msgspec.structs.replace(USAGE, kind=kind, bounds=bounds)


@pytest.mark.parametrize(("rows", "least", "refused"), [(9, 10, True), (10, 10, False)])
def test_a_run_needs_its_least_rows(rows: int, least: int, refused: bool) -> None:
    if refused:
        with pytest.raises(RunRefusedError, match=r"9 rows of data, .* at least 10"):
            check_row_count(rows, least, "x")
    else:
        check_row_count(rows, least, "x")


@pytest.mark.parametrize(
    ("kind", "reasons", "bad"),
    [
        (Kind.STREAM, {WRONG: 10}, 0),
        (Kind.STREAM, {WRONG: 11}, 11),
        (Kind.STREAM, {LATE: 50, WRONG: 5}, 0),  # late messages count neither as bad nor as rows
        (Kind.STREAM, {LATE: 50, WRONG: 6}, 6),
        (Kind.FULL_EXPORT, {LATE: 6, WRONG: 5}, 11),
    ],
)
def test_rejects_count_against_the_rows(kind: Kind, reasons: dict[str, int], bad: int) -> None:
    found = None
    try:
        check_rejects(contract(kind, 0.1), 100, reasons, {WRONG: "a 2: b\n c"}, "x")
    except RunRefusedError as error:
        found = str(error)
    if bad:
        assert found is not None
        assert f"x: {bad} of 100 rows are rejected, more than the contract allows" in found
    else:
        assert found is None
