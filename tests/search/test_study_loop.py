"""Ask and tell on a real database: seeds, grouped TPE, repeats, and going on after a crash."""

from __future__ import annotations

import math
import warnings

import optuna
import pytest

from tests.store.claims import claim, coordinate, run
from tuner.backends.base import Offer
from tuner.candidate import Candidate
from tuner.errors import InputError, TunerError
from tuner.metrics import Estimate, Metrics
from tuner.search import asktell
from tuner.search.objective import constraint_values, told_values
from tuner.search.sampler import SAMPLERS, make_sampler
from tuner.search.seeds import seeds
from tuner.search.space import Space
from tuner.spec.axes import Axes
from tuner.spec.constraint import parse_constraint
from tuner.store import Store
from tuner.store.optuna_storage import open_optuna_storage

OBJECTIVES = ["accuracy", "latency_ms"]
CONSTRAINTS = [parse_constraint("accuracy_drop <= 0.05"), parse_constraint("memory_mb <= 500")]
OFFERS = [
    ("torch", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 32)),
    ("onnxruntime", Offer("cpu", 8, "dynamic")),
    ("onnxruntime", Offer("cpu", 8, "static")),
    ("onnxruntime", Offer("cpu", 4, "weight-only", group_sizes=(32, 128))),
    ("openvino", Offer("cpu", 32, fixed_shape=True)),
    ("openvino", Offer("cpu", 8, "static", fixed_shape=True)),
]
SPEED = {"torch": 1.0, "onnxruntime": 1.7, "openvino": 2.4}


def table(c: Candidate) -> Metrics:
    """A synthetic table with the shape of the real one: a smooth trade, a cliff, and engine factors."""
    width = (1 - c.pruning.heads / 3) * (1 - c.pruning.ffn / 1.5)
    work = (
        4.0 * c.distillation.student_layers * width * {32: 1.0, 16: 0.6, 8: 0.45, 4: 0.9}[c.quantization.bits]
    )
    latency = work / SPEED[c.backend.engine] / (1 + 0.6 * (c.parallel.threads - 1))
    latency *= 0.85 if c.backend.fixed_shape else 1.0
    lost = 0.02 / c.distillation.student_layers + 0.02 * c.pruning.ffn**2 + 0.03 * c.pruning.heads**2
    accuracy = 0.96 - lost - (0.02 if c.quantization.bits == 4 else 0.0)
    found = {
        "accuracy": accuracy,
        "accuracy_drop": 0.955 - accuracy,
        "latency_ms": latency,
        "memory_mb": 90.0,
    }
    return {name: Estimate.exact(value) for name, value in found.items()}


def make_space() -> Space:
    return Space(Axes(), {"layers": 6, "heads": 12, "ffn": 1536, "refused": {}}, OFFERS, cores=2)


def open_study(store: Store, name: str, space: Space, sampler: str = "tpe-grouped") -> optuna.Study:
    storage = open_optuna_storage(store)
    told = asktell.trial_count(storage, name)
    return asktell.create_or_load(storage, name, OBJECTIVES, space, make_sampler(sampler, 0, told))


def run_one(store: Store, record, study: optuna.Study, space: Space, fixed: Candidate | None = None) -> str:
    """One turn of the coordinator, without the measuring."""
    trial, candidate = asktell.ask(study, space, fixed)
    earlier = store.find_trial(record, candidate)
    if earlier is not None:
        done = store.repeat_trial(record, trial.number, candidate, earlier)
    else:
        row = store.new_trial(record, trial.number, candidate, seed=fixed is not None)
        done = store.finish_trial(claim(store, row), table(candidate), ratio=1.0)
    values = told_values(OBJECTIVES, done.metrics)
    assert values is not None
    asktell.tell_complete(study, trial, values, constraint_values(CONSTRAINTS, done.metrics))
    return done.state


@pytest.fixture
def store(tmp_path):
    with Store.open(f"sqlite:///{tmp_path}/t.db") as opened:
        yield opened


