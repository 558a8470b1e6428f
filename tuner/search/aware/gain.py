"""Gain: how much hypervolume a point would add to a front, for many possible points at once."""

from __future__ import annotations

import numpy as np

from tuner.search.hypervolume import hypervolume


def gains(front: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the volume (…,) that each of points (…, objectives) adds to a front (n, objectives) below ones.

    All objectives are losses scaled to 0 (the best that counts) … 1 (the reference). Two objectives: the strips between
    the front's points, exactly. One: the difference. More: one hypervolume each.
    """
    inside = np.clip(points, 0.0, 1.0)
    if inside.shape[-1] == 1:
        best = min(front.min(), 1.0) if len(front) else 1.0
        return np.maximum(best - inside[..., 0], 0.0)
    if inside.shape[-1] == 2:
        return _strips(_front(front), inside)
    rows = [tuple(row) for row in front]
    one = [1.0] * inside.shape[-1]
    before = hypervolume(rows, one)
    flat = inside.reshape(-1, inside.shape[-1])
    found = [hypervolume([*rows, tuple(row)], one) - before for row in flat]
    return np.array(found).reshape(inside.shape[:-1])


def _front(points: np.ndarray) -> np.ndarray:
    """Return the points inside the box that no other dominates, by their first objective."""
    kept: list[np.ndarray] = []
    for row in sorted(np.clip(points, 0.0, None), key=tuple):
        if (row < 1).all() and (not kept or row[1] < kept[-1][1]):
            kept.append(row)
    return np.array(kept).reshape(-1, 2)


def _strips(front: np.ndarray, points: np.ndarray) -> np.ndarray:
    left = np.concatenate([[0.0], front[:, 0]])
    right = np.concatenate([front[:, 0], [1.0]])
    ceiling = np.concatenate([[1.0], front[:, 1]])
    x, y = points[..., 0, None], points[..., 1, None]
    return (np.maximum(right - np.maximum(left, x), 0) * np.maximum(ceiling - y, 0)).sum(-1)
