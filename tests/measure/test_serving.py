"""Serving children: real ones that answer, crash, raise, hang, and die with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tuner.errors import JobError
from tuner.hardware import this_host
from tuner.measure import client
from tuner.measure.client import Serving, ServingLimits, run_blocks
from tuner.measure.performance import Plan, scenario_plan
from tuner.spec.scenario import Scenario

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import documents, misbehaving, onnx_artefact

CORES = this_host().cores
CALL = {"input_ids.0": np.ones((1, 8), dtype=np.int64), "attention_mask.0": np.ones((1, 8), dtype=np.int64)}


def planned(serving, tmp_path, arrays=CALL):
    np.savez(tmp_path / "plan.npz", **arrays)
    serving.plan(tmp_path / "plan.npz")
    return serving


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return onnx_artefact(tmp_path_factory.mktemp("tiny") / "a")


def test_blocks_give_samples_in_ms(tiny, tmp_path):
    with Serving(tiny, 1, CORES[:1]) as serving:
        planned(serving, tmp_path)
        samples, rate, _, answers = run_blocks([serving], 0.05, 3)
        assert answers == len(samples)
    assert len(samples) >= 3
    assert 0 < np.median(samples) < 50
    assert rate == pytest.approx(1e3 / np.mean(samples), rel=0.5)


def test_answers_do_not_depend_on_batch_or_padding(tiny, tmp_path):
    file = documents(tmp_path / "split.npz")
    with Serving(tiny, 1, CORES[:1]) as serving:
        whole, single = serving.predict(file, batch=24), serving.predict(file, batch=1)
    assert whole.shape == (24, 3)
    np.testing.assert_allclose(whole, single, atol=1e-4)


def test_pinned_to_its_cores(tiny):
    with Serving(tiny, 1, CORES[-1:]) as serving:
        assert psutil.Process(serving.pid).cpu_affinity() == list(CORES[-1:])


def test_memory_is_the_childs_own(tiny):
    ballast = bytearray(300_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    with Serving(tiny, 1, CORES[:1]) as serving:
        found = serving.memory_mb()
    assert 20 < found < 250  # numpy and onnxruntime, not this process's ballast
    del ballast


def test_what_an_engine_prints_does_not_disturb(tmp_path):
    artefact = misbehaving(tmp_path / "a", body="print('{\"samples\": 1}')", load="print('loading')")
    with Serving(artefact, 1, CORES[:1]) as serving:
        planned(serving, tmp_path)
        assert len(run_blocks([serving], 0.01, 5)[0]) >= 5


def test_an_artefact_that_does_not_load(tmp_path):
    artefact = misbehaving(tmp_path / "a", load="raise RuntimeError('no such operator')")
    with pytest.raises(JobError, match="no such operator") as caught:
        Serving(artefact, 1, CORES[:1])
    assert caught.value.kind == "error"


def test_a_crash_names_its_signal(tmp_path):
    artefact = misbehaving(tmp_path / "a", body="os.kill(os.getpid(), signal.SIGSEGV)")
    with Serving(artefact, 1, CORES[:1]) as serving:
        planned(serving, tmp_path)
        with pytest.raises(JobError, match="SIGSEGV") as caught:
            run_blocks([serving], 0.01, 1)
    assert caught.value.kind == "signal"


def test_an_exception_is_one_line_and_the_child_goes_on(tmp_path):
    artefact = misbehaving(tmp_path / "a", body="raise ValueError('bad input')")
    with Serving(artefact, 1, CORES[:1]) as serving:
        planned(serving, tmp_path)
        with pytest.raises(JobError, match="ValueError: bad input"):
            run_blocks([serving], 0.01, 1)
        assert serving.alive


def test_an_exit_gives_the_last_line_it_wrote(tmp_path):
    artefact = misbehaving(
        tmp_path / "a", load="sys.stderr.write('no licence\\n'); sys.stderr.flush(); os._exit(3)"
    )
    with pytest.raises(JobError, match="exited with 3: no licence") as caught:
        Serving(artefact, 1, CORES[:1])
    assert caught.value.kind == "error"
    assert caught.value.log_tail == "no licence"


@pytest.mark.parametrize("error", ["MemoryError()", "RuntimeError('std::bad_alloc')"])
def test_want_of_memory_has_its_own_kind(tmp_path, error):
    artefact = misbehaving(tmp_path / "a", load=f"raise {error}")
    with pytest.raises(JobError) as caught:
        Serving(artefact, 1, CORES[:1])
    assert caught.value.kind == "out-of-memory"


def test_a_child_over_its_memory_ends(tmp_path):
    artefact = misbehaving(
        tmp_path / "a", load="held = bytearray(400_000_000); held[::4096] = b'x' * 97657; time.sleep(30)"
    )
    with pytest.raises(JobError, match="limit 300 MB") as caught:
        Serving(artefact, 1, CORES[:1], ServingLimits(memory_mb=300))
    assert caught.value.kind == "out-of-memory"


def test_a_child_over_its_time_ends(tmp_path):
    artefact = misbehaving(tmp_path / "a", load="time.sleep(30)")
    with pytest.raises(JobError, match="no answer in 1 s") as caught:
        Serving(artefact, 1, CORES[:1], ServingLimits(seconds=1))
    assert caught.value.kind == "time-limit"


def test_killed_from_outside(tiny, tmp_path):
    with Serving(tiny, 1, CORES[:1]) as serving:
        planned(serving, tmp_path)
        serving.begin_block(30.0, 1)
        os.kill(serving.pid, signal.SIGKILL)
        with pytest.raises(JobError, match="SIGKILL") as caught:
            serving.end_block()
        assert not serving.alive
    assert caught.value.kind == "signal"


def test_a_terminals_interrupt_does_not_reach_it(tiny):
    with Serving(tiny, 1, CORES[:1]) as serving:
        assert os.getpgid(serving.pid) == serving.pid


def test_closing_leaves_no_child(tiny):
    with Serving(tiny, 1, CORES[:1]) as serving:
        pid = serving.pid
    assert not psutil.pid_exists(pid)


def test_a_hang_ends_at_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_BLOCK", 0.5)
    artefact = misbehaving(tmp_path / "a", body="time.sleep(60)")
    with Serving(artefact, 1, CORES[:1]) as serving:
        planned(serving, tmp_path)
        with pytest.raises(JobError) as caught:
            run_blocks([serving], 0.01, 1)
    assert caught.value.kind == "time-limit"


def test_it_dies_with_its_parent(tiny):
    script = f"""
