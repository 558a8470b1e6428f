"""The coordinator with made-up candidates: budget, repeats, Optuna's view, second tries, discarded trials, hosts."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import optuna
import pytest

from tests.kept import sqlite_only
from tests.service.stub import OFFERS, StubPipeline, stub_host, stub_study, stub_worker
from tests.service.whole import assert_whole
from tests.store.claims import claim, expire
from tuner.candidate import baseline
from tuner.errors import BuildError, InputError, JobError, UnsupportedError
from tuner.metrics import Estimate
from tuner.search import asktell
from tuner.search.front import Point
from tuner.service.budget import Spent
from tuner.service.coordinator import Coordinator
from tuner.service.handle import StudyHandle
from tuner.service.heart import Heart
from tuner.service.points import fronts, is_baseline, search_points, shown_points
from tuner.service.progress import Progress
from tuner.service.record import record
from tuner.service.requires import capabilities
from tuner.service.view import View, space_of
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.optuna_storage import open_optuna_storage
from tuner.store.retry import patiently

#: A space of 12 candidates: the sampler comes back to known ones.
SMALL = {
    "backend": {"engines": ["torch", "onnxruntime"]},
    "distillation": {"student_layers": [1, 6]},
    "pruning": {"heads": [0.0], "ffn": [0.0, 0.5]},
    "parallel": {"threads": [2]},
}


def work(*workers, seconds=60.0):
    """Let workers run side by side, each until it leaves."""
    failed = []

    def run(worker):
        try:
            worker.run()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(w,), daemon=True) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "a worker did not come to its end"
    if failed:
        raise failed[0]


@contextmanager
def at_work(worker):
    """Let a worker run beside the block, and leave after it."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        worker.draining = True
        worker.wake()
        thread.join(30)
    assert not thread.is_alive()


def until(condition, seconds=30.0):
    end = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        end.wait(0.01)
    raise AssertionError("it did not come to pass")


def optuna_trials(store, study):
    found = optuna.load_study(study_name=study.optuna_name, storage=open_optuna_storage(store))
    return found.get_trials(deepcopy=False)


def own(store, study):
    return [t for t in store.trials(study) if t.state not in ("repeated", "cancelled")]


def budget(store, study, trials):
    """Give a study more to spend, and let it go on."""
    store.replan(study, {"budget": {"trials": trials, "minutes": None}})
    return store.reopen(study)


def propose(monkeypatch, *candidates):
    """Let the sampler propose these first; what is fixed (a seed) stays."""
    script, ask = list(candidates), View.ask

    def scripted(self, study, fixed):
        return ask(self, study, fixed or (script.pop(0) if script else None))

    monkeypatch.setattr(View, "ask", scripted)


def coordinator(store, name, pipeline=None, host=None):
    """A coordinator that somebody else calls."""
    host = host or stub_host()
    me = store.sign_on(name, 1, capabilities(host, OFFERS), host)
    heart = Heart(store, me, 60.0, lambda: None)
    return Coordinator(store, me, host, pipeline or StubPipeline(), heart, Progress(store), 60.0)


def evaluate_next(store, study, host=None):
    """Run the trial that is queued, as a worker would."""
    trial = claim(store, study_id=study.id, host=host or stub_host())
    return record(store, study, trial, StubPipeline().evaluate(study, trial.candidate), host or stub_host())


def numbers(**values):
    return {name: Estimate.exact(value) for name, value in values.items()}


@dataclass
class Made:
    """As much of a study as a front asks for."""

    spec: dict


# -- budget