def test_grouped_tpe_seeds_repeats_and_resume(tmp_path):
    space, url = make_space(), f"sqlite:///{tmp_path}/t.db"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Optuna warns when a constraint is set twice, and so on
        with Store.open(url) as store:
            record = run(store, store.create_study({"name": "loop"}), seconds=0.0)
            study = open_study(store, record.id, space)
            first = seeds(space)
            for candidate in first:
                assert run_one(store, record, study, space, candidate) == "complete"
            assert run_one(store, record, study, space, first[1]) == "repeated"
            for _ in range(25 - len(first)):
                run_one(store, record, study, space)
        with Store.open(url) as store:  # a new process
            record = coordinate(store, store.get_study("loop"))
            study = open_study(store, record.id, space)
            done = len(study.trials)
            assert done == len(store.trials(record)) == 26
            for _ in range(12):
                run_one(store, record, study, space)
            trials = store.trials(record)
            told = study.get_trials(deepcopy=False)
    assert [t.optuna_number for t in trials] == list(range(38)) == [t.number for t in told]
    for ours, theirs in zip(trials, told, strict=True):
        assert ours.metrics["accuracy"].value == theirs.values[0]
        assert math.log(ours.metrics["latency_ms"].value) == pytest.approx(theirs.values[1])
        assert set(theirs.constraints) == {"accuracy_drop <= 0.05", "memory_mb <= 500"}
        assert space.params(ours.candidate) == theirs.params
    repeat = trials[len(first)]
    assert (repeat.state, repeat.repeat_of, repeat.metrics) == ("repeated", trials[1].id, trials[1].metrics)
    own = [t.hash for t in trials if t.state != "repeated"]
    assert len(own) == len(set(own))
    early = trials[:25]
    assert {t.candidate.backend.engine for t in early} == {"torch", "onnxruntime", "openvino"}
    assert {t.candidate.quantization.bits for t in early} == {32, 8, 4}
    assert len({t.candidate.distillation.student_layers for t in early}) >= 3


def test_a_resumed_sampler_draws_on_and_not_again():
    space = make_space()
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=make_sampler("random", 5))
    first = [asktell.ask(study, space)[1] for _ in range(5)]
    study.sampler = make_sampler("random", 5, told=5)
    assert [asktell.ask(study, space)[1] for _ in range(5)] != first
    study.sampler = make_sampler("random", 5)
    assert [asktell.ask(study, space)[1] for _ in range(5)] == first


def test_what_a_crash_leaves_in_optuna_is_settled(store):
    space, record = make_space(), run(store, store.create_study({"name": "crash"}))
    study = open_study(store, record.id, space)
    orphan, _ = asktell.ask(study, space)  # killed before the store heard of it
    trial, candidate = asktell.ask(study, space)
    row = store.new_trial(record, trial.number, candidate)
    store.finish_trial(claim(store, row), table(candidate))
    trial.set_constraint(str(CONSTRAINTS[0]), 0.0)  # killed between two constraints and before the tell

    study = open_study(store, record.id, space)
    study.enqueue_trial(space.params(candidate))  # killed in the middle of asking
    left = asktell.unsettled(study)
    assert left == {orphan.number, trial.number, trial.number + 1}
    asktell.drop_orphans(study, left - {t.optuna_number for t in store.trials(record)})
    values = told_values(OBJECTIVES, table(candidate))
    for _ in range(2):  # telling again does nothing
        asktell.tell_complete(study, trial.number, values, constraint_values(CONSTRAINTS, table(candidate)))
    states = [t.state.name for t in study.trials]
    assert states == ["FAIL", "COMPLETE", "FAIL"] and not asktell.unsettled(study)
    assert study.trials[1].constraints == {"accuracy_drop <= 0.05": 0.0, "memory_mb <= 500": -410.0}


def test_pruned_trials_carry_their_constraints(store):
    space, record = make_space(), run(store, store.create_study({"name": "pruned"}))
    study = open_study(store, record.id, space)
    trial, _ = asktell.ask(study, space)
    asktell.tell_pruned(study, trial, constraint_values(CONSTRAINTS, {}))
    assert study.trials[0].state.name == "PRUNED"
    assert study.trials[0].constraints == {"accuracy_drop <= 0.05": 1.0, "memory_mb <= 500": 1.0}


