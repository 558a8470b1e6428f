"""Trace: what a replayed study found, when, and how much of the table's best front that was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuner.candidate import Candidate, baseline
from tuner.metrics import Metrics
from tuner.replay.table import Table
from tuner.search.front import Point, normalised_hypervolume
from tuner.search.objective import is_feasible

State = Literal["complete", "failed", "pruned"]


@dataclass(frozen=True)
class Step:
    """A candidate's end at `seconds` of virtual time; of what was pruned only some metrics are known."""

    seconds: float
    candidate: Candidate
    state: State
    metrics: Metrics
    reason: str = ""


@dataclass(frozen=True)
class Trace:
    """The steps of one replayed study, in the order of their ends."""

    steps: Sequence[Step]
    spent: float

    def hashes(self) -> list[str]:
        """Return the candidates in order."""
        return [step.candidate.hash for step in self.steps]


class Yardstick:
    """Shares of a table's best hypervolume.

    The box is that of `normalised_hypervolume`: the reference point is the baseline's latency, on a logarithmic scale
    that reaches to 100 times faster, and a metric `MARGIN` below the baseline's. Only feasible points count.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._objectives, self._constraints = table.spec.objectives, table.spec.parsed_constraints()
        found = [row.metrics for row in table.inside if row.failure is None]
        first = table.rows[baseline(table.space.teacher_layers, table.space.cores).hash]
        self._baseline = Point(0, first.candidate, first.metrics)
        self.best = self._volume(found)

    def curve(self, trace: Trace) -> list[tuple[float, float]]:
        """Return (virtual seconds, share) after each step that raised the share."""
        found: list[Metrics] = []
        curve = [(0.0, 0.0)]
        for step in trace.steps:
            if step.state != "complete" or not is_feasible(self._constraints, step.metrics):
                continue
            found.append(step.metrics)
            share = self._volume(found) / self.best
            if share > curve[-1][1] + 1e-12:
                curve.append((step.seconds, share))
        return curve

    def _volume(self, metrics: Iterable[Metrics]) -> float:
        points = [
            Point(i, self._baseline.candidate, m, is_feasible(self._constraints, m))
            for i, m in enumerate(metrics)
        ]
        return normalised_hypervolume(points, self._objectives, self._baseline)


def at(curve: Sequence[tuple[float, float]], seconds: Sequence[float]) -> np.ndarray:
    """Return the share that a curve has reached at each of these times."""
    times, shares = zip(*curve, strict=True)
    return np.asarray(shares)[np.searchsorted(times, seconds, side="right") - 1]


def time_to(curve: Sequence[tuple[float, float]], share: float) -> float:
    """Return the virtual seconds until a share was reached, infinity if it never was."""
    return next((seconds for seconds, found in curve if found >= share), math.inf)
