"""Trace: what a replayed study found, when, and how much of the table's best front that was."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuner.candidate import Candidate, baseline
from tuner.metrics import Metrics
from tuner.replay.table import Table
from tuner.search.aware.outlook import Goal
from tuner.search.front import Point, losses
from tuner.search.hypervolume import hypervolume
from tuner.search.objective import is_feasible

_ANY = baseline(1, 1)  # the numbers do not ask whose they are
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
    """Shares of a table's best hypervolume, among the points that are feasible.

    The reference point is the baseline's latency (or other clocked metric), as a logarithm, and a quality by the
    goal's margin below the baseline's.
    """

    def __init__(self, table: Table) -> None:
        self._objectives, self._constraints = table.spec.objectives, table.spec.parsed_constraints()
        origin = self._losses(table.baseline.metrics)
        assert origin is not None
        goal = Goal(tuple(self._objectives), tuple(self._constraints))
        shift = [goal.margin(name) or 0.0 for name in self._objectives]
        self.reference = [o + s for o, s in zip(origin, shift, strict=True)]
        found = [row.metrics for row in table.inside if row.failure is None]
        self.best = self._volume([m for m in found if is_feasible(self._constraints, m)])

    def box(self) -> dict[str, float]:
        """Return the reference point by objective, as losses: logarithms, and shares with their sign turned."""
        return dict(zip(self._objectives, self.reference, strict=True))

    def curve(self, trace: Trace) -> list[tuple[float, float]]:
        """Return (virtual seconds, share) after each step that raised the share."""
        share_after, curve = self.follower(), [(0.0, 0.0)]
        for step in trace.steps:
            share = share_after(step)
            if share > curve[-1][1] + 1e-12:
                curve.append((step.seconds, share))
        return curve

    def follower(self) -> Callable[[Step], float]:
        """Return what takes one study's steps, one after the other, and returns the share so far."""
        found: list[Metrics] = []
        share = 0.0

        def follow(step: Step) -> float:
            nonlocal share
            if step.state == "complete" and is_feasible(self._constraints, step.metrics):
                found.append(step.metrics)
                share = self._volume(found) / self.best
            return share

        return follow

    def _volume(self, metrics: Iterable[Metrics]) -> float:
        return hypervolume([one for m in metrics if (one := self._losses(m)) is not None], self.reference)

    def _losses(self, metrics: Metrics) -> tuple[float, ...] | None:
        return losses(Point(0, _ANY, metrics), self._objectives)


def at(curve: Sequence[tuple[float, float]], seconds: Sequence[float]) -> np.ndarray:
    """Return the share that a curve has reached at each of these times."""
    times, shares = zip(*curve, strict=True)
    return np.asarray(shares)[np.searchsorted(times, seconds, side="right") - 1]


def time_to(curve: Sequence[tuple[float, float]], share: float) -> float:
    """Return the virtual seconds until a share was reached, infinity if it never was."""
    return next((seconds for seconds, found in curve if found >= share), math.inf)
