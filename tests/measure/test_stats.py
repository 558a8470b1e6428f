"""Intervals against known values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.measure.stats import geometric, half_width, mean, percentile


def test_geometric_mean_and_interval():
    found = geometric([1.0, 2.0, 4.0])
    assert found.value == pytest.approx(2.0)
    # t(0.975, 2) = 4.3027; sd of logs = ln 2; half = 4.3027 * 0.6931 / sqrt(3) = 1.7219
    assert found.high == pytest.approx(2 * math.exp(1.7219), rel=1e-3)
    assert found.low == pytest.approx(2 / math.exp(1.7219), rel=1e-3)


def test_one_ratio_says_nothing_of_its_spread():
    assert geometric([2.0]).high == math.inf


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=50), st.floats(0.1, 10))
def test_geometric_scales(ratios, factor):
    one, other = geometric(ratios), geometric([factor * r for r in ratios])
    assert other.value == pytest.approx(factor * one.value, rel=1e-6)
    assert half_width(other) == pytest.approx(half_width(one), rel=1e-4, abs=1e-9)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        found = geometric(np.exp(rng.normal(0.0, 0.2, 20)))
        hits += found.low <= 1.0 <= found.high
    assert 0.92 < hits / 400 < 0.98


def test_percentile_needs_samples_and_covers():
    rng = np.random.default_rng(0)
    assert percentile(rng.random(458), 99) is None
    assert percentile([1.0] * 6, 50) is None
    hits = 0
    for _ in range(300):
        found = percentile(rng.random(500), 90)
        hits += found.low <= 0.9 <= found.high
    assert hits / 300 > 0.92


def test_mean():
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2.0
    assert found.high == pytest.approx(2.0 + 4.3027 / math.sqrt(3), rel=1e-3)
