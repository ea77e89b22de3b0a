"""The table that people read: the cost of a month, by system and by service."""

from __future__ import annotations

from collections.abc import Iterable

from cost.formula import Quantities, month
from cost.prices import Price, Prices
from cost.workload import Stack

UNCONFIRMED = " (?)"


def table(stack: Stack, prices: Prices, share: float = 1.0) -> str:
    """Return Markdown: a row per system and price, the sums, the prices with their sources."""
    idle, running = month(stack, prices, None), month(stack, prices, share)
    lines = ["| system | what | idle | running |", "|---|---|---:|---:|"]
    for name in running:
        lines += _rows(name, prices, idle[name], running[name])
    sums = [_sum(prices, each.values()) for each in (idle, running)]
    lines.append(_row("**together**", "before what is free", *sums))
    after = [_after_free(prices, each.values()) for each in (idle, running)]
    lines.append(_row("**together**", "after it, where nothing else uses it up", *after))
    return "\n".join([*lines, "", *_sources(prices)])


def _rows(name: str, prices: Prices, idle: Quantities, running: Quantities) -> list[str]:
    found = [
        _row(f"`{name}`", _title(price), price.of(idle[key]), price.of(running[key]))
        for key, price in prices.price.items()
        if idle[key] or running[key]
    ]
    return [*found, _row(f"**{name}**", "", _sum(prices, [idle]), _sum(prices, [running]))]


def _row(system: str, what: str, idle: float, running: float) -> str:
    return f"| {system} | {what} | {idle:,.2f} | {running:,.2f} |"


def _title(price: Price) -> str:
    return price.title + ("" if price.confirmed else UNCONFIRMED)


def _sum(prices: Prices, used: Iterable[Quantities]) -> float:
    return sum(price.of(each[key]) for each in used for key, price in prices.price.items())


def _after_free(prices: Prices, used: Iterable[Quantities]) -> float:
    together = sum(used, Quantities())
    return sum(
        price.of(max(0.0, together[key] - price.free)) for key, price in prices.price.items()
    )


def _sources(prices: Prices) -> list[str]:
    head = [f"| price of {prices.region} | USD | per | free a month | source | read |"]
    return [*head, "|---|---:|---|---:|---|---|", *map(_source, prices.price.values())]


def _source(price: Price) -> str:
    per = f"{price.per:,.0f} {price.unit}s" if price.per != 1 else price.unit
    free = f"{price.free:,.0f}" if price.free else "–"
    usd = f"{price.usd:.7f}".rstrip("0")
    return f"| {_title(price)} | {usd} | {per} | {free} | {price.source} | {price.read} |"
