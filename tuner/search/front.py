"""The Pareto front of measured points, and how good it is. Pure functions over plain points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.candidate import Candidate
from tuner.metrics import Metrics
from tuner.search.hypervolume import hypervolume
from tuner.search.objective import directions, is_feasible, is_log, told_value
from tuner.spec.constraint import Constraint

SPAN = 100.0  # the best that counts: so many times better than the baseline
MARGIN = 0.1  # for shares (accuracy): the worst and the best that count, below and above the baseline


@dataclass(frozen=True)
class Point:
    """A measured trial. `feasible` is the study's verdict on its constraints; `host` a fingerprint."""

    trial: int
    candidate: Candidate
    metrics: Metrics = field(default_factory=dict)
    feasible: bool = True
    confirmed: bool = False
    host: str = ""

    def value(self, metric: str) -> float | None:
        """Return a metric's value, None where it was not measured."""
        estimate = self.metrics.get(metric)
        return None if estimate is None or math.isnan(estimate.value) else estimate.value


def losses(
    point: Point, objectives: Sequence[str], end: int = 0, shares: bool = False
) -> tuple[float, ...] | None:
    """Return the objectives as numbers to minimise (logarithms but for shares); None if one is missing.

    `end` -1 and 1 take the better and the worse end of the interval of what is measured with a clock; with `shares`
    those of a share (accuracy) as well, as far as it may move against the baseline on the same documents.
    """
    found: list[float] = []
    for name, direction in zip(objectives, directions(objectives), strict=True):
        sign = -1 if direction == "maximize" else 1
        value = _end(point, name, sign * end) if is_log(name) or shares else point.value(name)
        told = None if value is None else told_value(name, value)
        if told is None:
            return None
        found.append(sign * told)
    return tuple(found)


def _end(point: Point, metric: str, end: int) -> float | None:
    estimate, paired = point.metrics.get(metric), point.metrics.get(f"{metric}_drop")
    if end == 0 or estimate is None:
        return point.value(metric)
    if paired is not None:
        return estimate.value + (paired.value - (paired.high if end < 0 else paired.low))
    return estimate.low if end < 0 else estimate.high


def where(points: Iterable[Point], constraints: Sequence[Constraint]) -> list[Point]:
    """Return the points that meet all constraints; one on an unmeasured metric is not met."""
    return [point for point in points if is_feasible(constraints, point.metrics)]


def front(points: Iterable[Point], objectives: Sequence[str]) -> list[Point]:
    """Return the feasible points that no other feasible one dominates, ordered by the objectives from the
    last one.

    Equal points are all kept. A point without a value for an objective is never on the front. For
    `["accuracy", "latency_ms"]` the order is by latency, the fastest first.
    """
    known = [(p, loss) for p in points if p.feasible and (loss := losses(p, objectives)) is not None]
    if not known:
        return []
    table = np.array([loss for _, loss in known])
    kept = [pair for pair, row in zip(known, table, strict=True) if not _beaten(table, row)]
    kept.sort(key=lambda pair: (pair[1][::-1], pair[0].trial))
    return [point for point, _ in kept]


def contenders(points: Iterable[Point], objectives: Sequence[str]) -> list[Point]:
    """Return the feasible points that none dominates for certain: the front, and what noise may have kept off it.

    A point goes only where another is no worse in everything even with its own worse, and this one's better, ends of
    the intervals. Artefacts of one student answer nearly alike: among them only the clock has an interval.
    """
    known = [p for p in points if p.feasible and losses(p, objectives) is not None]
    students: dict[tuple[float, ...], list[Point]] = {}
    for point in known:
        students.setdefault(point.candidate.student, []).append(point)
    left = [p for group in students.values() for p in _undominated(group, objectives, shares=False)]
    return sorted(_undominated(left, objectives, shares=True), key=lambda p: p.trial)


def _undominated(points: list[Point], objectives: Sequence[str], shares: bool) -> list[Point]:
    worst = np.array([losses(p, objectives, 1, shares) or losses(p, objectives) for p in points])
    best = [losses(p, objectives, -1, shares) or losses(p, objectives) for p in points]
    return [p for p, row in zip(points, best, strict=True) if not _beaten(worst, row)]


def _beaten(table: np.ndarray, row: np.ndarray | tuple[float, ...] | None) -> bool:
    """Say if a row of the table (n, objectives) is no worse than this one everywhere and better somewhere."""
    return bool(((table <= row).all(axis=1) & (table < row).any(axis=1)).any())


def normalised_hypervolume(points: Iterable[Point], objectives: Sequence[str], baseline: Point) -> float:
    """Return the share, 0 to 1, of the box between the baseline and what can be hoped for, that the front
    takes.

    On each axis 0 is the reference point and 1 the best that counts. For shares (accuracy, drop) the box
    reaches from `MARGIN` below the baseline to `MARGIN` above it; for all else, on a logarithmic scale, from
    the baseline to `SPAN` times better. The box depends on the baseline only: one study's numbers can be
    compared over time. A point slower than the baseline therefore adds nothing, nor does the baseline itself.

    Raises:
        ValueError: the baseline has no value for an objective.
    """
    origin = losses(baseline, objectives)
    if origin is None:
        raise ValueError(f"the baseline has no value for one of {list(objectives)}")
    low = [o - (math.log(SPAN) if is_log(n) else MARGIN) for n, o in zip(objectives, origin, strict=True)]
    high = [o + (0.0 if is_log(n) else MARGIN) for n, o in zip(objectives, origin, strict=True)]
    found = [loss for p in points if p.feasible and (loss := losses(p, objectives)) is not None]
    scaled = [[max(0.0, (x - a) / (b - a)) for x, a, b in zip(p, low, high, strict=True)] for p in found]
    return hypervolume(scaled, [1.0] * len(objectives))


def knee(points: Iterable[Point], objectives: Sequence[str]) -> Point | None:
    """Return the front's knee: the point farthest, towards the ideal, from the plane through the extremes.

    Das (1999), "On characterizing the 'knee' of the Pareto curve based on Normal-Boundary Intersection". Each
    objective (in logarithms but for shares) is scaled to 0..1 over the front, so the plane is sum(x) = 1 and
    the distance goes with 1 - sum(x). A front without a bend towards the ideal has its knee at an extreme.
    Ties go to the first in the front's order; None for an empty front.
    """
    on_front = front(points, objectives)
    if not on_front:
        return None
    table = np.array([losses(p, objectives) for p in on_front])
    low, span = table.min(axis=0), np.ptp(table, axis=0)
    scaled = np.where(span > 0, (table - low) / np.where(span > 0, span, 1.0), 0.0)
    return on_front[int(np.argmin(np.round(scaled.sum(axis=1), 12)))]


__all__ = ["Point", "contenders", "front", "hypervolume", "knee", "losses", "normalised_hypervolume", "where"]
