"""Load the contract that a message names, and apply its calendar to a run."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.contract import DATASETS, Contract, load
from catalog.runs import Run
from functions.core.errors import PermanentError, UnknownSlotError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def contract_of(dataset: str, folder: Path = DATASETS) -> Contract:
    """Load the contract of a data set.

    Raises PermanentError, which lists the data sets of the release, if there is no such contract,
    and ContractError if the file is invalid.
    """
    path = folder / f"{dataset}.toml"
    if not _NAME.fullmatch(dataset) or not path.is_file():
        names = ", ".join(sorted(found.stem for found in folder.glob("*.toml")))
        raise PermanentError(f"{dataset[:80]!r} is no data set of this release; it knows: {names}")
    return load(path)


def own_slot(contract: Contract, run: Run) -> str | None:
    """Return the slot of a run if its kind gives all rows that slot; else None."""
    if not contract.kind.slot_from_run:
        return None
    if run.requested_slot and is_slot(contract, run.requested_slot):
        return run.requested_slot
    return contract.calendar.slot(run.time)


def is_slot(contract: Contract, text: str | None) -> bool:
    """Return whether a text names a slot of the contract's calendar."""
    if text is None:
        return False
    try:
        contract.calendar.parse(text)
    except ValueError:
        return False
    return True


def require_slot(contract: Contract, slot: str) -> None:
    """Raise UnknownSlotError if the contract's calendar cannot parse a slot."""
    try:
        contract.calendar.parse(slot)
    except ValueError as error:
        raise UnknownSlotError(f"{contract.dataset}: {error}") from error