@pytest.mark.parametrize(
    ("kept_url", "count"), [("sqlite", 1), ("sqlite", 3), ("postgresql", 3)], indirect=["kept_url"]
)
def test_a_budget_is_spent_and_never_exceeded(store, count):
    study = store.create_study(stub_study("s", trials=9))
    pipelines = [StubPipeline(0.01) for _ in range(count)]
    most = []

    class Counting(Progress):
        def started(self, study, trial):
            found = store.counts(study)
            most.append(found.get("queued", 0) + found.get("running", 0) + found.get("complete", 0))

    workers = [stub_worker(store, f"w{i}", p, drain=True) for i, p in enumerate(pipelines)]
    for worker in workers:
        worker.progress = Counting(store)
    work(*workers)
    assert_whole(store, "s")
    assert max(most) <= 9
    evaluated = Counter(c.hash for p in pipelines for c in p.evaluated)
    assert len(evaluated) == 9 and set(evaluated.values()) == {1}
    assert sum(p.prepared for p in pipelines) == 1
    assert sum(bool(p.confirmed) for p in pipelines) == 1  # one of them confirms, once
    assert all(p.closed == 1 for p in pipelines)
    assert Spent.of(store.spans(study)).candidates == 9


@pytest.mark.parametrize("count", [1, 2])
@sqlite_only
def test_a_budget_of_minutes_ends_a_study_by_the_time_in_which_something_ran(store, count):
    study = store.create_study(stub_study("s", trials=None, budget={"minutes": 0.5 / 60}))
    work(*(stub_worker(store, f"w{i}", StubPipeline(0.15), drain=True) for i in range(count)))
    trials = store.trials(study, ("complete",))
    assert store.get_study("s").state == "finished" and len(trials) >= 2
    assert Spent.of(store.spans(study)).seconds >= 0.5
    spans = [(t.hash, t.started_at, t.finished_at) for t in trials]
    late = [t for t in trials if Spent.of([s for s in spans if s[2] < t.created_at]).seconds >= 0.5]
    assert (
        len(late) < count
    )  # asked for once it was spent: what was being asked for while another one's trial ended


@sqlite_only
def test_a_space_smaller_than_the_budget_ends_the_study(store):
    axes = {**SMALL, "backend": {"engines": ["onnxruntime"]}, "quantization": {"bits": [32]}}
    store.create_study(stub_study("s", trials=50, axes=axes))
    pipeline = StubPipeline()
    work(stub_worker(store, "w", pipeline, drain=True))
    study = store.get_study("s")
    assert study.state == "finished"
    assert len(pipeline.evaluated) == 2 * 2 + 1  # and the baseline, which lies outside the space
    outside = next(t for t in store.trials(study) if is_baseline(study, t.candidate))
    assert (outside.optuna_number, outside.told, outside.number) == (None, True, 0)
    assert {t.state.name for t in optuna_trials(store, study)} == {"COMPLETE"}


# -- repeats


@sqlite_only
def test_repeats_cost_nothing_and_optuna_hears_of_them(store):
    study = store.create_study(stub_study("s", trials=10, axes=SMALL))
    pipeline, said = StubPipeline(), []
    worker = stub_worker(store, "w", pipeline, drain=True, listen=lambda e: said.append(e.kind))
    work(worker)
    assert_whole(store, "s")
    repeats = store.trials(study, ("repeated",))
    assert repeats and said.count("trial-repeated") == len(repeats)
    assert len(pipeline.evaluated) == 10
    by_id = {t.id: t for t in store.trials(study)}
    for repeat in repeats:
        source = by_id[repeat.repeat_of]
        assert (repeat.metrics, repeat.hash, repeat.told) == (source.metrics, source.hash, True)
        assert (repeat.attempt, repeat.worker, repeat.stages) == (0, None, ())
    assert Spent.of(store.spans(study)).candidates == 10


@sqlite_only
def test_a_candidate_in_flight_that_is_proposed_again_is_dropped(store, monkeypatch):
    study = store.create_study(stub_study("s", trials=30))
    me = coordinator(store, "me")
    for _ in range(12):
        study = me.look(store.get_study("s")) or study
        if not store.trials(study)[-1].seed:
            break
        evaluate_next(store, study)
    (queued,) = store.trials(study, ("queued",))  # a candidate of the sampler's own
    propose(monkeypatch, queued.candidate, queued.candidate)
    monkeypatch.setattr("tuner.service.coordinator._ROLL", 0.0)
    store.sign_on("another", 2, capabilities(stub_host(), OFFERS), stub_host())  # so that two are wanted
    count = len(store.trials(study))
    me.look(store.get_study("s"))
    assert [t.state for t in store.trials(study)[count:]] == [
        "queued"
    ]  # a third one, and the two left no row
    assert [t.hash for t in store.trials(study)].count(queued.hash) == 1
    rows = {t.optuna_number for t in store.trials(study)}
    dropped = [t for t in optuna_trials(store, study) if t.number not in rows]
    assert [t.state.name for t in dropped] == ["FAIL", "FAIL"]


