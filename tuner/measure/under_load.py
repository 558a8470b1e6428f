"""Under load: what a subject's replicas make of the requests that a study's server scenario sends them.

A share of the latency under load is waiting, which grows out of proportion when the machine is slower for a while: it
cannot be put on the study's clock as a bare latency can. So it stands as measured, and the reference is the watchman
alone (see `duet`): a run before or after which it ran slower than of late is made again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tuner.measure.arrivals import all_at_once, schedule
from tuner.measure.client import Serving, run_blocks
from tuner.measure.line import Line
from tuner.measure.load import Limits, Load, run_load
from tuner.measure.rate import Probe, Search
from tuner.measure.slo import PERCENTILE, QUERIES, Slo, percentiles, tolerated
from tuner.metrics import Estimate

QUIET = 1.15  # times the reference's fastest of late: beyond it, somebody else computes
_AGAIN, _IN_ALL = (
    2,
    6,
)  # times that a run is made again for a neighbour's sake, and that all of a subject's are
_HOPELESS = 10  # times the bound that the oldest request may wait: the line only grows
_SHORT = 4  # a probe of the search lasts this part of a whole run's seconds
_BOUNDS = 15  # times the bound that any run lasts: in less, a line that only grows has no time to
_LONGEST = 30.0  # seconds of a probe: no rate is looked for at which enough requests take longer
_CAPACITY, _TRIES = 0.2, 3  # seconds, about, and runs of finding out how much is answered where all wait
_LOOK = 0.05  # seconds of the reference


@dataclass(frozen=True)
class Demand:
    """What the server scenario asks: `rate` requests/s, None for the largest that holds; the bound; how batches wait.

    `seconds` is what a run lasts at least, `seed` that of the schedules.
    """

    rate: float | None
    p99_ms: float
    wait_ms: float = 0.0
    seconds: float = 8.0
    seed: int = 0

    def lasting(self, share: float = 1.0) -> float:
        """Return the seconds of a run, or of a share of one."""
        return max(share * self.seconds, _BOUNDS * self.p99_ms / 1e3)


@dataclass(frozen=True)
class Served:
    """What was found: `metrics` of the run at the demanded or found rate, and what it took to know it.

    `capacity` is requests/s where all wait (None where no rate was looked for). Of each probe, `batch` is the requests
    answered together on average, and each probe's `reference` how slow it was against its fastest.
    """

    metrics: dict[str, Estimate | None]
    capacity: float | None = None
    probes: list[dict[str, Any]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain data, infinity where an interval is open."""
        plain = asdict(self)
        plain["metrics"] = {k: None if v is None else v.model_dump() for k, v in self.metrics.items()}
        return plain


class Ground:
    """Replicas that hold a plan of so many `calls`, answering at most `most` requests together, and the watchman.

    `fastest` is the reference's block of late, in ms.
    """

    def __init__(
        self, servings: Sequence[Serving], calls: int, most: int, reference: Serving, fastest: float
    ) -> None:
        self._servings, self._calls, self._most = servings, calls, most
        self._reference, self._fastest = reference, fastest
        self._left = _IN_ALL

    def warm_up(self) -> None:
        """Answer batches of each size once on each replica: some engines prepare for a shape when they first see it."""
        for serving in self._servings:
            for size in range(1, self._most + 1):
                serving.begin_together([i % self._calls for i in range(size)])
                serving.end_together()

    def capacity(self, at_least: float) -> float:
        """Return how many requests a second are answered where all wait; `at_least` is a first guess."""
        count = max(round(at_least * _CAPACITY), 4 * self._most * len(self._servings))
        arrivals = all_at_once(count)
        runs = [run_load(self._servings, arrivals, Line(self._most), self._calls) for _ in range(_TRIES)]
        return max(at_least, *(run.answered / run.seconds for run in runs))

    def run(
        self, demand: Demand, rate: float, seed: int, seconds: float, limits: Limits
    ) -> tuple[Load, float]:
        """Return a run at a rate, and how slow the reference was beside it; the quietest of a few tries."""
        found: list[tuple[Load, float]] = []
        while True:
            arrivals = schedule(rate, queries(rate, seconds), demand.seed + seed)
            line = Line(self._most, demand.wait_ms / 1e3)
            before = self._clock()
            load = run_load(self._servings, arrivals, line, self._calls, limits)
            found.append((load, max(before, self._clock()) / self._fastest))
            wanted = found[-1][1] > QUIET and load.ended != "overload" and len(found) <= _AGAIN
            if not wanted or not self._left:
                return min(found, key=lambda one: one[1])
            self._left -= 1

    def _clock(self) -> float:
        return statistics.median(run_blocks([self._reference], _LOOK, 2, 0).samples)


