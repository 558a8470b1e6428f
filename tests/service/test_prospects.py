"""A stage-aware study in the service: what it proposes, what it learns from earlier studies, when it ends by itself."""

from __future__ import annotations

import threading

import pytest

from tests.service.stub import ANATOMY, StubPipeline, stub_host, stub_study, stub_worker
from tuner.metrics import Estimate
from tuner.pipeline.gate import GivenUp
from tuner.search.seeds import seeds
from tuner.service.earlier import earlier_trials
from tuner.service.view import space_of
from tuner.spec.model import StudySpec


def run(store, spec, **options):
    """Run a study to its end; return it and its pipeline."""
    pipeline = StubPipeline()
    study = store.create_study(spec)
    stub_worker(store, "w", pipeline, only=study, **options).run()
    return store.get_study(study.name), pipeline


def aware(name="aware", trials=10, **spec):
    return stub_study(name, trials, sampler="stage-aware", **spec)


def test_after_the_baseline_it_proposes_what_gains(store):
    study, pipeline = run(store, aware(trials=24))
    first, *others = pipeline.evaluated
    assert study.state == "finished"
    assert first.is_unshaped(ANATOMY["layers"]) and first.quantization.bits == 32
    assert len(set(others)) == 23
    chance, _ = run(store, stub_study("chance", 24))
    assert study.summary["hypervolume"] > chance.summary["hypervolume"]


def test_optuna_hears_of_each_proposal(store):
    study, _ = run(store, aware(trials=8))
    trials = store.trials(study)
    assert all(t.told and t.optuna_number is not None for t in trials)
    assert len({t.optuna_number for t in trials}) == 8


def test_the_seeds_fill_the_time_until_the_baseline_is_there(store):
    study = store.create_study(aware(trials=6))
    pipelines = [StubPipeline(0.3), StubPipeline(0.3)]
    workers = [stub_worker(store, f"w{i}", p, only=study) for i, p in enumerate(pipelines)]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    study = store.get_study(study.name)
    trials = store.trials(study)
    wanted = seeds(space_of(study, StudySpec.model_validate(dict(study.spec))))
    assert study.state == "finished"
    assert [t.candidate for t in trials[:2]] == wanted[:2]
    assert len({t.hash for t in trials}) == 6


def test_an_earlier_study_of_such_a_model_is_learnt_from(store):
    earlier, _ = run(store, stub_study("earlier", 20))
    cold, _ = run(store, aware("cold", 5, search={"warm": False}))
    warm, _ = run(store, aware("warm", 5))
    assert warm.summary["hypervolume"] > cold.summary["hypervolume"]
    spec = StudySpec.model_validate(dict(warm.spec))
    known = earlier_trials(store, warm, spec)
    complete = len(store.trials(earlier, ("complete",))) + len(store.trials(cold, ("complete",)))
    assert len(known) == complete
    assert all(seen.against is not None for seen in known)


@pytest.mark.parametrize("what", ["hardware", "scenario"])
def test_another_kind_of_study_is_not_learnt_from(store, what):
    host = stub_host("other") if what == "hardware" else None
    scenario = {"batch": 4} if what == "scenario" else {}
    run(store, stub_study("earlier", 5, scenario=scenario), host=host)
    study, _ = run(store, aware(trials=2))
    assert earlier_trials(store, study, StudySpec.model_validate(dict(study.spec))) == []


def test_it_ends_by_itself_and_says_why(store):
    study, pipeline = run(store, aware(budget={"auto": {"share": 0.1, "minutes": 1}}, search={"warm": False}))
    assert study.state == "finished"
    assert 3 < len(pipeline.evaluated) < 300
    said = [e.message for e in store.events(study) if e.kind == "remark"]
    assert len(said) == 1 and "more minutes promise" in said[0]


def test_what_a_gate_gives_up_is_pruned_with_its_reason(store):
    class Gated(StubPipeline):
        """The third candidate is given up after it was measured."""

        def evaluate(self, study, candidate, gate=None):
            found = super().evaluate(study, candidate)
            if len(self.evaluated) != 3:
                return found
            assert gate is not None and gate.looks_first() in (True, False)
            quality = {"accuracy": Estimate(value=0.5, low=0.4, high=0.6)}
            return GivenUp(candidate, "subset", "beaten", found.performance, quality, found.stages)

    study = store.create_study(aware(trials=6))
    stub_worker(store, "w", Gated(), only=study).run()
    pruned = store.trials(study, ("pruned",))
    assert [(t.kind, t.reason, t.metrics["accuracy"].value) for t in pruned] == [("subset", "beaten", 0.5)]
    assert pruned[0].metrics["latency_ms"].value > 0 and pruned[0].ratio is not None and pruned[0].stages
    assert store.counts(study) == {"complete": 5, "pruned": 1}
    assert pruned[0].number not in store.get_study(study.name).summary["front"]


def test_no_gate_stands_before_the_baseline_nor_before_another_sampler(store):
    gates = []

    class Noting(StubPipeline):
        def evaluate(self, study, candidate, gate=None):
            gates.append(gate)
            return super().evaluate(study, candidate)

    for spec in (aware(trials=3), stub_study("chance", 3)):
        stub_worker(store, "w", Noting(), only=store.create_study(spec)).run()
    assert [gate is None for gate in gates] == [True, False, False, True, True, True]
