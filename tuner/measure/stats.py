"""Intervals for what is measured: ratios, percentiles, rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from tuner.metrics import Estimate

#: Samples for a percentile claim at 99 % confidence without a violation: LoadGen's binomial rule (MLPerf inference),
#: the least n with (p / 100)^n <= 1 %.
SAMPLES_NEEDED = {50: 7, 90: 44, 95: 90, 99: 459}


def geometric(ratios: Sequence[float]) -> Estimate:
    """Return the geometric mean of positive ratios with its 95 % t-interval on the logarithms."""
    logs = np.log(np.asarray(ratios, dtype=float))
    centre = float(logs.mean())
    if len(logs) < 2:
        return Estimate(value=math.exp(centre), low=0.0, high=math.inf)
    half = _half(logs)
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half))


def _half(values: np.ndarray) -> float:
    """Return half the width of a mean's 95 % t-interval; `scipy.stats` has it, too, and takes a second to import."""
    return float(special.stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / math.sqrt(len(values)))


def half_width(estimate: Estimate) -> float:
    """Return the larger half of the interval as a share of the value."""
    return max(estimate.high - estimate.value, estimate.value - estimate.low) / estimate.value


def mean(values: Sequence[float]) -> Estimate:
    """Return the arithmetic mean with its 95 % t-interval."""
    array = np.asarray(values, dtype=float)
    centre = float(array.mean())
    if len(array) < 2:
        return Estimate.exact(centre)
    half = _half(array)
    return Estimate(value=centre, low=centre - half, high=centre + half)


def percentile(samples: Sequence[float], which: int) -> Estimate | None:
    """Return a percentile with its 95 % order-statistic interval (binomial), None where the samples are too few."""
    count = len(samples)
    if count < SAMPLES_NEEDED.get(which, 100):
        return None
    ordered = np.sort(np.asarray(samples, dtype=float))
    share = which / 100
    below = special.bdtr(np.arange(count + 1), count, share)  # the binomial's distribution function
    low, high = (int(np.searchsorted(below, quantile)) for quantile in (0.025, 0.975))
    value = float(np.percentile(ordered, which))
    return Estimate(
        value=value,
        low=min(value, float(ordered[max(low - 1, 0)])),
        high=max(value, float(ordered[min(high, count - 1)])),
    )