def queries(rate: float, seconds: float) -> int:
    """Return how many requests a run has: those of its seconds, and enough for the percentile."""
    return max(QUERIES, round(rate * seconds))


def under_load(ground: Ground, demand: Demand, throughput: float) -> Served:
    """Measure at the demanded rate, or find the largest; `throughput` is what was answered a second, one at a time.

    Raises:
        JobError: a replica failed.
    """
    ground.warm_up()
    return _at_a_rate(ground, demand, demand.rate) if demand.rate else _largest(ground, demand, throughput)


def _at_a_rate(ground: Ground, demand: Demand, rate: float) -> Served:
    limits = Limits(demand.p99_ms, longest_ms=_HOPELESS * demand.p99_ms)
    load, slow = ground.run(demand, rate, 0, demand.lasting(), limits)
    probe = _probe(rate, 0, load, slow, Slo(demand.p99_ms))
    return Served(_latencies(load), None, [asdict(probe)], load.latencies_ms)


def _largest(ground: Ground, demand: Demand, throughput: float) -> Served:
    slo, capacity, runs = Slo(demand.p99_ms), ground.capacity(throughput), dict[tuple[float, int], Load]()

    def run(rate: float, seed: int) -> Probe:
        seconds = demand.lasting(1 / _SHORT)
        late = tolerated(queries(rate, seconds))
        limits = Limits(demand.p99_ms, late, _HOPELESS * demand.p99_ms)
        load, slow = ground.run(demand, rate, seed, seconds, limits)
        runs[rate, seed] = load
        return _probe(rate, seed, load, slow, slo)

    found = Search(run, capacity, QUERIES / _LONGEST).found()
    probes = [asdict(probe) for probe in found.probes]
    if found.rate is None:
        return Served(_unheld(found.probes, runs, slo), capacity, probes)
    held = [runs[p.rate, p.seed] for p in found.probes if p.rate == found.rate.value and p.held]
    pooled = [latency for load in held for latency in load.latencies_ms]
    return Served({"server_rate": found.rate, **percentiles(pooled, True)}, capacity, probes, pooled)


def _unheld(
    probes: Sequence[Probe], runs: Mapping[tuple[float, int], Load], slo: Slo
) -> dict[str, Estimate | None]:
    """Return what is known where the bound holds at no rate: that it is missed, and at how low a rate that was seen."""
    least = min(probes, key=lambda probe: (probe.held, probe.rate))
    ordered = sorted(runs[least.rate, least.seed].latencies_ms)
    slow = min(
        slo.late(ordered), tolerated(QUERIES) + 1
    )  # so many are over the bound, whoever had come after
    seen = ordered[-max(slow, 1)]
    return {
        "server_rate": Estimate(value=least.rate, low=0.0, high=least.rate),
        "server_p99_ms": Estimate(value=seen, low=seen, high=math.inf),
    }


def _latencies(load: Load) -> dict[str, Estimate | None]:
    return dict(percentiles(load.latencies_ms, load.whole))


def _probe(rate: float, seed: int, load: Load, slow: float, slo: Slo) -> Probe:
    late = slo.late(load.latencies_ms)
    return Probe(
        rate=rate,
        seed=seed,
        held=load.whole and late <= tolerated(load.answered),
        p99_ms=float(np.percentile(load.latencies_ms, PERCENTILE)) if load.latencies_ms else 0.0,
        answers=load.answered,
        late=late,
        ended=load.ended,
        seconds=load.seconds,
        details={"batch": load.batch, "late_ms": load.late_ms, "reference": slow},
    )
