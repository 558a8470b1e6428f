"""Costs: from a price an hour and a rate, and on the clock as rates are."""

import pytest

from tuner.metrics import Estimate
from tuner.pipeline.metrics import costs, on_clock, trial_metrics


def around(value):
    return Estimate(value=value, low=0.9 * value, high=1.25 * value)


MEASURED = {
    "ratio": around(0.5).model_dump(), "reference_ms": 10.0, "throughput": around(200.0).model_dump(),
    **dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "energy_j")), "memory_mb": 1.0, "size_mb": 1.0,
}  # fmt: skip


def test_a_million_requests_cost_the_hours_that_they_take():
    found = costs({"throughput": around(100.0)}, price=0.36)["cost_per_million"]
    assert found.value == pytest.approx(1.0)  # ten thousand seconds at 0.0001
    assert (found.low, found.high) == pytest.approx((1 / 1.25, 1 / 0.9))


def test_a_server_is_paid_for_what_it_holds_not_for_what_it_could_do_at_full_load():
    held = costs({"throughput": around(100.0), "server_rate": around(50.0)}, price=0.36)
    assert held["cost_per_million"].value == pytest.approx(2.0)


def test_tokens_are_those_of_answers():
    found = costs({"throughput": around(2.0), "tokens_per_s": around(128.0)}, price=0.36)
    assert found["cost_per_million"].value == pytest.approx(64 * found["cost_per_million_tokens"].value)
    assert found["cost_per_million_tokens"].value == pytest.approx(0.36 / 3600 / 128 * 1e6)


def test_without_a_price_or_a_rate_nothing_is_known():
    assert "cost_per_million" not in trial_metrics(MEASURED, {}, 10.0)
    assert costs({"throughput": None, "latency_ms": around(1.0)}, price=1.0) == {}


def test_costs_move_with_the_clock():
    found = trial_metrics(MEASURED, {}, 10.0, price=0.36)
    moved = on_clock(
        found, Estimate(**MEASURED["ratio"]), 12.0
    )  # the baseline turned out to take a fifth longer
    assert moved["throughput"].value == pytest.approx(found["throughput"].value / 1.2)
    assert moved["cost_per_million"].value == pytest.approx(1.2 * found["cost_per_million"].value)
    assert moved["cost_per_million"].value == pytest.approx(costs(moved, 0.36)["cost_per_million"].value)
    assert moved["energy_j"] is None