# -- front and Optuna's view


@sqlite_only
def test_the_stored_summary_is_that_of_all_rows_whoever_coordinates(store):
    study = store.create_study(stub_study("s", trials=30))
    three = [coordinator(store, name) for name in "abc"]
    store.sign_off(three[1].me)
    store.sign_off(three[2].me)
    for i in range(10):  # each of them hears of a part
        seen = three[i % 3].look(store.get_study("s"))
        if i:
            points = shown_points(store.get_study("s"), store.trials(study))
            assert seen.summary["front"] == sorted(p.trial for p in fronts(seen, points))
            assert seen.summary["best"]["speedup"] == max(p.value("speedup") for p in points if p.feasible)
        evaluate_next(store, study)


@sqlite_only
def test_what_a_candidate_did_wrong_is_told_as_pruned_and_the_study_goes_on(store):
    errors = [
        BuildError("the outputs do not agree"),
        UnsupportedError("no int8 here"),
        JobError("out-of-memory", "took 9 GB", "last lines"),
        JobError("time-limit", "ran longer than 9 s"),
    ]
    script = {2: errors[0], 4: errors[1], 5: errors[2], 7: errors[3]}
    pipeline = StubPipeline()
    pipeline.fail = lambda candidate: script.get(len(pipeline.evaluated))
    store.create_study(stub_study("s", trials=12))
    work(stub_worker(store, "w", pipeline, drain=True))
    failed = [t for t in assert_whole(store, "s") if t.state == "failed"]
    assert [(t.kind, t.reason) for t in failed] == [
        ("build", "the outputs do not agree"),
        ("unsupported", "no int8 here"),
        ("out-of-memory", "took 9 GB"),
        ("time-limit", "ran longer than 9 s"),
    ]
    assert failed[2].log_tail == "last lines" and failed[0].log_tail == f"built {failed[0].candidate.label()}"
    assert all([s.name for s in t.stages] == ["build"] for t in failed)
    study = store.get_study("s")
    told = {t.number: t for t in optuna_trials(store, study)}
    assert all(told[t.optuna_number].constraints["accuracy_drop <= 0.05"] > 0 for t in failed)
    assert not {t.number for t in failed} & set(study.summary["front"])


@sqlite_only
def test_what_a_coordinator_asked_for_and_never_stored_is_dropped_by_the_next(store):
    study = store.create_study(stub_study("s", trials=30))
    me = coordinator(store, "me")
    me.look(study)
    other = coordinator(store, "other")
    study, _ = store.claim_study(study.id, "other", 60)
    asktell.ask(other._view(study, False).optuna_study, other.views[study.id].space)  # and it dies here
    assert [t.state.name for t in optuna_trials(store, study)] == ["RUNNING", "RUNNING"]
    expire(store, study)
    evaluate_next(store, study)
    me.look(store.get_study("s"))  # it finds a lease that was not given back
    states = [t.state.name for t in optuna_trials(store, study)]
    assert states[:2] == ["COMPLETE", "FAIL"]
    assert states.count("RUNNING") == len(store.trials(study, ("queued",)))


@sqlite_only
def test_what_was_cancelled_is_told_as_never_run_and_tried_anew_when_the_study_goes_on(store):
    study = store.create_study(stub_study("s", trials=6))
    me = coordinator(store, "me")
    me.look(study)
    evaluate_next(store, study)
    me.look(store.get_study("s"))
    store.cancel(study)
    assert me.look(store.get_study("s")).state == "cancelled"
    assert "RUNNING" not in [t.state.name for t in optuna_trials(store, study)]
    assert store.open_studies() == [] and me.look(store.get_study("s")) is None
    store.resume(study)
    work(stub_worker(store, "w", drain=True))
    assert_whole(store, "s")
    (cancelled,) = store.trials(study, ("cancelled",))
    again = store.find_trial(study, cancelled.hash)
    assert again is not None and again.state == "complete"  # a seed: asked for anew


