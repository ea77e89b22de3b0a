"""Prices with their source, and what is assumed: `prices.toml`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "prices.toml"


class PriceError(ValueError):
    """Prices that cannot be: names the file and the fault."""


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: an unknown key is an error, never ignored."""


class Price(_Strict, frozen=True, kw_only=True):
    """What `per` units cost, in US dollars."""

    title: str
    usd: float
    per: float
    unit: str
    source: str
    read: date
    """When the source was read."""
    confirmed: bool
    """Whether the figure stood on Google's own page or in a transcription of it."""
    free: float = 0.0
    """Units a month that a billing account (of logs a project) has for nothing."""

    def of(self, quantity: float) -> float:
        """What so many units cost, in US dollars, whatever is free."""
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
    """The prices of a file; raises PriceError naming the fault."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Prices)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise PriceError(f"{path.name}: {error}") from error
