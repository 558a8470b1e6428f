"""Duet measuring on real artefacts: equal ones are tied, a heavier one is found out, replicas run at once."""

import sys
from pathlib import Path

import pytest

from tuner.errors import UnsupportedError
from tuner.hardware import this_host
from tuner.measure.client import Serving
from tuner.measure.performance import measure, measure_together, scenario_plan
from tuner.spec.model import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import documents, onnx_artefact

CORES = this_host().cores
SETTINGS = {"precision": 0.03, "seconds": 3.0}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    file = documents(tmp_path_factory.mktemp("data") / "split.npz")
    return scenario_plan(file, Scenario(batch=1, sequence_length=64))


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    return onnx_artefact(tmp_path_factory.mktemp("light") / "a", layers=8, width=192)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    return onnx_artefact(tmp_path_factory.mktemp("heavy") / "a", layers=24, width=192)


@pytest.fixture(scope="module")
def reference(light):
    with Serving(light, 1, CORES[:1]) as serving:
        yield serving


def test_equal_and_heavier_artefacts_in_one_run(light, heavy, reference, plan):
    same, more = measure_together([(light, 1, 1), (heavy, 1, 1)], reference, plan, **SETTINGS)
    assert 0.75 < same.ratio.value < 1.33
    assert more.ratio.low > 1.5  # three times the layers: the whole interval lies above
    assert more.ratio.value > same.ratio.value


def test_what_is_reported(light, reference, plan):
    found = measure(light, 1, 1, reference, plan, **SETTINGS)
    assert found.pairs >= 8
    assert found.p50_ms.low <= found.p50_ms.value <= found.p50_ms.high
    assert found.p90_ms.value >= found.p50_ms.value
    assert found.size_mb == pytest.approx(8 * 192 * 192 * 4 / 1e6, rel=0.2)
    assert found.energy_j is None or found.energy_j > 0
    plain = found.to_json()
    assert plain["ratio"]["low"] < plain["ratio"]["high"]
    assert len(plain["samples"]) == len(found.samples)


def test_too_few_samples_give_no_percentile(heavy, reference, plan):
    found = measure(heavy, 1, 1, reference, plan, precision=0.9, seconds=0.1)
    assert len(found.samples) < 459
    assert found.p99_ms is None


def test_a_wanted_percentile_gets_its_samples(light, reference, plan):
    found = measure(light, 1, 1, reference, plan, precision=0.5, seconds=10.0, percentiles=(99,))
    assert len(found.samples) >= 459
    assert found.p99_ms is not None


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_replicas_add_throughput_and_memory(light, reference, plan):
    one, two = measure_together([(light, 1, 1), (light, 1, 2)], reference, plan, **SETTINGS)
    assert two.memory_mb > 1.7 * one.memory_mb
    assert two.throughput.value > 1.1 * one.throughput.value


def test_more_threads_than_cores_are_refused(light, reference, plan):
    with pytest.raises(UnsupportedError, match="cores"):
        measure(light, len(CORES) + 1, 1, reference, plan, **SETTINGS)