# -- a second try


@sqlite_only
def test_a_second_try_counts_once_against_the_budget(store):
    pipeline = StubPipeline()
    pipeline.fail = lambda candidate: BuildError("bad day") if len(pipeline.evaluated) == 4 else None
    store.create_study(stub_study("s", trials=9))
    work(stub_worker(store, "w", pipeline, drain=True))
    study = store.get_study("s")
    (failed,) = store.trials(study, ("failed",))
    assert len(pipeline.evaluated) == 9 and study.state == "finished"
    again = store.retry_trial(study, failed.number)
    work(stub_worker(store, "w", pipeline, drain=True))
    assert_whole(store, "s")
    assert len(pipeline.evaluated) == 10 and pipeline.evaluated[-1] == failed.candidate
    assert store.trial(study, again.number).state == "complete"
    assert Spent.of(store.spans(study)).candidates == 9
    told = optuna_trials(store, study)
    assert [t.state.name for t in told].count("PRUNED") == 1
    number = store.trial(study, again.number).optuna_number
    assert number == told[-1].number and told[-1].state.name == "COMPLETE"
    assert told[-1].params == told[failed.optuna_number].params


# -- discarded trials


def test_a_discarded_trial_leaves_front_and_sampler_and_stays_on_record(store, monkeypatch):
    store.create_study(stub_study("s", trials=10))
    pipeline = StubPipeline()
    work(stub_worker(store, "w", pipeline, drain=True))
    study = store.get_study("s")
    before = {t.number: t for t in store.trials(study)}
    best = study.summary["best"]["trial"]
    store.discard_trial(study, best, "the neighbour was loud")
    study = budget(store, study, 14)
    propose(monkeypatch, before[best].candidate)
    work(stub_worker(store, "w", pipeline, drain=True))
    study = store.get_study("s")
    assert study.state == "finished" and study.epoch == 1
    assert store.trial(study, best).discard_reason == "the neighbour was loud"
    assert store.trial(study, best).metrics == before[best].metrics  # on record
    assert len(pipeline.evaluated) == 14  # it counts against the budget, and is not run again
    assert Counter(c.hash for c in pipeline.evaluated)[before[best].hash] == 1

    handle = StudyHandle.of(store, study)
    assert best not in [row.number for row in handle.front_rows()] and handle.row(best).discarded
    assert study.summary["front"] == sorted(row.number for row in handle.front_rows())
    assert best not in study.summary["front"] and study.summary["best"]["trial"] != best
    names = [s.study_name for s in open_optuna_storage(store).get_all_studies()]
    assert study.optuna_name in names and study.id not in names
    told = {t.number: t for t in optuna_trials(store, study)}
    space = space_of(study, StudySpec.model_validate(dict(study.spec)))
    gone = space.params(before[best].candidate)
    heard = [t for t in store.trials(study) if t.discarded_at is None]
    assert sorted(t.optuna_number for t in heard) == [
        number for number, t in told.items() if t.state.name != "FAIL"
    ]
    for trial in heard:
        assert told[trial.optuna_number].params == space.params(trial.candidate)
    seen = [t for t in told.values() if t.params == gone]
    assert [t.state.name for t in seen] == ["FAIL"]  # proposed once more, and dropped: samplers do not see it


