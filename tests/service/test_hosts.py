"""One study on several hosts that it names: who runs what, what each is held against, what it costs there."""

from __future__ import annotations

import threading

import pytest

from tests.service.stub import OFFERS, StubPipeline, stub_host, stub_study, stub_worker
from tuner.backends.base import Offer
from tuner.candidate import baseline
from tuner.service.lacking import lacking
from tuner.service.points import baseline_of, fronts, is_baseline, search_points, shown_points
from tuner.service.requires import capabilities, required, unmet
from tuner.service.table import Table
from tuner.service.view import space_of
from tuner.spec.model import StudySpec

ON_CARD = [*OFFERS, ("torch", Offer("cuda", 32)), ("torch", Offer("cuda", 8, "dynamic"))]
SMALL, BIG = stub_host("small", cores=1), stub_host("big", cores=2)
PRICES = {"small": 0.1, "big": 1.2}


def across(name="across", trials=12, devices=("cpu", "cuda"), **spec):
    """Return a study on two hosts, one of which has a GPU."""
    axes = {
        "distillation": {"student_layers": [1, 2, 6]},
        "backend": {"hosts": ["small", "big"], "devices": list(devices)},
    }
    return stub_study(name, trials, **{"hosts": "each", "axes": axes, **spec})


def run(store, plain, offers=(OFFERS, ON_CARD)):
    """Run a study by a worker on each host; return it and their pipelines."""
    study = store.create_study(plain)
    pipelines = StubPipeline(0.01, slowness=4.0), StubPipeline(0.01)
    workers = [
        stub_worker(store, host.name, pipeline, host, offered, drain=True, only=study)
        for host, pipeline, offered in zip((SMALL, BIG), pipelines, offers, strict=True)
    ]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return store.get_study(study.name), pipelines


@pytest.fixture(params=["random", "stage-aware"])
def ran(request, store):
    return store, *run(store, across(sampler=request.param, price={"hosts": PRICES}))


def test_each_host_has_its_own_candidates_baseline_front_and_costs(ran):
    store, study, pipelines = ran
    trials = [t for t in store.trials(study) if t.state == "complete"]
    assert study.state == "finished" and len(trials) == 12
    for host, pipeline in zip(PRICES, pipelines, strict=True):
        assert len(pipeline.evaluated) >= 4 and {c.backend.host for c in pipeline.evaluated} == {host}
    assert all(c.backend.device == "cpu" and c.parallel.threads == 1 for c in pipelines[0].evaluated)
    assert all(t.host.name == t.candidate.backend.host for t in trials)
    bases = [t for t in trials if is_baseline(study, t.candidate)]
    assert [t.candidate for t in bases] == [baseline(6, 1).on("small"), baseline(6, 2).on("big")]
    assert len(study.clocks) == 2
    frame = Table().look(store, study)
    assert sorted(frame.loc[frame["is_baseline"], "host_name"]) == ["big", "small"]
    assert {p.candidate.backend.host for p in fronts(study, shown_points(study, trials))} == set(PRICES)
    for trial in trials:
        wanted = PRICES[trial.host.name] / 3600 / trial.metrics["throughput"].value * 1e6
        assert trial.metrics["cost_per_million"].value == pytest.approx(wanted)


def test_hardware_as_a_choice_has_one_front_in_which_the_fast_host_wins(store):
    study, _ = run(store, across("choice", 16, hosts="choice", sampler="stage-aware"))
    points = fronts(study, search_points(study, store.trials(study)))
    assert study.state == "finished" and {p.candidate.backend.host for p in points} == {"big"}


def test_where_the_first_device_is_not_there_the_processor_is_the_baseline(store):
    study, _ = run(store, across("cards", 8, devices=("cuda", "cpu")))
    assert study.state == "finished"
    assert baseline_of(study, "small") == baseline(6, 1).on("small")
    assert baseline_of(study, "big") == baseline(6, 2, "cuda").on("big")
    assert sum(is_baseline(study, t.candidate) for t in store.trials(study)) == 2


def test_a_study_waits_until_a_worker_is_on_each_host_that_it_names(store):
    study = store.create_study(across())
    small = stub_worker(store, "small", StubPipeline(), SMALL, once=True)
    store.sign_on("small", 1, small.capabilities, SMALL)
    (note,) = lacking(store.standings(), [], store.workers())
    assert "a worker on each host that it names, and none is on big" in note.message
    assert store.get_study(study.name).state == "queued"


def test_a_candidate_for_a_gpu_goes_to_a_host_that_has_one():
    spec, card = StudySpec.model_validate(across()), baseline(6, 1, "cuda")
    here, there = capabilities(SMALL, OFFERS), capabilities(BIG, ON_CARD)
    needs = required(spec, card.on("big"), None)
    assert unmet(needs, here) == "the name of host big" and unmet(needs, there) is None
    anywhere = required(spec, card, None)
    assert unmet(anywhere, here) == "engine torch@cuda" and unmet(anywhere, there) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"quantization": {"bits": 16}}, "another number format"),
        ({"distillation": {"student_layers": 1}}, "a shallower student"),
        ({"parallel": {"threads": 1}}, "fewer cores"),
        ({"backend": {"engine": "torch", "device": "cuda"}}, "another device"),
    ],
)
def test_what_only_looks_like_the_baseline_is_none(store, change, why):
    """In a study of processor and GPU whole models in fp32 PyTorch eager are tried on both."""
    study = store.create_study(stub_study("mixed", 3, axes={"backend": {"devices": ["cpu", "cuda"]}}))
    stub_worker(store, "w", StubPipeline(), BIG, ON_CARD, only=study).run()
    study = store.get_study(study.name)
    own = baseline_of(study)
    assert own in [t.candidate for t in store.trials(study)] and is_baseline(study, own)
    plain = own.canonical()
    other = type(own).model_validate(plain | {part: plain[part] | fields for part, fields in change.items()})
    assert not is_baseline(study, other), why


def test_a_space_of_hosts_holds_each_ones_own_candidates(store):
    study, _ = run(store, across("space", 4))
    space = space_of(study, StudySpec.model_validate(dict(study.spec)))
    every = list(space.enumerate())
    assert len(every) == space.size() == len({c.hash for c in every})
    assert {c.backend.host for c in every} == {"small", "big"}
    assert all(c in space and space.params(c).keys() == space.distributions(c).keys() for c in every[::7])
    assert not any(c.backend.device == "cuda" and c.backend.host == "small" for c in every)
    assert every[0].on(None) not in space and every[0].on("elsewhere") not in space
    assert set(space.only("small").enumerate()) == {c for c in every if c.backend.host == "small"}
    assert "host" not in baseline(6, 2).canonical()["backend"]  # of all other studies the hashes stay
