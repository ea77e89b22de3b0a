"""Find marks in a block of bytes as bits, 64 bytes at a time.

Each word has the bits of 64 bytes, the first byte in its lowest bit. Quotes are paired with the method
of https://arxiv.org/abs/1902.08318 (simdjson), with shifts instead of a carry-less product.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int32]
"""Places of bytes in a block, which is far below 2 GB."""
Words = npt.NDArray[np.uint64]
"""A bit for each byte of a block."""

_TILE = 1 << 18
"""So many bytes are looked at in one go: what is found of them stays in the processor's cache, and
its memory is used again."""
_ONE, _LAST = np.uint64(1), np.uint64(63)


def words(whole: Bytes, marks: Sequence[int]) -> list[Words]:
    """Where each of some bytes stands, a bit for each byte of the block, the first the lowest.

    At least one bit follows the last byte's.
    """
    found = [np.zeros(8 * (len(whole) // 64 + 1), np.uint8) for _ in marks]
    seen = np.empty(_TILE, np.bool_)
    for start in range(0, len(whole), _TILE):
        tile = whole[start : start + _TILE]
        for mark, words in zip(marks, found, strict=True):
            packed = np.packbits(np.equal(tile, mark, out=seen[: len(tile)]), bitorder="little")
            words[start // 8 : start // 8 + len(packed)] = packed
    return [words.view("<u8") for words in found]


def inside(quotes: Words) -> Words:
    """Bits from each opening quote to before the one that closes it."""
    found: Words = quotes.copy()
    for step in (1, 2, 4, 8, 16, 32):
        found ^= found << step
    odd = (found >> 63).astype(np.bool_)
    before = np.logical_xor.accumulate(odd)[:-1]
    found[1:] ^= np.where(before, ~np.uint64(0), np.uint64(0))
    return found


def later(words: Words) -> Words:
    """Bits moved to the byte after; the first is set."""
    found = words << _ONE
    found[1:] |= words[:-1] >> _LAST
    found[0] |= _ONE
    return found


def earlier(words: Words) -> Words:
    """Bits moved to the byte before."""
    found = words >> _ONE
    found[:-1] |= words[1:] << _LAST
    return found


def places(words: Words) -> Places:
    """Where the bits stand that are set."""
    found = np.empty(int(np.bitwise_count(words).sum()), np.int32)
    packed = words.view(np.uint8)
    step = _TILE // 8
    begin = 0
    for start in range(0, len(packed) if len(found) else 0, step):
        bits = np.unpackbits(packed[start : start + step], bitorder="little")
        seen = np.flatnonzero(bits.view(np.bool_))
        end = begin + len(seen)
        np.add(seen, 8 * start, out=found[begin:end], casting="same_kind")
        begin = end
    return found