@sqlite_only
def test_a_trial_discarded_while_others_run_costs_them_nothing(store):
    study = store.create_study(stub_study("s", trials=10))
    me = coordinator(store, "me")
    for _ in range(3):
        study = me.look(store.get_study("s"))
        evaluate_next(store, study)
    me.look(store.get_study("s"))
    running = claim(store, study_id=study.id, host=stub_host())
    store.discard_trial(study, 1, "why")
    record(store, study, running, StubPipeline().evaluate(study, running.candidate), stub_host())
    store.sign_off(me.me)
    work(stub_worker(store, "w", drain=True))
    study = store.get_study("s")
    assert study.state == "finished"
    kept = [t for t in store.trials(study) if t.discarded_at is None]
    assert len(kept) == 9 and all(t.told and t.state == "complete" for t in kept)
    assert [t.state.name for t in optuna_trials(store, study)].count("COMPLETE") == 9


# -- hosts


def hosts_of(store, study):
    return Counter(t.host.name for t in store.trials(study) if t.host is not None)


def two_hosts(store, hosts, trials=10):
    """Run a study by two workers on two kinds of hardware, of which one is three times as fast."""
    store.create_study(stub_study("s", trials=trials, hosts=hosts))
    fast, slow = StubPipeline(0.02), StubPipeline(0.02, slowness=3.0)
    work(
        stub_worker(store, "fast", fast, stub_host("fast"), drain=True),
        stub_worker(store, "slow", slow, stub_host("slow"), drain=True),
    )
    study = store.get_study("s")
    assert study.state == "finished"
    return study, store.trials(study), {"fast": fast, "slow": slow}


@sqlite_only
def test_one_host_measures_all_where_the_study_is_bound_to_it(store):
    study, trials, pipelines = two_hosts(store, "one", trials=8)
    (host,) = hosts_of(store, study)
    assert study.host.name == host and {t.requires["hardware"] for t in trials} == {study.host.fingerprint}
    other = pipelines["slow" if host == "fast" else "fast"]
    assert (other.evaluated, other.confirmed, other.prepared) == ([], [], 0)
    assert set(study.clocks) == {study.host.fingerprint}
    assert_whole(store, "s")


@sqlite_only
def test_each_host_has_a_front_of_its_own(store):
    study, trials, pipelines = two_hosts(store, "each")
    assert set(hosts_of(store, study)) == {"fast", "slow"}
    objectives, points = study.spec["objectives"], search_points(study, trials)
    shown = StudyHandle.of(store, study).front_rows()
    assert study.summary["front"] == sorted(row.number for row in shown)
    for name, pipeline in pipelines.items():
        mine = [t for t in trials if t.host and t.host.name == name]
        assert {t.hash for t in mine if t.state == "complete"} == {c.hash for c in pipeline.evaluated}
        (confirmed,) = pipeline.confirmed  # by whoever measured it
        assert {c.hash for c in confirmed} == {t.hash for t in mine if t.confirmed}
        alone = fronts(
            study, [p for p in shown_points(study, trials) if p.host == stub_host(name).fingerprint]
        )
        assert {p.trial for p in alone} == {row.number for row in shown if row.host == name} != set()
    assert study.clocks == {stub_host("fast").fingerprint: 40.0, stub_host("slow").fingerprint: 120.0}
    assert len(objectives) == 2 and len({p.host for p in points}) == 2


@sqlite_only
def test_hardware_that_is_part_of_the_choice_shares_one_front(store):
    study, _, _ = two_hosts(store, "choice")
    assert set(hosts_of(store, study)) == {"fast", "slow"}
    shown = StudyHandle.of(store, study).front_rows()
    latencies = [row.confirmed["latency_ms"].value for row in shown]
    accuracies = [row.confirmed["accuracy"].value for row in shown]
    assert latencies == sorted(latencies) and accuracies == sorted(accuracies)  # nobody dominates another
    assert study.summary["front"] == sorted(row.number for row in shown)


def test_a_front_mixes_hosts_only_where_hardware_is_part_of_the_choice():
    """The slow host's best is worse than the fast one's in both: nobody with the fast host would choose it."""
    points = [
        Point(0, baseline(6, 2), numbers(latency_ms=9.0, accuracy=0.9), True, host="fast"),
        Point(1, baseline(5, 2), numbers(latency_ms=5.0, accuracy=0.8), True, host="fast"),
        Point(2, baseline(4, 2), numbers(latency_ms=9.5, accuracy=0.85), True, host="slow"),
        Point(3, baseline(3, 2), numbers(latency_ms=99.0, accuracy=0.84), True, host="slow"),
    ]

    def front(hosts):
        found = Made({"objectives": ["accuracy", "latency_ms"], "hosts": hosts})
        return [p.trial for p in fronts(found, points)]

    assert sorted(front("each")) == sorted(front("one")) == [0, 1, 2]
    assert sorted(front("choice")) == [0, 1]


