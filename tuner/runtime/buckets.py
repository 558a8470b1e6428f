"""Buckets: the few sizes that stand for all, where each size of input has to be compiled for itself: powers of two."""

from __future__ import annotations

_LEAST = 16  # tokens of the smallest bucket


def lengths(most: int) -> list[int]:
    """Return the lengths in tokens that a model of at most `most` tokens is compiled for; the last is `most`."""
    powers = (2**i for i in range(_LEAST.bit_length() - 1, most.bit_length()))
    return [*(size for size in powers if size < most), most]


def rows(count: int) -> int:
    """Return how many rows a batch of `count` (at least 1) is padded to."""
    return int(2 ** (count - 1).bit_length())