import time
from pathlib import Path
from tuner.measure.client import Serving
serving = Serving(Path({str(tiny)!r}), 1, [{CORES[0]}])
print(serving.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_plan_of_a_fixed_length_has_no_padding(tmp_path):
    plan = scenario_plan(documents(tmp_path / "split.npz"), Scenario(batch=2, sequence_length=16))
    assert isinstance(plan, Plan)
    assert plan.arrays["input_ids.0"].shape == (2, 16)
    assert plan.arrays["attention_mask.3"].all()


def test_plan_of_the_datas_own_lengths(tmp_path):
    file = documents(tmp_path / "split.npz")
    plan = scenario_plan(file, Scenario(sequence_length="data"))
    with np.load(file) as stored:
        lengths = stored["attention_mask"].sum(axis=1)
    found = [plan.arrays[f"input_ids.{i}"].shape[1] for i in range(64)]
    assert sorted(found) == sorted(np.resize(lengths, 64).tolist())


def test_each_cycle_of_the_datas_own_lengths_is_like_the_next(tmp_path):
    plan = scenario_plan(documents(tmp_path / "split.npz", length=120), Scenario(sequence_length="data"))
    lengths = np.array([plan.arrays[f"input_ids.{i}"].shape[1] for i in range(64)])
    medians = np.median(lengths.reshape(-1, plan.cycle), axis=1)
    assert plan.cycle == 8
    assert np.ptp(medians) < 0.15 * np.ptp(lengths)


def test_large_batches_need_no_cycle(tmp_path):
    file = documents(tmp_path / "split.npz")
    assert scenario_plan(file, Scenario(batch=4, sequence_length="data")).cycle == 2
    assert scenario_plan(file, Scenario(batch=32, sequence_length="data")).cycle == 1


def test_a_block_is_of_whole_cycles(tiny, tmp_path):
    plan = scenario_plan(documents(tmp_path / "split.npz"), Scenario(sequence_length="data"))
    np.savez(tmp_path / "plan.npz", **plan.arrays)
    with Serving(tiny, 1, CORES[:1]) as serving:
        serving.plan(tmp_path / "plan.npz", plan.cycle)
        samples, *_ = run_blocks([serving], 0.0, 3, 0)
    assert len(samples) == plan.cycle


def test_offline_puts_documents_of_like_length_together(tmp_path):
    """Nobody waits for any one of them: less of a call is padding than where they come as they come."""
    file = documents(tmp_path / "split.npz", length=120)
    padding = {}
    for mode in ("single-stream", "offline"):
        plan = scenario_plan(file, Scenario(mode=mode, batch=8, sequence_length="data"))
        masks = [array for name, array in plan.arrays.items() if name.startswith("attention_mask")]
        padding[mode] = 1 - sum(m.sum() for m in masks) / sum(m.size for m in masks)
    assert padding["offline"] < 0.5 * padding["single-stream"]