@sqlite_only
def test_a_host_that_is_gone_holds_no_confirmation_up(store):
    study = store.create_study(stub_study("s", trials=4, hosts="each"))
    with at_work(stub_worker(store, "gone", StubPipeline(0.01), stub_host("gone"))):
        until(lambda: len(store.trials(study, ("complete",))) >= 2)
    pipeline = StubPipeline()
    work(stub_worker(store, "here", pipeline, stub_host("here"), drain=True))
    study = store.get_study("s")
    assert study.state == "finished" and set(hosts_of(store, study)) == {"gone", "here"}
    assert {t.host.name for t in store.trials(study) if t.confirmed} == {"here"}


# -- what cannot be run


@sqlite_only
def test_a_study_that_no_worker_can_run_stays_queued(store):
    labelled = store.create_study(stub_study("labelled", 3, requires={"labels": {"zone": "lab"}}))
    engine = store.create_study(stub_study("engine", 3, axes={"backend": {"engines": ["openvino"]}}))
    large = store.create_study(stub_study("large", 3, requires={"cores": 64}))
    pipeline = StubPipeline()
    torch_only = [pair for pair in OFFERS if pair[0] == "torch"]
    with at_work(stub_worker(store, "w", pipeline, offers=torch_only)):
        done = store.create_study(stub_study("possible", 2))
        until(lambda: store.get_study("possible").state == "finished")
    for study in (labelled, engine, large):
        found = store.get_study(study.name)
        assert (found.state, found.token, store.trials(found)) == ("queued", 0, [])
    assert pipeline.prepared == 1 and len(own(store, done)) == 2
    work(stub_worker(store, "w", labels={"zone": "lab"}, host=stub_host(cores=64), drain=True))
    assert {s.state for s in store.list_studies()} == {"finished"}


@sqlite_only
def test_a_baseline_that_fails_ends_the_study_with_its_reason(store):
    def fail(candidate):
        return JobError("time-limit", "ran longer than 9 s") if candidate == baseline(6, 2) else None

    store.create_study(stub_study("s", trials=6))
    pipeline = StubPipeline(fail=fail)
    work(stub_worker(store, "w", pipeline, drain=True))
    study, why = store.get_study("s"), "the baseline could not be measured: time-limit: ran longer than 9 s"
    assert (study.state, study.meta["error"]) == ("failed", why)
    assert [e.message for e in store.events(study) if e.kind == "failed"] == [why]
    assert len(pipeline.evaluated) == 1 and pipeline.evaluated[0] == baseline(6, 2)
    assert [t.state.name for t in optuna_trials(store, study)] == ["PRUNED"]
    store.retry_trial(study, 0)
    work(stub_worker(store, "w", drain=True))
    assert store.get_study("s").state == "finished"
    assert Spent.of(store.spans(study)).candidates == 6


class NoData(StubPipeline):
    def anatomy(self, study):
        raise InputError("data.source: no such folder")


@sqlite_only
def test_a_study_whose_data_is_not_there_fails_and_the_next_one_is_run(store):
    first = store.create_study(stub_study("first", trials=2))
    said = []
    worker = stub_worker(store, "w", NoData(), listen=lambda e: said.append(e.message), once=True, drain=True)
    work(worker)
    first = store.get_study("first")
    assert (first.state, first.meta["error"]) == ("failed", "data.source: no such folder")
    assert "study first: data.source: no such folder" in said
    assert store.claim_study(first.id, "x", 0.0) is not None  # nobody holds it
    store.resume(first)
    work(stub_worker(store, "w", drain=True))
    assert store.get_study("first").state == "finished"


