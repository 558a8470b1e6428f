"""Whole stage-aware studies on a made-up table: deterministic, honest about what was given up, better than chance."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest

from tests.replay.made_up import made_up
from tuner.replay.aware import replay_aware
from tuner.replay.study import Budget, replay
from tuner.replay.trace import Yardstick, at
from tuner.search.aware.history import Seen
from tuner.search.aware.options import Options

SHORT = Budget(seconds=240)


@pytest.fixture(scope="module")
def table():
    return made_up()


def test_a_study_is_the_same_each_time(table):
    one, two = (replay_aware(table, 1, SHORT) for _ in range(2))
    assert one == two
    assert len(set(one.hashes())) == len(one.steps)
    assert one.steps[0].candidate.is_unshaped(6)


def test_what_is_given_up_has_a_reason_and_is_worse_than_it_had_to_be(table):
    trace = replay_aware(table, 0, Budget(seconds=900), Options(subsets=True))
    given_up = [step for step in trace.steps if step.state == "pruned"]
    assert given_up
    assert all(step.reason for step in given_up)
    missed = [
        s
        for s in given_up
        if table.rows[s.candidate.hash].metrics["accuracy"].value > s.metrics["accuracy"].high
    ]
    assert len(missed) <= 0.05 * len(given_up)


@pytest.mark.parametrize(
    "off", [{"by_cost": 0.0}, {"gate": True}, {"subsets": True}, {"let_through": 0.0}, {"pool": 40}]
)
def test_each_part_can_be_switched_off(table, off):
    trace = replay_aware(table, 0, SHORT, replace(Options(), **off))
    assert len(trace.steps) > 8
    if off != {"subsets": True}:
        assert all("documents" not in step.reason for step in trace.steps)


def test_it_looks_before_it_trains_where_that_pays():
    """Training that takes an hour is worth a second build, where latency is what may rule a shape out."""
    table = made_up(constraints=["latency_ms <= 0.6", "accuracy_drop <= 0.01"])
    dear = {key: replace(row, stages=tuple(map(_dear, row.stages))) for key, row in table.rows.items()}
    options = Options(by_cost=0.0, gate=True)
    trace = replay_aware(replace(table, rows=dear), 0, Budget(trials=15, seconds=1e5), options)
    refused = [step for step in trace.steps if "before training" in step.reason]
    assert refused
    assert all(step.metrics["latency_ms"] and "accuracy" not in step.metrics for step in refused)
    assert all(step.metrics["latency_ms"].value > 0.6 for step in refused)


def _dear(stage):
    return replace(stage, seconds=3000.0) if stage.name == "recover" else stage


def test_it_finds_more_than_chance_does():
    tables = [made_up(seed) for seed in range(3)]
    when = [450.0, 600.0]

    def shares(study):
        curves = [Yardstick(t).curve(study(t, seed)) for seed, t in enumerate(tables)]
        return [median(at(c, [second])[0] for c in curves) for second in when]

    ours = shares(lambda t, seed: replay_aware(t, seed, Budget(600)))
    chance = shares(lambda t, seed: replay(t, "random", seed, Budget(600), seeded=False))
    assert all(a > b + 0.1 for a, b in zip(ours, chance, strict=True))


def test_an_earlier_study_teaches(table):
    earlier = replay_aware(table, 0, Budget(seconds=600))
    base = earlier.steps[0].metrics
    foreign = [Seen(s.candidate, s.state, s.metrics, against=base) for s in earlier.steps]
    other = made_up(5)
    curve = Yardstick(other).curve(replay_aware(other, 0, SHORT, earlier=foreign))
    cold = Yardstick(other).curve(replay_aware(other, 0, SHORT))
    assert at(curve, [120.0])[0] > at(cold, [120.0])[0]
