"""Chance that is the same on every machine: Philox's raw bits and exact arithmetic.

NumPy guarantees a generator's bits, but not what its distributions make of them. Logarithms differ
in their last bit between processors, so nothing here takes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Fractions = NDArray[np.float64]

CHOICE_BITS = 16
"""Bits that a choice takes; shares below 1 in 65,536 get lost."""
CHOICES = 1 << CHOICE_BITS
_QUANTILE_BITS = 28
_FRACTION_BITS = 53


class Draws:
    """The chance of one block of rows, determined by the seed and the block's number alone."""

    def __init__(self, seed: int, block: int) -> None:
        self._bits = np.random.Philox(key=np.array([seed, block], dtype=np.uint64))

    def raw(self, count: int) -> NDArray[np.uint64]:
        """Draw 64 random bits, `count` times."""
        return self._bits.random_raw(count)

    def fractions(self, count: int) -> Fractions:
        """Draw numbers from 0 up to 1, 1 excluded."""
        bits = self.raw(count) >> np.uint64(64 - _FRACTION_BITS)
        return bits.astype(np.float64) * 2.0**-_FRACTION_BITS

    def choices(self, count: int, ways: int) -> list[Integers]:
        """Draw `ways` arrays of places in a `wheel`, four arrays at most."""
        raw = self.raw(count)
        mask = np.uint64(CHOICES - 1)
        return [
            ((raw >> np.uint64(CHOICE_BITS * way)) & mask).astype(np.int64) for way in range(ways)
        ]

    def below(self, limit: int, count: int) -> Integers:
        """Draw whole numbers from 0 up to `limit`, excluded; `limit` has 31 bits at most."""
        return (((self.raw(count) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32)).astype(
            np.int64
        )


class Quantiles:
    """A distribution of whole numbers, straight between points of (share below, number)."""

    def __init__(self, points: Sequence[tuple[float, int]]) -> None:
        """Take `points` that begin at share 0, end at share 1 and rise in both."""
        self._shares = np.array([round(p * 2**_QUANTILE_BITS) for p, _ in points], dtype=np.int64)
        self._numbers = np.array([number for _, number in points], dtype=np.int64)
        self.mean = sum((q - p) * (a + b) / 2 for (p, a), (q, b) in pairwise(points))

    def draw(self, draws: Draws, count: int) -> Integers:
        """Draw numbers of this distribution."""
        share = (draws.raw(count) >> np.uint64(64 - _QUANTILE_BITS)).astype(np.int64)
        at = np.searchsorted(self._shares, share, side="right") - 1
        step = (self._numbers[1:] - self._numbers[:-1])[at]
        width = (self._shares[1:] - self._shares[:-1])[at]
        drawn: Integers = self._numbers[at] + step * (share - self._shares[at]) // width
        return drawn


def wheel(weights: Iterable[float]) -> Integers:
    """Build `CHOICES` places, filled with each index in proportion to its weight."""
    sums = list(accumulate(weights))
    ends = [round(part / sums[-1] * CHOICES) for part in sums]
    places = [end - begin for begin, end in pairwise([0, *ends])]
    return np.repeat(np.arange(len(places), dtype=np.int64), places)
