"""Exact hypervolume of a set of points, all objectives to be minimised."""

from __future__ import annotations

from collections.abc import Sequence

Losses = Sequence[float]


def hypervolume(losses: Sequence[Losses], reference: Losses) -> float:
    """Return the volume between the points (n, objectives) and the reference point (objectives,).

    Points, or parts of them, beyond the reference count for nothing. Two objectives: a sweep, O(n log n).
    More: slicing along the last objective (HSO: While, Hingston, Barone, Huband 2006, "A faster algorithm for
    calculating hypervolume", IEEE TEC 10(1)), exponential in the objectives and fast for the few that a study
    has.
    """
    inside = [tuple(p) for p in losses if all(x < r for x, r in zip(p, reference, strict=True))]
    return _volume(inside, tuple(reference)) if inside else 0.0


def _volume(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    if len(reference) == 1:
        return reference[0] - min(p[0] for p in points)
    if len(reference) == 2:
        return _area(points, reference)
    points = sorted(points, key=lambda p: p[-1])
    total = 0.0
    for i, point in enumerate(points):
        upper = points[i + 1][-1] if i + 1 < len(points) else reference[-1]
        if upper > point[-1]:  # the slab between this point and the next holds all points so far
            total += (upper - point[-1]) * _volume([p[:-1] for p in points[: i + 1]], reference[:-1])
    return total


def _area(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    total, floor = 0.0, reference[1]
    for x, y in sorted(points):
        if y < floor:
            total += (reference[0] - x) * (floor - y)
            floor = y
    return total
