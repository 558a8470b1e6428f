"""Buckets: the few sizes that stand for all, where each size of input has to be compiled for itself.

Powers of two, and one size between each two: what is padded up to the next one is never a third of it.
"""

from __future__ import annotations

_LEAST = 16  # tokens of the smallest bucket


def lengths(most: int) -> list[int]:
    """Return the lengths in tokens that a model of at most `most` tokens is compiled for; the last is `most`."""
    found = [size for size in _sizes(most) if _LEAST <= size < most]
    return [*found, most]


def rows(count: int) -> int:
    """Return how many rows a batch of `count` is padded to."""
    return next(size for size in _sizes(2 * count) if size >= count)


def _sizes(most: int) -> list[int]:
    """Return 1, 2, 3, 4, 6, 8, 12, 16 … up to `most`."""
    return sorted({size for i in range(most.bit_length()) for size in (2**i, 3 * 2**i // 2) if size <= most})
