"""Objectives: which way is better, what the sampler is told, and constraints as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tuner.errors import InputError
from tuner.metrics import METRICS, QUALITY, Direction, Metrics
from tuner.spec.constraint import Constraint
from tuner.spec.nearest import did_you_mean

SPAN = 100.0  # the best that counts of what is clocked or weighed: so many times better than the baseline
#: How far a quality may lie on either side of the baseline's and count, as it is told: ten points of accuracy. Of
#: perplexity half as much again: that is where low-bit weights and pruning take small models, and in a box of 10 % the
#: search would see no slope there. Of the baseline's greedy tokens half: agreement starts at all, and falls fast.
MARGIN = 0.1
#: Of cores, which are few and whole: so many times more than the baseline's as less, for what needs as many as it does
#: is worth something, too.
_MARGINS = {
    "cores": math.log(SPAN),
    "perplexity": math.log(1.5),
    "perplexity_increase": math.log(1.5),
    "agreement": 0.5,
}

_INCREASE = "perplexity_increase"
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


def is_clocked(metric: str) -> bool:
    """Say whether a metric is of a clock or a scale, and not of what an artefact answers."""
    return metric not in QUALITY


def is_relative(metric: str) -> bool:
    """Say whether a quality's loss is a share of the baseline's own value: perplexity is told as a logarithm."""
    return metric in ("perplexity", _INCREASE)


def margin(metric: str) -> float | None:
    """Return how far a quality may lie from the baseline's and count, as it is told; None of what is clocked.

    Cores are counted, and lie on either side.
    """
    return _MARGINS.get(metric, None if is_clocked(metric) else MARGIN)


def box(metric: str, origin: float, margin: float | None) -> tuple[float, float]:
    """Return the best loss of a metric that counts, and the reference, from which on nothing does.

    `origin` is the baseline's loss, as told; of a quality with a `margin` the box lies around it.
    """
    return (origin - math.log(SPAN), origin) if margin is None else (origin - margin, origin + margin)


def told_value(metric: str, value: float) -> float | None:
    """Return a value as the sampler (and the hypervolume) sees it; None for one that has no logarithm.

    An increase of perplexity is told as the logarithm of the ratio: a ruined student's is a hundredfold.
    """
    shifted = 1 + value if metric == _INCREASE else value
    if not is_log(metric) and metric != _INCREASE:
        return value
    return math.log(shifted) if shifted > 0 else None


def told_column(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values (n,) as they are told, NaN for those that have no logarithm."""
    if not is_log(metric) and metric != _INCREASE:
        return values
    shifted = 1 + values if metric == _INCREASE else values
    return np.log(np.where(shifted > 0, shifted, np.nan))


def untold(metric: str, told: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that are told so."""
    if metric == _INCREASE:
        return np.expm1(told)
    return np.exp(told) if is_log(metric) else told


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
