"""Summary: where a study stands, in a few numbers that lists can show without reading its trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tuner.metrics import LOSS
from tuner.search.front import Point, normalised_hypervolume
from tuner.service.budget import Spent
from tuner.service.points import fronts, is_baseline, shown_points
from tuner.store.records import Study, Trial
from tuner.store.trials import Span

_HISTORY = 60  # hypervolumes that are kept: enough for a line


def summarise(study: Study, trials: Sequence[Trial], spans: Sequence[Span]) -> dict[str, Any]:
    """Return the front's trial numbers, the best feasible point, the hypervolume and its history, and what was spent.

    `trials` are the complete ones, `spans` those of all that count against the budget.
    """
    points = shown_points(study, trials)
    front = fronts(study, points)
    return {
        "front": sorted(point.trial for point in front),
        "confirmed": any(point.confirmed for point in front),
        "best": _best(front, study.spec["metric"]),
        "hypervolume": (volume := hypervolume(study, points)),
        "history": [*study.summary.get("history", []), volume][-_HISTORY:],
        "baseline_ms": study.baseline_ms,
        "spent": Spent.of(spans).to_json(),
    }


def hypervolume(study: Study, points: Sequence[Point]) -> float | None:
    """Return the normalised hypervolume, 0 to 1; None before the baseline and a feasible point were measured."""
    base = next((p for p in points if is_baseline(study, p.candidate)), None)
    if base is None or not fronts(study, points):
        return None
    try:
        return normalised_hypervolume(points, study.spec["objectives"], base)
    except ValueError:
        return None


def _best(front: Iterable[Point], metric: str) -> dict[str, Any] | None:
    """Return the point of the highest speedup with its headline numbers."""
    known = [(speedup, p) for p in front if (speedup := p.value("speedup")) is not None]
    if not known:
        return None
    speedup, point = max(known, key=lambda pair: pair[0])
    names = ("latency_ms", metric, LOSS[metric])
    return {"trial": point.trial, "speedup": speedup, **{name: point.value(name) for name in names}}
