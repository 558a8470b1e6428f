"""The server scenario in the search: batches as a choice, cores as an objective, and what is picked."""

import math
import random

import optuna
import pytest

from tests.search.test_space import make
from tuner.candidate import Candidate, Parallel
from tuner.metrics import OPEN, Estimate
from tuner.search.aware.belief import Encoder
from tuner.search.aware.history import Item, Seen
from tuner.search.aware.outlook import Goal, Outlook
from tuner.search.front import Point, normalised_hypervolume
from tuner.search.pick import pick
from tuner.search.seeds import seeds
from tuner.spec.constraint import parse_constraint

ANATOMY = {"layers": 6, "heads": 12, "ffn": 1536, "hidden": 384}
BATCHES = {"parallel": {"max_batch": [1, 4, 16]}, "pruning": {"heads": [0.0], "ffn": [0.0]}}


def measured(cores, p99, memory=100.0, high=None):
    high = p99 if high is None else high
    return {
        "cores": Estimate.exact(cores),
        "memory_mb": Estimate.exact(memory),
        "server_p99_ms": Estimate(value=p99, low=p99, high=high),
        "latency_ms": Estimate.exact(p99 / 3),
        "accuracy": Estimate.exact(0.9),
    }


def test_batches_are_a_choice_but_not_of_a_fixed_shape():
    space, every = make(BATCHES), list(make(BATCHES).enumerate())
    assert len(every) == len(set(every)) == space.size()
    assert {c.parallel.max_batch for c in every if not c.backend.fixed_shape} == {1, 4, 16}
    assert {c.parallel.max_batch for c in every if c.backend.fixed_shape} == {1}
    assert all(candidate in space for candidate in every)
    assert space.signature()["max_batch"] == [1, 4, 16]
    assert "max_batch" not in make().signature()


def test_optuna_sees_the_batch_where_it_is_one():
    space, study = make(BATCHES), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = set()
    for _ in range(60):
        trial = study.ask()
        candidate = space.suggest(trial)
        assert space.params(candidate) == trial.params
        assert ("max_batch" in trial.params) == (not candidate.backend.fixed_shape)
        seen.add(candidate.parallel.max_batch)
        study.tell(trial, 0.0)
    assert seen == {1, 4, 16}


def test_one_request_at_a_time_is_the_candidate_that_it_was():
    """The field is left out where nothing is chosen: hashes of earlier studies stay."""
    assert Parallel(threads=2).model_dump() == {"threads": 2, "replicas": 1}
    assert Parallel(max_batch=4).model_dump() == {"threads": 1, "replicas": 1, "max_batch": 4}
    candidate = random.Random(0).choice(list(make(BATCHES).enumerate()))
    assert Candidate.model_validate(candidate.canonical()) == candidate


def test_seeds_are_in_the_space_and_label_their_batches():
    space = make(BATCHES)
    found = seeds(space)
    assert all(candidate in space for candidate in found)
    replicated = [c for c in found if c.parallel.replicas > 1]
    assert {c.label().rpartition(" ")[2] for c in replicated if not c.backend.fixed_shape} <= {"b16"}


def outlook(history):
    goal = Goal(("cores", "memory_mb"), (parse_constraint("server_p99_ms <= 30"),))
    return Outlook(goal, Encoder(ANATOMY), history)


def test_cores_are_counted_before_anything_is_measured():
    space = make(BATCHES)
    base = Seen(space.baseline, "complete", measured(2, 400, 500, OPEN * 10))
    found, one = outlook([base]), next(c for c in space.enumerate() if c.parallel == Parallel())
    mean, deviation = found.believed("cores", Item.of(one))
    assert (math.exp(mean), deviation) == (1.0, pytest.approx(0, abs=1e-6))
    assert math.exp(found.believed("cores", base.item)[0]) == 2.0


def test_a_line_that_only_grew_still_tells_how_slow():
    """Its interval is open: for all that, the least that was seen counts as seen."""
    space = make(BATCHES)
    base = Seen(space.baseline, "complete", measured(2, 20, 500))
    slow = next(c for c in space.enumerate() if c.backend.engine == "onnxruntime")
    history = [base, Seen(slow, "complete", measured(1, 300, 100, 1.7e308))]
    mean, _ = outlook(history).believed("server_p99_ms", Item.of(slow))
    assert math.exp(mean) > 100


def test_who_needs_as_many_cores_as_the_baseline_is_worth_something():
    base = Point(0, make().baseline, measured(2, 25, 500), True)
    others = list(make(BATCHES).enumerate())
    two = Point(1, others[0], measured(2, 25, 100), True)
    one = Point(2, others[1], measured(1, 25, 100), True)
    objectives = ["cores", "memory_mb"]
    some, more = (normalised_hypervolume([base, p], objectives, base) for p in (two, one))
    assert 0 < some < more


def test_the_cheapest_has_the_fewest_cores_and_then_the_least_memory():
    others = list(make(BATCHES).enumerate())
    values = [(2, 10, 90), (1, 28, 200), (1, 29, 120), (1, 40, 50)]
    points = [
        Point(i, others[i], measured(cores, p99, memory), p99 <= 30) for i, (cores, p99, memory) in enumerate(values)
    ]  # fmt: skip
    assert pick(points, "cheapest", objectives=["cores", "memory_mb"]).trial == 2
    assert pick(points, "fastest", objectives=["cores", "memory_mb"]).trial == 0


def test_the_fastest_of_a_study_of_rates_has_the_highest():
    others = list(make(BATCHES).enumerate())
    rates = [measured(1, 30) | {"server_rate": Estimate.exact(rate)} for rate in (90, 140, 120)]
    points = [Point(i, others[i], rate, True) for i, rate in enumerate(rates)]
    assert pick(points, "fastest", objectives=["accuracy", "server_rate"]).trial == 1
