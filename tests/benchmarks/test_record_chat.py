"""A tiny real table of a chat model: recorded on one core, replayed, searched."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from benchmarks.record import record
from benchmarks.recording.journal import Journal
from tests.tiny_chat import WORDS, checkpoint
from tuner.hardware import this_host
from tuner.replay.aware import replay_aware
from tuner.replay.evaluate import Evaluator
from tuner.replay.ledger import Ledger
from tuner.replay.noise import redrawn
from tuner.replay.study import replay
from tuner.replay.table import read
from tuner.search.aware.options import Options
from tuner.spec.load import load_spec

pytestmark = pytest.mark.slow  # a minute; that of classifiers (`test_record.py`) is among the quick ones

STUDY = """
name: tiny-chat
task: text-generation
model: {source: model, max_length: 32}
data: {source: data}
constraints: [agreement >= 0.01]
scenario: {prompt_tokens: 72, new_tokens: 4}
asked: {documents: 2, prompts: 2, new_tokens: 4, questions: 0}
axes:
  distillation: {student_layers: [2, 3]}
  pruning: {heads: [0.0], ffn: [0.0]}
  quantization: {bits: [32, 16]}
  parallel: {threads: [1], replicas: [1]}
  backend: {engines: [torch], fixed_shape: [false]}
recover: {steps: 2, batch_size: 2, calibration_samples: 8, temperature: 1.0}
budget: {trials: 4}
measure: {seconds: 0.3}
"""
TRIALS, UNTRAINED = 4, 2


@pytest.fixture(scope="module")
def one_core():
    """Give the study one core: two threads on a busy machine wait for each other more than they compute."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    this_host.cache_clear()
    yield
    os.sched_setaffinity(0, cores)
    this_host.cache_clear()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, one_core):
    """The folder of a table."""
    folder = tmp_path_factory.mktemp("recorded")
    checkpoint(folder / "model", num_hidden_layers=3)
    _write_texts(folder / "data")
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_HOME", str(folder / "home"))
        patch.setenv("TUNER_QUIET", str(folder / "quiet"))
        spec = load_spec(folder / "study.yaml")
        assert record(spec, folder, minutes=30) == (TRIALS + UNTRAINED,) * 2
    return folder


def _write_texts(folder):
    rng, words = random.Random(0), WORDS[0].split()
    for number in range(20):
        file = folder / "ab"[number % 2] / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(" ".join(rng.choice(words) for _ in range(60)))


@pytest.fixture(scope="module")
def table(recorded):
    return read(recorded / "tiny-chat.parquet")


def test_what_was_made_is_shared(recorded):
    rows = Journal(recorded / "tiny-chat.jsonl").rows
    assert all(row["state"] == "complete" for row in rows), [row["failure"] for row in rows]
    made = [stage["key"] for row in rows for stage in row["stages"] if not stage["hit"]]
    assert len(made) == len(set(made))
    assert sum(stage["name"] == "recover" for row in rows for stage in row["stages"]) == 2
    assert rows[0]["stages"][-1]["name"] == "quality"
    first = [stage["name"] for row in rows for stage in row["stages"] if stage["name"] == "asked"]
    assert len(first) == TRIALS  # the baseline's answers, which all are held against


def test_qualities_are_those_of_what_was_counted(table):
    base = table.baseline.counts
    for row in table.rows.values():
        nats = row.counts.nll.sum() / row.counts.tokens.sum()
        assert row.metrics["perplexity"].value == pytest.approx(np.exp(nats))
        more = np.exp(nats - base.nll.sum() / base.tokens.sum()) - 1
        assert row.metrics["perplexity_increase"].value == pytest.approx(more, abs=1e-6)
        share = row.counts.hits.sum() / row.counts.answered.sum()
        assert row.metrics["agreement"].value == pytest.approx(share)
        assert {"ttft_ms", "tpot_ms", "tokens_per_s", "latency_ms"} <= row.metrics.keys()


def test_all_searches_find_all_of_it(table):
    whole = {candidate.hash for candidate in table.space.enumerate()}
    assert len(whole) == TRIALS
    for trace in (replay_aware(table, 0), replay(table, "tpe-grouped", 0)):
        assert set(trace.hashes()) == whole
        assert trace.steps[0].candidate == table.baseline.candidate
        assert all(step.state == "complete" and step.metrics["perplexity"] for step in trace.steps)


def test_a_gate_may_look_first_but_perplexity_is_judged_on_all_texts(table):
    trace = replay_aware(table, 0, options=Options(gate=True, subsets=True, let_through=0.0))
    assert all(step.state == "complete" or "before training" in step.reason for step in trace.steps)
    assert set(trace.hashes()) == {candidate.hash for candidate in table.space.enumerate()}


def test_what_was_measured_untrained_is_found_again(table):
    student = next(row for row in table.rows.values() if row.candidate.distillation.student_layers == 2)
    known = table.untrained[student.candidate.hash]
    found = Evaluator(table, Ledger()).performance(known)
    assert found["ratio"]["value"] == known.ratio.value != student.ratio.value
    assert found["details"]["ttft_ms"]["value"] == known.metrics["ttft_ms"].value


def test_on_another_day_texts_and_clock_are_others(table):
    drawn = [redrawn(table, seed) for seed in range(8)]
    assert len({one.baseline.metrics["perplexity"].value for one in drawn}) > 1
    assert all(one.baseline.metrics["perplexity_increase"].value == 0 for one in drawn)
    key = next(key for key in table.rows if key != table.baseline.candidate.hash)
    assert len({one.rows[key].metrics["latency_ms"].value for one in drawn}) == len(drawn)
    ratios = [
        one.rows[key].metrics["ttft_ms"].value / one.rows[key].metrics["latency_ms"].value for one in drawn
    ]
    assert ratios == pytest.approx([ratios[0]] * len(drawn))
