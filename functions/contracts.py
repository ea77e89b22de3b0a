"""The contract that a message names."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.contract import DATASETS, Contract, load
from functions.errors import Permanent

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def contract_of(dataset: str, folder: Path = DATASETS) -> Contract:
    """The contract of a data set.

    Raises Permanent naming the data sets there are, and ContractError where the file is at fault.
    """
    path = folder / f"{dataset}.toml"
    if not _NAME.fullmatch(dataset) or not path.is_file():
        known = ", ".join(sorted(found.stem for found in folder.glob("*.toml")))
        raise Permanent(f"{dataset[:80]!r} is no data set of this release; it knows: {known}")
    return load(path)
