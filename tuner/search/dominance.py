"""Dominance over arrays: which points another one beats in everything; fast for ten thousand points.

Losses are arrays (n, objectives) to be minimised, without NaN. A point dominates another one if it is no worse
everywhere and better somewhere; equal points do not.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]
Mask = NDArray[np.bool_]
Groups = NDArray[np.integer[Any]]

_FEW = 64


def undominated(losses: Losses) -> Mask:
    """Say of each point if no other one dominates it."""
    if losses.shape[1] <= 2:
        return ~dominated(losses, losses)
    kept = np.ones(len(losses), dtype=bool)
    for i in np.argsort(np.nan_to_num(losses).sum(axis=1)):  # the best by sum thin the rest out early
        if kept[i]:
            kept &= ~_worse(losses, losses[i])
    return kept


def dominated(losses: Losses, by: Losses, groups: Groups | None = None) -> Mask:
    """Say of each point if a row of `by` dominates it; with `groups` (of the rows of both), one of its own group."""
    if losses.shape[1] <= 2:
        return _swept(_in_two(losses), _in_two(by), groups)
    if groups is None:
        return _compared(losses, by)
    found = np.zeros(len(losses), dtype=bool)
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        found[rows] = (_paired if len(rows) <= _FEW else _compared)(losses[rows], by[rows])
    return found


def _paired(losses: Losses, by: Losses) -> Mask:
    """Compare each with each: the fastest for few points, and beyond some thousands too large for the memory."""
    return np.asarray(_worse(losses[:, None, :], by[None, :, :]).any(axis=1))


def _compared(losses: Losses, by: Losses) -> Mask:
    """Compare with those of `by` that none of `by` dominates, one after another."""
    found = np.zeros(len(losses), dtype=bool)
    for row in by[undominated(by)]:
        left = np.flatnonzero(~found)
        found[left] = _worse(losses[left], row)
    return found


def _worse(losses: Losses, row: Losses) -> Mask:
    """Say of each point if the row dominates it. A column at a time: to reduce along a short axis takes long."""
    pairs = [(losses[..., k], row[..., k]) for k in range(row.shape[-1])]
    no_better = reduce(np.logical_and, (mine >= other for mine, other in pairs))
    return np.asarray(no_better & reduce(np.logical_or, (mine > other for mine, other in pairs)))


def _in_two(losses: Losses) -> Losses:
    return losses if losses.shape[1] == 2 else np.column_stack([losses, np.zeros(len(losses))])


def _swept(losses: Losses, by: Losses, groups: Groups | None) -> Mask:
    """Compare each point with the least second loss of all in `by` that come before it along the first.

    Losses become ranks, and a group's ranks follow those of the group before it along the first and lie below them
    along the second: no other group's point undercuts one.
    """
    n, size = len(by), len(by) + len(losses)
    x, y = (np.unique(np.concatenate([by[:, k], losses[:, k]]), return_inverse=True)[1] for k in (0, 1))
    shift = np.zeros(size, dtype=np.int64) if groups is None else np.concatenate([groups, groups]) * size
    x, y = x + shift, y - shift
    order = np.argsort(x[:n], kind="stable")
    least = np.concatenate([[np.iinfo(np.int64).max], np.minimum.accumulate(y[:n][order])])
    before = least[np.searchsorted(x[:n][order], x[n:], side="left")]
    up_to = least[np.searchsorted(x[:n][order], x[n:], side="right")]
    return np.asarray((before <= y[n:]) | (up_to < y[n:]))


__all__ = ["Groups", "Losses", "Mask", "dominated", "undominated"]
