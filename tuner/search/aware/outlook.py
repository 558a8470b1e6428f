"""Outlook: a study's front so far, and what each candidate could add to it, as it is believed now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from tuner.metrics import LOST, METRICS, OPEN, Metrics
from tuner.search.aware.belief import Belief, CountedCores, Encoder, Told
from tuner.search.aware.gain import gains
from tuner.search.aware.history import Item, Seen
from tuner.search.aware.kernel import Coordinates
from tuner.search.objective import (
    box,
    directions,
    is_clocked,
    is_feasible,
    is_log,
    is_relative,
    margin,
    told_value,
    untold,
)
from tuner.spec.constraint import Constraint

_RUINED = math.log(4)  # of perplexity: far beyond all that counts
_DRAWS = 32  # quasi-random draws of what a candidate may turn out to be


@dataclass(frozen=True)
class Goal:
    """What a study trades and demands: objectives by name, constraints on metrics."""

    objectives: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()

    def margin(self, objective: str) -> float | None:
        """Return how far a quality may lie below the baseline's and still count for something, as it is told.

        Twice what a constraint allows to be lost, so that what is just allowed counts by half; without one, as much as
        in a study's hypervolume. None of what is clocked.
        """
        usual = margin(objective)
        kind = is_relative(objective)
        bounds = [
            2 * c.bound
            for c in self.constraints
            if c.metric in LOST and is_relative(c.metric) == kind and c.op in ("<", "<=")
        ]
        if usual is None or objective in ("agreement", "cores") or not bounds or min(bounds) <= 0:
            return usual
        return math.log1p(min(bounds)) if kind else min(bounds)


class Outlook:
    """Beliefs about all metrics that the goal needs, after a history whose first complete trial is the baseline.

    `pending` are candidates that others try at this moment: each counts as if it came out as it is believed to (the
    kriging believer of Ginsbourger, Le Riche and Carraro 2010, "Kriging is well-suited to parallelize optimization").
    """

    def __init__(
        self, goal: Goal, encoder: Encoder, history: Sequence[Seen], pending: Sequence[Item] = ()
    ) -> None:
        self.goal = goal
        self._history, self._encoder = history, encoder
        own = [seen for seen in history if seen.state == "complete" and seen.against is None]
        self.baseline: Metrics = own[0].metrics
        wanted = [*goal.objectives, *(c.metric for c in goal.constraints)]
        self._metrics = list(dict.fromkeys(LOST.get(name, name) for name in wanted))
        feasible = [seen.metrics for seen in own if is_feasible(goal.constraints, seen.metrics)]
        front = self._scaled({m: np.array([_told(f, m) for f in feasible]) for m in goal.objectives})
        self.front = np.concatenate([front[~np.isnan(front).any(axis=-1)], self.believed_points(pending)])

    @cached_property
    def beliefs(self) -> dict[str, Belief | CountedCores]:
        """Return a belief for each metric; losses follow from those of their metrics."""
        return {name: self._learnt(name) for name in self._metrics}

    def believed_points(self, items: Sequence[Item]) -> np.ndarray:
        """Return the points (feasible, objectives) that candidates are believed to be."""
        if not items:
            return np.zeros((0, len(self.goal.objectives)))
        at = self._encoder.encode(items)
        values = {name: belief.of(at)[0] for name, belief in self.beliefs.items()}
        return self._scaled(values)[self._met(values)]

    def _learnt(self, name: str) -> Belief | CountedCores:
        if name == "cores":
            return CountedCores()
        known = [self._told_of(seen, name) for seen in self._history]
        found = sorted((k for k in known if not math.isnan(k.value)), key=lambda k: k.foreign)
        return Belief(name, self._encoder).learn(found)

    def _told_of(self, seen: Seen, name: str) -> Told:
        """Return a trial's value, and how far it may be off; another study's as it lies to its own baseline."""
        value = _told(seen.metrics, name)
        if seen.against is not None:
            value += _told(self.baseline, name) - _told(seen.against, name)
        if is_relative(name):  # how badly a model is ruined says nothing of those that are not
            value = min(value, _told(self.baseline, name) + _RUINED)
        return Told(seen.item, value, _error(seen, name), seen.against is not None)

    def possible(self, at: Coordinates) -> tuple[np.ndarray, np.ndarray]:
        """Return what each candidate may be: losses (n, draws, objectives), and which draws (n, draws) are feasible."""
        draws = _normal(len(self._metrics))
        values = {}
        for name, z in zip(self._metrics, draws, strict=True):
            mean, deviation = self.beliefs[name].of(at)
            values[name] = mean[:, None] + deviation[:, None] * z[None, :]
        return self._scaled(values), self._met(values)

    def hopeful(self, item: Item, known: Metrics, sigmas: float) -> float:
        """Return the gain of a candidate if all that is not `known` of it turns out well: 0 is beyond hope."""
        values = {name: np.array([self._bright(item, known, name, sigmas)]) for name in self._metrics}
        return float((gains(self.front, self._scaled(values)) * self._met(values))[0])

    def _bright(self, item: Item, known: Metrics, name: str, sigmas: float) -> float:
        estimate = known.get(name)
        better = -1 if METRICS[name][1] == "minimize" else 1
        if estimate is not None:
            end = estimate.low if better < 0 else estimate.high
            told = told_value(name, end if end > 0 else estimate.value)
            return math.nan if told is None else told
        mean, deviation = self.believed(name, item)
        return mean + better * sigmas * deviation

    def believed(self, name: str, item: Item) -> tuple[float, float]:
        """Return mean and standard deviation of one candidate's metric, as told."""
        mean, deviation = self.beliefs[name].of(self._encoder.encode([item]))
        return float(mean[0]), float(deviation[0])

    def _scaled(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return told values (…) of the objectives as losses (…, objectives) in the box of the baseline."""
        columns = []
        for name, direction in zip(self.goal.objectives, directions(self.goal.objectives), strict=True):
            base = _told(self.baseline, name)
            loss = (self._of(name, values) - base) * (-1 if direction == "maximize" else 1)
            low, high = box(name, 0.0, self.goal.margin(name))
            columns.append((loss - low) / (high - low))
        return np.stack(columns, axis=-1)

    def _of(self, name: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return a metric as it is told; a loss from its metric, against the baseline's."""
        if name in values:
            return values[name]
        metric = LOST[name]
        lost = values[metric] - _told(self.baseline, metric)
        return lost if METRICS[metric][1] == "minimize" else -lost

    def _met(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return which of the drawn values meet all constraints."""
        shape = next(iter(values.values())).shape
        met = np.ones(shape, dtype=bool)
        for constraint in self.goal.constraints:
            name = constraint.metric
            met &= _within(constraint, untold(name, self._of(name, values)))
        return met


def _within(constraint: Constraint, values: np.ndarray) -> np.ndarray:
    """Say which values meet a constraint; a hair's breadth is no miss, for these went through a model."""
    if constraint.op in ("<", "<="):
        return values <= constraint.bound + 1e-9
    return values >= constraint.bound - 1e-9


def _error(seen: Seen, name: str) -> float:
    """Return how far a value may be off: its interval, of a clock's or of a quality that was given up half way.

    What is judged on all documents is what it is: the front is made of it.
    """
    estimate = seen.metrics.get(name)
    if estimate is None or not estimate.high - estimate.low < OPEN:
        return 0.0
    if not is_clocked(name) and seen.state != "pruned":
        return 0.0
    if is_log(name):
        return math.log(estimate.high / estimate.low) / 4 if estimate.low > 0 else 0.0
    return (estimate.high - estimate.low) / 4


def _told(metrics: Metrics, name: str) -> float:
    estimate = metrics.get(name)
    value = None if estimate is None else told_value(name, estimate.value)
    return math.nan if value is None else value


def _normal(dimensions: int) -> np.ndarray:
    """Return normal quasi-random draws (dimensions, draws): Kronecker's sequence of the generalised golden ratio."""
    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = np.arange(1, _DRAWS + 1)[None, :] * ratio ** -np.arange(1, dimensions + 1)[:, None]
    return np.asarray(ndtri((0.5 + steps) % 1))
