"""Objectives: which way is better, what the sampler is told, and constraints as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tuner.errors import InputError
from tuner.metrics import METRICS, Direction, Metrics
from tuner.spec.constraint import Constraint
from tuner.spec.nearest import did_you_mean

#: What a constraint on a metric that was not measured is told as: violated, by a whole unit.
UNMEASURED = 1.0


def directions(objectives: Sequence[str]) -> list[Direction]:
    """Return the better direction of each objective.

    Raises:
        InputError: an unknown metric, one named twice, or none at all.
    """
    for name in objectives:
        if name not in METRICS:
            raise InputError(f"objectives: unknown metric {name!r}{did_you_mean(name, METRICS)}")
    if not objectives or len(set(objectives)) != len(objectives):
        raise InputError("objectives: name at least one metric, and each only once")
    return [METRICS[name][1] for name in objectives]


def is_log(metric: str) -> bool:
    """Say whether the sampler is told the metric's logarithm: all but shares, whose unit is `fraction`.

    A sampler's hypervolume depends on scale: in plain milliseconds the slow end would outweigh the fast one.
    """
    return METRICS[metric][0] != "fraction"


def told_value(metric: str, value: float) -> float | None:
    """Return a value as the sampler (and the hypervolume) sees it; None for one that has no logarithm."""
    if not is_log(metric):
        return value
    return math.log(value) if value > 0 else None


def told_values(objectives: Sequence[str], metrics: Metrics) -> list[float] | None:
    """Return what the sampler is told, in the order of the objectives; None if one was not measured."""
    values: list[float] = []
    for name in objectives:
        estimate = metrics.get(name)
        told = None if estimate is None else told_value(name, estimate.value)
        if told is None or not math.isfinite(told):
            return None
        values.append(told)
    return values


def constraint_values(constraints: Iterable[Constraint], metrics: Metrics) -> dict[str, float]:
    """Return the violation of each constraint, by its text; at most 0 is met, unmeasured is violated.

    Every constraint is there for every trial: samplers demand the same number of them each time.
    """
    found = {str(c): c.violation(metrics) for c in constraints}
    return {name: UNMEASURED if value is None else value for name, value in found.items()}


def is_feasible(constraints: Iterable[Constraint], metrics: Metrics) -> bool:
    """Say whether all constraints are met; one on an unmeasured metric is not."""
    return all(value <= 0 for value in constraint_values(constraints, metrics).values())
