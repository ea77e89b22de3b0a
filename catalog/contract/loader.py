"""Read contracts from their TOML files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from catalog.contract.model import Contract, ContractError
from catalog.contract.validation import contract_faults

DATASETS = Path(__file__).parents[1] / "datasets"


def load(path: Path) -> Contract:
    """Read and check one contract.

    Args:
        path: A TOML file whose name is that of its data set.

    Returns:
        The contract.

    Raises:
        ContractError: If the file is no sound contract; the text names the file and every field
            at fault.
    """
    try:
        contract = msgspec.toml.decode(path.read_bytes(), type=Contract)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ContractError(f"{path.name}: {error}") from error
    faults = list(contract_faults(contract, path))
    if faults:
        raise ContractError(f"{path.name}: " + "; ".join(faults))
    return contract


def load_all(folder: Path = DATASETS) -> dict[str, Contract]:
    """Read and check every contract of a folder.

    Args:
        folder: A folder of `<dataset>.toml` files; by default the one of the repository.

    Returns:
        Data set → its contract, in order of name.

    Raises:
        ContractError: If one is not sound, or two write the same table.
    """
    contracts = {path.stem: load(path) for path in sorted(folder.glob("*.toml"))}
    refuse_shared_tables(contracts)
    return contracts


def refuse_shared_tables(contracts: dict[str, Contract]) -> None:
    """Check that no two data sets write the same table of the lake or of the newest rows.

    Args:
        contracts: Data set → its contract.

    Raises:
        ContractError: If two do; the text names the table and both data sets.
    """
    owners: dict[str, str] = {}
    for contract in contracts.values():
        tables = [f"lake table {table.name}" for table in contract.lake_tables()]
        if contract.latest_table is not None:
            tables.append(f"latest_table.table {contract.latest_table.table}")
        for table in tables:
            other = owners.setdefault(table, contract.dataset)
            if other != contract.dataset:
                raise ContractError(
                    f"{contract.dataset}.toml: {table} belongs to {other}: choose another name"
                )


def systems(contracts: dict[str, Contract]) -> dict[str, tuple[Contract, ...]]:
    """Group the contracts that are not retired by system.

    Args:
        contracts: Data set → its contract.

    Returns:
        System → its contracts, systems in order of name.
    """
    found: dict[str, list[Contract]] = {}
    for contract in contracts.values():
        if not contract.retired:
            found.setdefault(contract.system, []).append(contract)
    return {system: tuple(members) for system, members in sorted(found.items())}
