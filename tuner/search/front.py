"""The Pareto front of measured points, and how good it is. Pure functions over plain points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.candidate import Candidate
from tuner.metrics import Metrics
from tuner.search.dominance import undominated
from tuner.search.hypervolume import hypervolume
from tuner.search.objective import box, directions, is_feasible, margin, told_value
from tuner.search.standing import Spread, Standing
from tuner.spec.constraint import Constraint


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


def losses(point: Point, objectives: Sequence[str]) -> tuple[float, ...] | None:
    """Return the objectives as numbers to minimise (logarithms but for shares); None if one is missing."""
    found: list[float] = []
    for name, direction in zip(objectives, directions(objectives), strict=True):
        value = point.value(name)
        told = None if value is None else told_value(name, value)
        if told is None:
            return None
        found.append(-told if direction == "maximize" else told)
    return tuple(found)


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
    kept = undominated(np.array([loss for _, loss in known]))
    left = [pair for pair, stays in zip(known, kept, strict=True) if stays]
    left.sort(key=lambda pair: (pair[1][::-1], pair[0].trial))
    return [point for point, _ in left]


def standings(points: Iterable[Point], objectives: Sequence[str]) -> dict[int, Standing]:
    """Return by trial how each feasible point that has all objectives stands (see `standing`)."""
    known = _known(points, objectives)
    if not known:
        return {}
    spread, order = _spread(known, objectives), np.argsort([p.trial for p in known])
    ranked = sorted(range(len(known)), key=lambda i: (losses(known[i], objectives) or ())[::-1])
    words = spread.words()
    rivals = {int(i): spread.rivals(int(i)) for i in np.flatnonzero(spread.contenders)}
    named = {i: tuple(known[j].trial for j in ranked if may[j]) for i, may in rivals.items()}
    return {known[i].trial: Standing(words[i], named.get(int(i), ())) for i in order}


def contenders(points: Iterable[Point], objectives: Sequence[str]) -> list[Point]:
    """Return the points that are on the front or tied with it, by trial."""
    known = _known(points, objectives)
    kept = _spread(known, objectives).contenders if known else ()
    return sorted((p for p, stays in zip(known, kept, strict=True) if stays), key=lambda p: p.trial)


def _known(points: Iterable[Point], objectives: Sequence[str]) -> list[Point]:
    return [p for p in points if p.feasible and losses(p, objectives) is not None]


def _spread(points: Sequence[Point], objectives: Sequence[str]) -> Spread:
    students: dict[tuple[float, ...], int] = {}
    ids = [students.setdefault(p.candidate.student, len(students)) for p in points]

    def column(metric: str, end: str) -> np.ndarray:
        estimates = [p.metrics.get(metric) for p in points]
        name = end.removeprefix("_") or "value"
        return np.array([math.nan if e is None else getattr(e, name) for e in estimates])

    return Spread.of(objectives, column, np.array(ids))


def normalised_hypervolume(points: Iterable[Point], objectives: Sequence[str], baseline: Point) -> float:
    """Return the share, 0 to 1, of the box between the baseline and what can be hoped for, that the front
    takes.

    On each axis 0 is the reference point and 1 the best that counts. For a quality (accuracy, perplexity) the box
    reaches from a margin worse than the baseline to as much better; for all else, on a logarithmic scale, from the
    baseline to 100 times better (`objective.box`). The box depends on the baseline only: one study's numbers can be
    compared over time. A point slower than the baseline therefore adds nothing, nor does the baseline itself.

    Raises:
        ValueError: the baseline has no value for an objective.
    """
    origin = losses(baseline, objectives)
    if origin is None:
        raise ValueError(f"the baseline has no value for one of {list(objectives)}")
    boxes = [box(name, o, margin(name)) for name, o in zip(objectives, origin, strict=True)]
    found = [loss for p in points if p.feasible and (loss := losses(p, objectives)) is not None]
    scaled = [[max(0.0, (x - a) / (b - a)) for x, (a, b) in zip(p, boxes, strict=True)] for p in found]
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


__all__ = [
    "Point",
    "contenders",
    "front",
    "hypervolume",
    "knee",
    "losses",
    "normalised_hypervolume",
    "standings",
    "where",
]
