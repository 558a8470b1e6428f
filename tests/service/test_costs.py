"""The time of a study from what stages took: each run once for all that share it, the cache for the rest."""

import random

import pytest

from tests.service.stub import ANATOMY, OFFERS, stub_study
from tests.store.claims import claim, run
from tuner.metrics import Estimate
from tuner.search.space import Space
from tuner.service.costs import estimate, model_key
from tuner.service.outlook import Abilities, outlook
from tuner.spec.model import StudySpec
from tuner.stage import StageRun

TOOK = {
    "importance": 10.0,
    "shape": 1.0,
    "teacher-outputs": 30.0,
    "recover": 20.0,
    "build": 6.0,
    "performance": 4.0,
    "quality": 2.0,
}


def spec_of(name="next", **more):
    return StudySpec.model_validate(stub_study(name, 20, **more))


def space_of(spec):
    return Space(spec.axes, ANATOMY, OFFERS, 2)


@pytest.fixture
def known(store):
    """A database with a study of the same model whose stages took `TOOK`."""
    study = run(store, store.create_study(stub_study("before")))
    rng, space = random.Random(1), space_of(spec_of())
    for number in range(12):
        trial = claim(store, store.new_trial(study, number, space.draw(rng), requires={}))
        runs = [
            StageRun(n, f"k{number}", hit, 0.0 if hit else s)
            for n, s in TOOK.items()
            for hit in (False, True)
        ]
        store.finish_trial(trial, {"latency_ms": Estimate.exact(1.0)}, stages=runs)
    return store


def test_a_stage_counts_once_for_all_that_share_it(known):
    spec = spec_of()
    found = estimate(known, spec, space_of(spec), 6, 20)
    stages = {s.name: s for s in found.stages}
    assert stages["teacher-outputs"].runs == 1 and stages["performance"].runs == 20
    assert stages["recover"].runs == stages["shape"].runs <= 20
    assert stages["recover"].runs + stages["recover"].hits <= 20
    assert stages["build"].runs + stages["build"].hits == 20
    runs = {name: stages[name].runs for name in TOOK}
    high = sum(TOOK[name] * runs[name] for name in TOOK)
    assert found.seconds[1] == pytest.approx(high)
    assert found.seconds[0] == pytest.approx(high - 40)  # once a study, and perhaps in the cache already
    assert found.same_model and not found.unknown


def test_hits_of_before_are_no_costs_and_other_models_are_named(known):
    spec = spec_of(model={"source": "owner/other"})
    found = estimate(known, spec, space_of(spec), 6, 20)
    assert not found.same_model and all(s.low in (0.0, TOOK[s.name]) for s in found.stages)
    assert all("other models" in s.basis for s in found.stages)
    assert model_key({"source": "a"}) != model_key({"source": "b"})


def test_no_recovery_no_cost_of_it_and_a_cap_holds(known):
    spec = spec_of(recover={"steps": 0})
    assert "recover" not in {s.name for s in estimate(known, spec, space_of(spec), 6, 20).stages}
    spec = spec_of(recover={"seconds": 5.0})
    recover = next(s for s in estimate(known, spec, space_of(spec), 6, 20).stages if s.name == "recover")
    assert recover.high == pytest.approx(5.5)


def test_a_longer_study_goes_on_in_the_same_proportions(known):
    spec = spec_of()
    short, long = (estimate(known, spec, space_of(spec), 6, n) for n in (300, 900))
    of = [{s.name: s for s in e.stages} for e in (short, long)]
    assert of[1]["performance"].runs == 900 and of[1]["importance"].runs == 1
    assert of[1]["build"].runs == pytest.approx(3 * of[0]["build"].runs, abs=2)


def test_nothing_known_nothing_said(store):
    spec = spec_of(budget={"trials": 5, "minutes": 3})
    able = Abilities("this machine", list(OFFERS), 2)
    assert estimate(store, spec, space_of(spec), 6, 20) is None
    found = outlook(store, spec, able)
    assert found.estimate is None and found.seconds == (180.0, 180.0)


def test_the_budgets_minutes_end_it(known):
    spec = spec_of(budget={"trials": 20, "minutes": 1}, axes={"distillation": {"student_layers": [1, 6]}})
    found = outlook(known, spec, Abilities("this machine", list(OFFERS), 2))
    assert found.capped and found.seconds == (60.0, 60.0) and found.candidates > 20