@sqlite_only
def test_a_run_of_one_study_says_what_is_wrong_with_it_once(store):
    study = store.create_study(stub_study("s", trials=2))
    said = []
    worker = stub_worker(store, "w", NoData(), listen=lambda e: said.append(e.message), only=study)
    with pytest.raises(InputError, match=r"^data.source: no such folder$"):
        worker.run()
    assert store.get_study("s").state == "failed"
    assert not [line for line in said if "no such folder" in line]


# -- the lease


def test_a_coordinator_that_was_frozen_in_its_look_writes_nothing_afterwards(store):
    study = store.create_study(stub_study("s", trials=6))
    other = coordinator(store, "other")

    class Frozen(StubPipeline):
        def anatomy(self, study):
            expire(store, study)
            assert other.look(store.get_study("s")).state == "running"
            return super().anatomy(study)

    me = coordinator(store, "me", Frozen())
    assert me.look(study) is None
    assert len(store.trials(study)) == 2 and store.get_study("s").meta["anatomy"]  # one for each worker
    assert me.look(store.get_study("s")) is None  # nothing is wanted; and it can look again


@sqlite_only
def test_a_frozen_coordinator_does_not_go_on_under_its_successors_lease(store, monkeypatch):
    study = store.create_study(stub_study("s", trials=1))
    me, other = coordinator(store, "me"), coordinator(store, "other")
    me.look(study)
    evaluate_next(store, study)
    store.set_study_state(study, "confirming")
    view_of = me._view

    def frozen(study, inherited):
        found = view_of(study, inherited)
        expire(store, study)
        assert store.claim_study(study.id, other.me.name, 60) is not None
        return found

    monkeypatch.setattr(me, "_view", frozen)
    assert me.look(store.get_study("s")) is None
    found = store.get_study("s")
    assert (found.state, found.worker) == ("confirming", "other")
    assert not [t for t in store.trials(study) if t.confirmed]


def test_one_who_falls_behind_while_it_settles_drops_nothing_of_its_successors(store, monkeypatch):
    study = store.create_study(stub_study("s", trials=6))
    me, other = coordinator(store, "me"), coordinator(store, "other")
    me.look(study)
    evaluate_next(store, study)
    assert store.claim_study(study.id, "dead", 60) is not None
    expire(store, study)  # what a dead one left is settled first
    at_it = [True]

    def slowly(store, call):
        if at_it:
            at_it.pop()
            expire(store, study)
            assert other.look(store.get_study("s")) is not None
        return patiently(store, call)

    monkeypatch.setattr("tuner.service.view.patiently", slowly)
    assert me.look(store.get_study("s")) is None and not at_it
    queued = {t.optuna_number for t in store.trials(study, ("queued",))} - {None}
    states = {t.number: t.state.name for t in optuna_trials(store, study)}
    assert queued and {states[number] for number in queued} == {"RUNNING"}


@sqlite_only
def test_a_look_that_nothing_is_needed_of_takes_no_lease(store):
    study = store.create_study(stub_study("s", trials=6))
    me = coordinator(store, "me")
    study = me.look(study)
    token = store.get_study("s").token
    assert me.look(store.get_study("s")) is None and store.get_study("s").token == token
    evaluate_next(store, study)
    assert me.look(store.get_study("s")) is not None
    found = store.get_study("s")
    assert (found.token, found.worker) == (token + 1, None)


@sqlite_only
def test_a_second_process_goes_on_where_the_first_one_stopped(kept_url, store):
    study = store.create_study(stub_study("s", trials=10, sampler="tpe-grouped"))
    with at_work(stub_worker(store, "w", StubPipeline(0.01))):
        until(lambda: len(store.trials(study, ("complete",))) >= 4)
    done = {t.number: t.finished_at for t in store.trials(study, ("complete",))}
    with Store.open(kept_url) as again:
        work(stub_worker(again, "w", drain=True))
    assert_whole(store, "s")
    assert done.items() <= {t.number: t.finished_at for t in store.trials(study)}.items()
