"""Ranks: which points no other one beats, which only those beat, and so on; over arrays, for thousands of points."""

from __future__ import annotations

import bisect

import numpy as np
from numpy.typing import NDArray

from tuner.search.dominance import Losses, undominated

#: Beyond this rank all are alike: nobody looks at the thirtieth front, and peeling them costs time.
DEEPEST = 30


def front_ranks(losses: Losses) -> NDArray[np.int64]:
    """Return 1 for points that none dominates, 2 for those that only rank 1 dominates, and so on.

    `losses` (n, objectives) are to be minimised and finite. Equal points share their rank.
    """
    if len(losses) == 0:
        return np.zeros(0, dtype=np.int64)
    return _two(losses) if losses.shape[1] == 2 else _peeled(losses)


def _two(losses: Losses) -> NDArray[np.int64]:
    """Sweep along the first objective: a point is on the first front whose least second objective it undercuts."""
    ranks = np.zeros(len(losses), dtype=np.int64)
    least: list[float] = []  # by rank; ascending, for a point of rank r is undercut by one of rank r - 1
    before: tuple[float, float] | None = None
    last = 0
    for i in np.lexsort((losses[:, 1], losses[:, 0])):
        x, y = float(losses[i, 0]), float(losses[i, 1])
        if before == (x, y):
            ranks[i] = last
            continue
        rank = bisect.bisect_right(least, y)  # all fronts whose least is at most y dominate this point
        if rank == len(least):
            least.append(y)
        else:
            least[rank] = y
        before, last = (x, y), rank + 1
        ranks[i] = last
    return ranks


def _peeled(losses: Losses) -> NDArray[np.int64]:
    ranks = np.zeros(len(losses), dtype=np.int64)
    left = np.arange(len(losses))
    rank = 1
    while len(left) and rank < DEEPEST:
        first = undominated(losses[left])
        ranks[left[first]] = rank
        left, rank = left[~first], rank + 1
    ranks[left] = rank
    return ranks
