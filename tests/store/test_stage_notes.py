"""What a running trial went through so far is written down for who looks on, and costs the trial nothing."""

from tests.service.stub import stub_study
from tests.store.claims import claim, run
from tuner.candidate import baseline
from tuner.errors import StoreUnavailableError
from tuner.metrics import Estimate
from tuner.service.progress import Progress
from tuner.stage import StageRun

METRICS = {"accuracy": Estimate.exact(0.9), "latency_ms": Estimate.exact(2.0)}


def running(store):
    study = run(store, store.create_study(stub_study("s")))
    return study, claim(store, store.new_trial(study, 0, baseline(6, 2), requires={"engine": "torch"}))


def test_stages_so_far_are_replaced_by_the_end(store):
    study, trial = running(store)
    progress = Progress(store)
    progress.started(study, trial)
    progress.stage("build")
    progress.stage("performance")
    assert [(name, hit) for _, name, hit, _ in store.stages_of([trial.id])] == [
        ("build", False),
        ("performance", False),
    ]
    assert store.stage_costs(study.id) == [] and store.referenced_keys() == set()
    store.finish_trial(trial, METRICS, stages=[StageRun("build", "k", True, 0.0)])
    assert [name for _, name, _, _ in store.stages_of([trial.id])] == ["build"]
    progress.stage("quality")  # too late: it is over
    assert [name for _, name, _, _ in store.stages_of([trial.id])] == ["build"]


def test_a_database_that_is_away_does_not_stop_a_stage(store, monkeypatch):
    study, trial = running(store)
    heard = []
    progress = Progress(store, lambda event: heard.append(event.stage))
    progress.started(study, trial)

    def away(*_):
        raise StoreUnavailableError("away")

    monkeypatch.setattr(store, "note_stages", away)
    progress.stage("build")
    assert heard[-1] == "build"
