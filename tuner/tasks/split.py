"""Split: a seeded order of the documents in which every stretch has the classes in their proportion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def stratified_order(labels: Sequence[str], seed: int) -> list[int]:
    """Return all positions, shuffled, so that any contiguous stretch holds each class in proportion.

    The k-th of a class's n shuffled documents is placed at (k + 1/2)/n of the way, so a stretch of length m
    holds each class m times its share, to within two documents.
    """
    random = np.random.default_rng(seed)
    tie = random.permutation(len(labels))
    place = np.empty(len(labels))
    array = np.asarray(labels, dtype=object)
    for label in sorted(set(labels)):
        members = np.flatnonzero(array == label)
        place[random.permutation(members)] = (np.arange(len(members)) + 0.5) / len(members)
    return [int(i) for i in np.lexsort((tie, place))]


def cut(order: Sequence[int], shares: Sequence[float]) -> list[list[int]]:
    """Cut an order into stretches of these shares (in whole documents); what is over is left out."""
    ends = [round(len(order) * float(end)) for end in np.cumsum([0.0, *shares])]
    return [list(order[begin:end]) for begin, end in pairwise(ends)]
