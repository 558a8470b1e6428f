"""Rate: the largest one at which a bound on latency still holds, found by bisection.

MLPerf Inference Rules, "LoadGen Operation", server scenario: a binary search finds a candidate rate, which is verified
by further runs; if one fails, the rate is lowered by a little. Between a rate that held and one that did not, runs near
the bound are luck as well: a miss is believed only when another schedule misses too, and what was found has to hold
again on schedules that the search has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tuner.measure.slo import allowed
from tuner.metrics import Estimate

_FIRST = 0.7  # of the ceiling: about where a single server's 99th percentile leaves its plateau
_VERIFIED, _MOST = 3, 5  # runs at a found rate: that have to hold, and that are made for it at most
_LOWERED = 4  # times that it is lowered, each time by twice as much, before the search gives up
_RAISED = 1.5  # times the ceiling, where everything below it held


@dataclass(frozen=True)
class Probe:
    """One run at a rate (requests/s): whether the bound held, the percentile (ms), and what the run was like.

    `late` of the `answers` were over the bound. `ended` says why: whole, over (too many were late for the rest to
    help), or overload (the line only grew).
    """

    rate: float
    seed: int
    held: bool
    p99_ms: float
    answers: int
    late: int
    ended: str
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a search found; `rate` None where the bound held at no rate that is worth speaking of."""

    rate: Estimate | None
    probes: Sequence[Probe]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        rate = None if self.rate is None else self.rate.model_dump()
        return {"rate": rate, "probes": [asdict(probe) for probe in self.probes]}


Run = Callable[[float, int], Probe]


class Search:
    """Looks for the largest rate between `floor` and `ceiling` (requests/s), to within a `step` of itself.

    The ceiling is what is answered where all wait: no rate above it holds for long. `run` makes a probe with a seed.
    """

    def __init__(self, run: Run, ceiling: float, floor: float, step: float = 0.05) -> None:
        self._run, self._ceiling, self._floor, self._step = run, max(ceiling, floor), floor, step
        self._highest = 4 * self._ceiling  # beyond it, the ceiling was no mistake of a disturbed moment
        self._probes: list[Probe] = []

    def found(self) -> Found:
        """Return the largest rate that held in the search and again afterwards, and all probes.

        The interval goes from the largest rate at and below which every run held to the smallest at and above which
        none did; the value lies at or above its lower end.
        """
        low, high = self._bisected(0.0, self._ceiling)
        while all(probe.held for probe in self._probes) and self._probes and high < self._highest:
            low, high = self._bisected(low, _RAISED * high)
        rate = self._verified(low) if low else None
        return Found(None if rate is None else self._estimate(rate, high), self._probes)

    def _bisected(self, low: float, high: float) -> tuple[float, float]:
        middle = max(_FIRST * high, min(self._floor, high), low)
        while middle >= self._floor and high - low > self._step * high:
            if self._holds(middle):
                low = middle
            else:
                high = middle
            middle = (low + high) / 2
        return low, high

    def _holds(self, rate: float) -> bool:
        """Say whether the bound holds at a rate, at the second try if need be; a line that only grows gets none."""
        first = self._probe(rate, 0)
        return first.held or (first.ended != "overload" and self._probe(rate, 1).held)

    def _verified(self, rate: float) -> float | None:
        """Return the rate, lowered until it holds again."""
        for again in range(_LOWERED):
            if self._holds_again(rate):
                return rate
            rate *= 1 - self._step * 2**again
            if rate < self._floor:
                return None
        return None

    def _holds_again(self, rate: float) -> bool:
        """Say whether a rate holds in so many runs, of which one may miss, and in all whole ones together."""
        runs = [probe for probe in self._probes if probe.rate == rate]
        while len(runs) < _MOST and sum(not run.held for run in runs) < 2:
            whole = [run for run in runs if run.ended == "whole"]
            late, answers = sum(run.late for run in whole), sum(run.answers for run in whole)
            if sum(run.held for run in runs) >= _VERIFIED and late <= allowed(answers):
                return True
            runs.append(self._probe(rate, len(runs)))
        return False

    def _probe(self, rate: float, seed: int) -> Probe:
        self._probes.append(self._run(rate, seed))
        return self._probes[-1]

    def _estimate(self, rate: float, high: float) -> Estimate:
        missed = [probe.rate for probe in self._probes if not probe.held]
        held = [probe.rate for probe in self._probes if probe.held]
        sure = [r for r in held if r <= rate and r < min(missed, default=high)]
        hopeless = min((r for r in missed if r > max(held)), default=high)
        return Estimate(value=rate, low=max(sure, default=min(held + missed)), high=max(hopeless, rate))
