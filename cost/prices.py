"""Prices with their source, and assumed figures: `prices.toml`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "prices.toml"


class PriceError(ValueError):
    """The prices have a fault: the text names the file and the fault."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: an unknown key is an error, never ignored."""


class Price(_Strict, frozen=True, kw_only=True):
    """The price of `per` units, in US dollars."""

    title: str
    usd: float
    per: float
    unit: str
    source: str
    read: date
    """When the source was read."""
    confirmed: bool
    """Whether the figure comes from Google's own page or its transcription."""
    free: float = 0.0
    """Free units per month of a billing account (for logs, of a project)."""

    def of(self, quantity: float) -> float:
        """Return the price of so many units in US dollars, without free units."""
        return quantity * self.usd / self.per


class Assumed(_Strict, frozen=True, kw_only=True):
    """Figures that neither a contract nor a price list gives; each is explained in the file."""

    call_seconds: float
    load_seconds: float
    show_seconds: float
    download_bytes_per_second: float
    split_bytes_per_second: float
    batch_start_seconds: float
    batch_bytes_per_second: float
    batch_writes_per_file: float
    batch_reads_per_file: float
    executor_gb_per_core: float
    history_days: float
    parts_share: float
    derived_share: float
    line_bytes: float
    sweep_lists_per_dataset: float
    sweep_lists_per_system: float
    seal_lists_per_dataset: float


class Prices(_Strict, frozen=True, kw_only=True):
    """The whole file."""

    region: str
    price: dict[str, Price]
    assumed: Assumed


def load(path: Path = FILE) -> Prices:
    """Read the prices of a file, or raise PriceError naming the fault."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Prices)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise PriceError(f"{path.name}: {error}") from error
