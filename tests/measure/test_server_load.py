"""The server scenario on real serving children: open-loop latencies, batches, overload, and a rate that is found."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tuner.errors import JobError
from tuner.hardware import this_host
from tuner.measure.arrivals import all_at_once, schedule
from tuner.measure.client import Serving
from tuner.measure.line import Line
from tuner.measure.load import Limits, run_load
from tuner.measure.performance import Placed, measure_together, scenario_plan
from tuner.measure.under_load import Demand
from tuner.pipeline.metrics import trial_metrics
from tuner.spec.scenario import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import documents, misbehaving, onnx_artefact

CORES = this_host().cores
SERVER = {"mode": "server", "p99_ms": 500.0, "sequence_length": "data"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return onnx_artefact(tmp_path_factory.mktemp("tiny") / "a")


@pytest.fixture
def plan(tmp_path):
    return scenario_plan(documents(tmp_path / "split.npz"), Scenario(rate=50, **SERVER))


def planned(serving, plan, tmp_path):
    np.savez(tmp_path / "plan.npz", **plan.arrays)
    serving.plan(tmp_path / "plan.npz")
    return serving


def test_latency_counts_from_the_scheduled_arrival(tmp_path, plan):
    """All come at once and each takes 30 ms: the last one has waited for all the others."""
    slow = misbehaving(tmp_path / "slow", body="time.sleep(0.03)")
    with Serving(slow, 1, CORES[:1]) as serving:
        load = run_load([planned(serving, plan, tmp_path)], all_at_once(8), Line(), plan.calls)
    assert load.whole
    assert load.latencies_ms[0] >= 30
    assert np.all(np.diff(load.latencies_ms) >= 29)
    assert load.latencies_ms[-1] >= 240


def test_an_idle_server_answers_at_once(tmp_path, plan):
    body = "time.sleep(0.005)"
    with Serving(misbehaving(tmp_path / "quick", body=body), 1, CORES[:1]) as serving:
        planned(serving, plan, tmp_path)
        load = run_load([serving], schedule(20.0, 20, seed=0), Line(), plan.calls)
    assert load.answered == 20
    assert 5 <= np.median(load.latencies_ms) < 20
    assert load.seconds == pytest.approx(1.0, abs=0.6)


def test_requests_that_wait_are_answered_together(tmp_path, plan):
    slow = misbehaving(tmp_path / "slow", body="time.sleep(0.02)")
    with Serving(slow, 1, CORES[:1]) as serving:
        planned(serving, plan, tmp_path)
        single = run_load([serving], all_at_once(16), Line(1), plan.calls)
        together = run_load([serving], all_at_once(16), Line(8), plan.calls)
    assert (single.batch, together.batch) == (1.0, 8.0)
    assert together.seconds < 0.5 * single.seconds


def test_batched_answers_are_padded_to_the_longest(tmp_path, plan, tiny):
    """A session that checks what it is given: as many rows as requests, masks that end where each document does."""
    body = """rows, mask = inputs["input_ids"], inputs["attention_mask"]
        assert rows.shape == mask.shape and rows.shape[0] == 5, rows.shape
        assert (rows[mask == 0] == 0).all() and mask.sum(axis=1).max() == mask.shape[1]
        assert len(set(mask.sum(axis=1))) > 1"""
    with Serving(misbehaving(tmp_path / "checking", body=body), 1, CORES[:1]) as serving:
        load = run_load([planned(serving, plan, tmp_path)], all_at_once(5), Line(8), plan.calls)
    assert load.answered == 5


def test_two_replicas_answer_twice_as_much(tmp_path, plan):
    slow = misbehaving(tmp_path / "slow", body="time.sleep(0.03)")
    with Serving(slow, 1, CORES[:1]) as one, Serving(slow, 1, CORES[-1:]) as other:
        servings = [planned(serving, plan, tmp_path) for serving in (one, other)]
        load = run_load(servings, all_at_once(12), Line(), plan.calls)
    assert load.latencies_ms[-1] < 0.75 * 12 * 30


def test_a_line_that_only_grows_ends_early(tmp_path, plan):
    """A hundred a second for ten seconds, each of which takes 50 ms: given up long before."""
    slow = misbehaving(tmp_path / "slow", body="time.sleep(0.05)")
    with Serving(slow, 1, CORES[:1]) as serving:
        planned(serving, plan, tmp_path)
        arrivals, begin = schedule(100.0, 1000, seed=0), time.monotonic()
        load = run_load([serving], arrivals, Line(), plan.calls, Limits(60.0, longest_ms=600.0))
        overload = time.monotonic() - begin
        late = run_load([serving], arrivals, Line(), plan.calls, Limits(60.0, allowed=10, longest_ms=600.0))
        again = run_load([serving], all_at_once(1), Line(), plan.calls)  # nothing is left over of it
    assert load.ended == "overload"
    assert overload < 2.5
    assert max(load.latencies_ms) >= 600
    assert late.ended == "over"
    assert late.seconds < load.seconds
    assert again.answered == 1


def test_a_replica_that_dies_ends_the_run(tiny, plan, tmp_path):
    with Serving(tiny, 1, CORES[:1]) as serving:
        planned(serving, plan, tmp_path)
        killer = threading.Timer(0.3, os.kill, (serving.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(JobError, match="SIGKILL"):
            run_load([serving], schedule(100.0, 1000, seed=0), Line(), plan.calls)


def test_a_subject_under_a_demanded_rate(tiny, tmp_path):
    demand = Demand(200.0, 100.0, seconds=1.0)
    plan = scenario_plan(documents(tmp_path / "split.npz"), Scenario(rate=200, **SERVER), demand)
    with Serving(tiny, 1, CORES[:1]) as reference:
        placed = [Placed(tiny, 1, 1, max_batch=4)]
        (found,) = measure_together(placed, reference, plan, precision=0.2, seconds=0.5)
    metrics = trial_metrics(found.to_json(), {}, found.reference_ms)
    assert 0 < metrics["server_p50_ms"].value <= metrics["server_p99_ms"].value < 500
    assert metrics["server_p50_ms"].value > 0.5 * metrics["latency_ms"].value
    assert metrics["cores"].value == 1
    assert len(found.server.latencies_ms) == 459
    assert found.server.probes[0]["ended"] == "whole"


def test_the_largest_rate_is_found_and_holds(tmp_path):
    """A real child that takes 1 ms for each request: some 800 a second, of which a bound leaves a part."""
    steady = misbehaving(tmp_path / "steady", body="time.sleep(0.001 * len(inputs['input_ids']))")
    demand = Demand(None, 60.0, seconds=2.0)
    split = documents(tmp_path / "split.npz")
    plan = scenario_plan(split, Scenario(rate="max", **{**SERVER, "p99_ms": 60.0}), demand)
    with Serving(steady, 1, CORES[:1]) as reference:
        (found,) = measure_together([Placed(steady, 1, 1)], reference, plan, precision=0.2, seconds=0.5)
    rate = found.server.metrics["server_rate"]
    assert rate.low <= rate.value <= rate.high
    assert 30 < rate.value < 1001
    assert found.server.metrics["server_p99_ms"].value <= 60
    assert sum(probe["rate"] == rate.value and probe["held"] for probe in found.server.probes) >= 3


def test_a_bound_below_the_service_holds_at_no_rate(tmp_path):
    slow = misbehaving(tmp_path / "slow", body="time.sleep(0.008)")
    demand = Demand(None, 5.0, seconds=1.0)
    plan = scenario_plan(
        documents(tmp_path / "split.npz"), Scenario(rate="max", **{**SERVER, "p99_ms": 5}), demand
    )
    with Serving(slow, 1, CORES[:1]) as reference:
        (found,) = measure_together([Placed(slow, 1, 1)], reference, plan, precision=0.5, seconds=0.3)
    assert found.server.metrics["server_rate"].low == 0
    assert found.server.metrics["server_p99_ms"].value > 5