def test_what_optuna_did_not_propose_is_added_once_and_like_its_own(store):
    space, record = make_space(), run(store, store.create_study({"name": "added"}))
    study = open_study(store, record.id, space)
    one, two, three = seeds(space)[1:4]
    asked, _ = asktell.ask(study, space, one)
    asktell.tell_complete(study, asked, [0.9, 1.0], {"accuracy_drop <= 0.05": -1.0})
    for _ in range(2):  # told again after a crash
        assert asktell.add(study, space, one, [0.9, 1.0], {"accuracy_drop <= 0.05": -1.0}, "a") == 1
        assert asktell.add(study, space, two, None, {"accuracy_drop <= 0.05": 1.0}, "b") == 2
    own, same, pruned = study.trials
    assert (same.params, same.distributions, same.values) == (own.params, own.distributions, own.values)
    assert (same.constraints, same.state) == (own.constraints, own.state)
    assert (pruned.state.name, pruned.params) == ("PRUNED", space.params(two))
    assert pruned.constraints == {"accuracy_drop <= 0.05": 1.0}
    study.sampler = make_sampler("tpe-grouped", 0)
    for _ in range(3):
        run_one(store, record, study, space)  # and samplers take it in
    outside = three.model_copy(update={"parallel": three.parallel.model_copy(update={"threads": 64})})
    with pytest.raises(ValueError, match="not in the search space"):
        asktell.add(study, space, outside, [0.9, 1.0], {}, "c")


def test_a_changed_space_or_objective_is_refused(store):
    record = store.create_study({"name": "changed"})
    open_study(store, record.id, make_space())
    wider = Space(Axes(), {"layers": 12, "heads": 12, "ffn": 1, "refused": {}}, OFFERS, cores=2)
    with pytest.raises(InputError, match=r"search space.*student_layers"):
        open_study(store, record.id, wider)
    storage = open_optuna_storage(store)
    with pytest.raises(InputError, match="objectives"):
        sampler = make_sampler("random", 0)
        asktell.create_or_load(storage, record.id, ["accuracy", "size_mb"], make_space(), sampler)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_runs_under_ask_and_tell(store, name):
    space, record = make_space(), run(store, store.create_study({"name": name}))
    study = open_study(store, record.id, space, name)
    for _ in range(12):
        run_one(store, record, study, space)
    assert len(store.trials(record, ("complete", "repeated"))) == 12
    with pytest.raises(InputError, match="did you mean"):
        make_sampler("tpe-groped", 0)


def test_grid_visits_every_candidate_once_and_ends_without_an_error():
    axes = {"backend": {"engines": ["onnxruntime"]}, "distillation": {"student_layers": [1, 6]}}
    axes |= {"pruning": {"heads": [0], "ffn": [0, 0.5]}, "parallel": {"threads": [1]}}
    space = Space(Axes.model_validate(axes), {"layers": 6}, OFFERS, cores=1)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=make_sampler("grid", 0))
    seen = []
    for _ in range(space.size()):
        trial, candidate = asktell.ask(study, space)
        seen.append(candidate)
        asktell.tell_complete(study, trial, [0.0, 0.0])
    assert set(seen) == set(space.enumerate()) and len(seen) == 2 * 2 * 5


def test_a_full_disk_under_optuna_is_one_clear_line(store):
    record = store.create_study({"name": "full"})
    study = open_study(store, record.id, make_space())
    with study._storage._backend.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    optuna_engine = study._storage._backend.engine
    from sqlalchemy import event

    event.listen(optuna_engine, "connect", lambda c, _: c.execute(f"PRAGMA max_page_count={pages}").close())
    optuna_engine.dispose()
    with pytest.raises(TunerError, match="no space left on the disk"), store.guard():
        for _ in range(2000):
            study.set_user_attr(str(_), "x" * 1000)
