"""Arrivals: when requests come, as MLPerf's server scenario has it: a Poisson process, drawn before the run begins.

Mattson et al. 2020, "MLPerf Inference Benchmark" (arXiv 1911.02549), section IV-A; MLPerf Inference Rules, "Scenarios"
and "LoadGen Operation": latency counts from the moment at which a request was scheduled, however late it was taken up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Moments = NDArray[np.float64]


def schedule(rate: float, count: int, seed: int) -> Moments:
    """Return when each of `count` requests comes (count,), in seconds, at `rate` a second on average.

    The same seed gives the same pattern at every rate, stretched: two runs differ by the rate, not by luck.
    """
    gaps = np.random.Generator(np.random.MT19937(seed)).exponential(size=count)
    return np.cumsum(gaps) / rate


def all_at_once(count: int) -> Moments:
    """Return a schedule by which all requests are there at the beginning: what is answered then is the capacity."""
    return np.zeros(count)
