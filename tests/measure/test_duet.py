"""Duet measuring on real artefacts: equal ones are tied, a heavier one is found out, replicas run at once."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tuner.errors import UnsupportedError
from tuner.hardware import this_host
from tuner.measure.client import Serving
from tuner.measure.duet import LONG, Subject, duet
from tuner.measure.performance import measure, measure_together, scenario_plan
from tuner.spec.scenario import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import documents, misbehaving, onnx_artefact

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
    assert same.ratio.low < 1.1 and same.ratio.high > 0.9  # the same artefact: neither side is favoured
    assert more.ratio.low > 1.5  # three times the layers: the whole interval lies above
    assert more.ratio.value > same.ratio.value


def test_a_long_call_begins_when_the_threads_of_the_one_before_are_asleep(light, reference, plan):
    measure(light, 1, 1, reference, plan, precision=0.5, seconds=0.1)  # the reference has its calls
    begin = time.monotonic()
    block = LONG.run([reference], 0)
    assert len(block.samples) == 1 and time.monotonic() - begin - block.samples[0] / 1e3 >= 0.1


def test_what_is_reported(light, reference, plan):
    found = measure(light, 1, 1, reference, plan, **SETTINGS)
    assert found.pairs >= 6
    assert found.p50_ms.low <= found.p50_ms.value <= found.p50_ms.high
    assert found.p90_ms.value >= found.p50_ms.value
    assert found.size_mb == pytest.approx(8 * 192 * 192 * 4 / 1e6, rel=0.2)
    assert found.energy_j is None or found.energy_j.value > 0
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


def test_the_datas_own_lengths_do_not_bias_the_ratio(tmp_path):
    """Times in proportion to the length, most documents short: the ratio is 4 for each of them."""
    lengths = np.where(np.arange(64) % 10 < 7, 10, 110)
    mask = (np.arange(110) < lengths[:, None]).astype(np.int64)
    np.savez(tmp_path / "split.npz", input_ids=mask, attention_mask=mask)
    plan = scenario_plan(tmp_path / "split.npz", Scenario(sequence_length="data"))
    body = "time.sleep({} * inputs['input_ids'].shape[1])"
    fast = misbehaving(tmp_path / "fast", body=body.format(2e-4))
    slow = misbehaving(tmp_path / "slow", body=body.format(8e-4))
    with Serving(fast, 1, CORES[:1]) as reference:
        found = measure(slow, 1, 1, reference, plan, precision=0.05, seconds=8.0)
    assert found.ratio.value == pytest.approx(4.0, rel=0.15)


def measured_beside(tmp_path, plan, body):
    """Measure a subject of 5 ms beside a reference that does as `body` says; calls count from 0."""
    steady = misbehaving(tmp_path / "steady", body="time.sleep(0.005)")
    moody = misbehaving(tmp_path / "moody", load="Session.count = -1", body=f"Session.count += 1; {body}")
    np.savez(tmp_path / "plan.npz", **plan.arrays)
    with Serving(steady, 1, CORES[:1]) as serving, Serving(moody, 1, CORES[:1]) as reference:
        for one in (serving, reference):
            one.plan(tmp_path / "plan.npz")
        subject = Subject([serving])
        duet([subject], reference, precision=0.001, seconds=3.0)
    return subject


def test_quadruples_in_which_the_reference_was_disturbed_are_set_aside(tmp_path, plan):
    # Two calls fill a block, and one comes before them: of eight blocks in a row two are slow.
    subject = measured_beside(tmp_path, plan, "time.sleep(0.06 if Session.count % 24 < 6 else 0.03)")
    assert len(subject.quiet) < len(subject.quadruples)
    assert max(q.clock for q in subject.quiet) < 45 < max(q.clock for q in subject.quadruples)
    assert subject.ratio.value == pytest.approx(5 / 30, rel=0.1)


def test_where_all_are_disturbed_the_least_disturbed_count(tmp_path, plan):
    subject = measured_beside(tmp_path, plan, "time.sleep(0.03 * 1.01 ** (Session.count % 100))")
    assert len(subject.quiet) >= 6
    assert subject.spent >= 3.0


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_replicas_have_cores_of_their_own(tmp_path, reference, plan):
    log = tmp_path / "cores"
    note = f"open({str(log)!r}, 'a').write(f'{{os.sched_getaffinity(0)}}\\n'.replace(' ', ''))"
    where = misbehaving(tmp_path / "a", load=note, body="time.sleep(0.01)")
    measure(where, 1, 2, reference, plan, precision=0.9, seconds=0.5)
    assert sorted(log.read_text().split()) == sorted(f"{{{core}}}" for core in CORES[:2])


def test_more_threads_than_cores_are_refused(light, reference, plan):
    with pytest.raises(UnsupportedError, match="cores"):
        measure(light, len(CORES) + 1, 1, reference, plan, **SETTINGS)
