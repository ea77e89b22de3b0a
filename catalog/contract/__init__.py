"""The contract of a data set: one TOML file that infrastructure, steps, docs and tests read."""

from catalog.contract.loader import DATASETS, load, load_all, refuse_shared_tables, systems
from catalog.contract.model import (
    Bounds,
    Column,
    Contract,
    ContractError,
    FetchSpec,
    GeoPoint,
    Key,
    Kind,
    LatestTable,
    Shape,
    Slices,
    SourceSpec,
    TableSpec,
    Times,
)
from catalog.contract.validation import NEWEST_ADDED, STREAM_SECONDS, TYPES

__all__ = [
    "DATASETS",
    "NEWEST_ADDED",
    "STREAM_SECONDS",
    "TYPES",
    "Bounds",
    "Column",
    "Contract",
    "ContractError",
    "FetchSpec",
    "GeoPoint",
    "Key",
    "Kind",
    "LatestTable",
    "Shape",
    "Slices",
    "SourceSpec",
    "TableSpec",
    "Times",
    "load",
    "load_all",
    "refuse_shared_tables",
    "systems",
]
