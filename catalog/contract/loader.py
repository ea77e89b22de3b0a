"""Read contracts from their TOML files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from catalog.contract.model import Contract, ContractError
from catalog.contract.validation import contract_faults

DATASETS = Path(__file__).parents[1] / "datasets"


def load(path: Path) -> Contract:
    """The contract in the TOML file at `path`; raises ContractError naming file and facet."""
    try:
        contract = msgspec.toml.decode(path.read_bytes(), type=Contract)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise ContractError(f"{path.name}: {error}") from error
    faults = list(contract_faults(contract, path))
    if faults:
        raise ContractError(f"{path.name}: " + "; ".join(faults))
    return contract


def load_all(folder: Path = DATASETS) -> dict[str, Contract]:
    """Every contract of a folder by data set, in order of name."""
    contracts = {path.stem: load(path) for path in sorted(folder.glob("*.toml"))}
    refuse_shared_tables(contracts)
    return contracts


def refuse_shared_tables(contracts: dict[str, Contract]) -> None:
    """Raise ContractError where two data sets write one table of the lake, or show one."""
    owners: dict[str, str] = {}
    for contract in contracts.values():
        tables = [f"lake table {table.name}" for table in contract.lake_tables()]
        if contract.latest_table is not None:
            tables.append(f"latest_table.table {contract.latest_table.table}")
        for table in tables:
            other = owners.setdefault(table, contract.dataset)
            if other != contract.dataset:
                raise ContractError(
                    f"{contract.dataset}.toml: {table} belongs to {other}: name it otherwise"
                )


def systems(contracts: dict[str, Contract]) -> dict[str, tuple[Contract, ...]]:
    """The contracts that are not retired, by system."""
    found: dict[str, list[Contract]] = {}
    for contract in contracts.values():
        if not contract.retired:
            found.setdefault(contract.system, []).append(contract)
    return {system: tuple(members) for system, members in sorted(found.items())}
