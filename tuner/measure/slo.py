"""SLO: a bound on a percentile of latency, and what so many answers say about it.

LoadGen's early stopping (mlcommons/inference, loadgen/early_stopping.cc; MLPerf Inference Rules, appendix "Early
Stopping Criterion"): of n answers t may be over the bound if, were the true share of those over it 1 - p, so few would
be seen in at most 1 % of all runs: the sum of the binomial up to t is at most 0.01. For p = 99 % that takes 459 answers
without one over the bound, 662 with one. Few answers are so held to a stricter percentile than many.

With few answers nearly none may be late, and on a shared machine one always is: so a search for a rate tolerates 1 % in
each of its short runs, and what it found has to pass the rule in all runs at that rate together.

The rule takes answers for independent. In a line they are not: a burst delays its neighbours together, and an interval
of one run is rather too narrow. So a rate that was found is run again, on other schedules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tuner.measure.stats import SAMPLES_NEEDED, percentile
from tuner.metrics import Estimate

PERCENTILE = 99
QUERIES = SAMPLES_NEEDED[PERCENTILE]  # the fewest answers that can hold it
_DOUBT = 0.01


@dataclass(frozen=True)
class Slo:
    """The 99th percentile of latency is at most `bound_ms`."""

    bound_ms: float

    def late(self, latencies_ms: Sequence[float]) -> int:
        """Return how many answers are over the bound."""
        return sum(latency > self.bound_ms for latency in latencies_ms)


def tolerated(count: int) -> int:
    """Return how many of so many answers may be late where their own percentile is to hold."""
    return count * (100 - PERCENTILE) // 100


def allowed(count: int) -> int:
    """Return how many of so many answers may be late for the bound to hold at 99 % confidence, -1: too few answers."""
    most = int(stats.binom.ppf(_DOUBT, count, 1 - PERCENTILE / 100))
    while most >= 0 and stats.binom.cdf(most, count, 1 - PERCENTILE / 100) > _DOUBT:
        most -= 1
    return most


def percentiles(latencies_ms: Sequence[float], whole: bool) -> dict[str, Estimate]:
    """Return median, 90th and 99th percentile with 95 % order-statistic intervals.

    Where a run did not end by itself the latencies include those of requests that still waited, by their age: what is
    seen then is the least that it can be, and the interval is open.
    """
    found: dict[str, Estimate] = {}
    for which in (50, 90, PERCENTILE):
        estimate = percentile(latencies_ms, which) if whole else None
        value = estimate or Estimate.exact(float(np.percentile(latencies_ms, which)))
        found[f"server_p{which}_ms"] = value if whole else value.model_copy(update={"high": math.inf})
    return found
