"""Leases: who holds a trial or a study may write it, and nobody else, whoever falls silent or comes back late."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest
from sqlalchemy import func, select, update

from tests.service.stub import stub_host, stub_study
from tests.store.claims import claim, coordinate, expire, run, snapshot
from tuner.candidate import baseline
from tuner.errors import LeaseLostError
from tuner.metrics import Estimate
from tuner.stage import StageRun
from tuner.store import Measurement, Store
from tuner.store.columns import clock
from tuner.store.leases import Lease, lease_of
from tuner.store.models import StudyRow, TrialRow

METRICS = {"accuracy": Estimate.exact(0.9), "latency_ms": Estimate.exact(2.0)}
PROCESSES = 8


def anybody(requires):
    return True


def candidates(count):
    return [baseline(layers + 1, 1) for layers in range(count)]


def queue(store, study, count):
    return [store.new_trial(study, i, candidate) for i, candidate in enumerate(candidates(count))]


def column(store, trial, name):
    with store.engine.connect() as connection:
        return connection.scalar(select(getattr(TrialRow, name)).where(TrialRow.id == trial.id))


def at_once(target, *arguments):
    """Run it in 8 processes that begin together, and return what each put into the queue."""
    context = multiprocessing.get_context("fork")
    begin, answers = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=target, args=(f"w{i}", begin, answers, *arguments)) for i in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(10)
    assert [p.exitcode for p in processes] == [0] * PROCESSES
    return found


def _run_all(worker, begin, answers, url):
    with Store.open_as_is(url) as store:
        begin.wait(30)
        done = []
        while (trial := store.claim_trial(worker, anybody, 60)) is not None:
            store.finish_trial(trial, METRICS)
            done.append(trial.number)
        answers.put(done)


def test_eight_processes_share_the_trials_and_none_is_run_twice(store, study):
    count = 40
    queue(store, study, count)
    found = at_once(_run_all, store.url)
    assert sorted(number for done in found for number in done) == list(range(count))
    assert sum(bool(done) for done in found) > 1
    trials = store.trials(study)
    assert {(t.state, t.attempt, t.token) for t in trials} == {("complete", 1, 1)}


def _coordinate(worker, begin, answers, url, study_id):
    with Store.open_as_is(url) as store:
        begin.wait(30)
        found = store.claim_study(study_id, worker, 60)
        answers.put(found and found[0].worker)


def test_of_eight_processes_one_coordinates(store):
    study = store.create_study(stub_study("s"))
    found = [worker for worker in at_once(_coordinate, store.url, study.id) if worker]
    assert found == [store.get_study("s").worker] and store.get_study("s").token == 1


def test_the_oldest_trial_comes_first_whichever_study_it_is_of(store, study):
    other = run(store, store.create_study(stub_study("other")))
    made = [store.new_trial(owner, i, baseline(6, 2)) for i, owner in enumerate((study, other, study, other))]
    assert claim(store).id == made[0].id
    assert claim(store, study_id=study.id).id == made[2].id
    assert claim(store, made[3]).id == made[3].id
    store.pause(other)
    assert store.claim_trial("idle", anybody, 60) is None
    store.resume(other)
    assert store.claim_trial("idle", anybody, 60) is None  # not prepared: it waits for a coordinator
    store.set_study_state(other, "running")
    assert claim(store).id == made[1].id


def test_a_trial_goes_to_who_has_what_it_requires_and_each_kind_is_asked_about_once(store, study):
    for i, candidate in enumerate(candidates(6)):
        store.new_trial(study, i, candidate, requires={"engine": ("openvino", "torch")[i // 3]})
    asked = []

    def only(engine):
        def meets(requires):
            asked.append(requires["engine"])
            return requires["engine"] == engine

        return meets

    assert store.claim_trial("a", only("torch"), 60).number == 3
    assert sorted(asked) == ["openvino", "torch"]
    assert store.claim_trial("b", only("tensorrt"), 60) is None
    assert [store.claim_trial(worker, only("torch"), 60).number for worker in "bc"] == [4, 5]
    assert store.claim_trial("d", only("torch"), 60) is None
    assert store.claim_trial("d", only("openvino"), 60).number == 0
    assert store.counts(study) == {"queued": 2, "running": 4}


def test_a_lease_ends_on_the_databases_clock(store, study):
    queue(store, study, 1)
    trial = claim(store, seconds=30)
    left = select(TrialRow.lease_until - clock()).where(TrialRow.id == trial.id)
    with store.engine.connect() as connection:
        assert 25 < connection.scalar(left) <= 30
        assert connection.scalar(select(clock())) == pytest.approx(time.time(), abs=5)


def test_a_beat_keeps_a_lease_and_silence_loses_it(store, study):
    queue(store, study, 2)
    me = store.sign_on("beats", 1, {}, stub_host())
    kept, lost = claim(store, worker="beats", seconds=0.4), claim(store, worker="silent", seconds=0.4)
    taken, end = [], time.monotonic() + 20
    while not taken and time.monotonic() < end:
        assert store.beat(me.name, me.incarnation, [lease_of(kept)], 0.4) == []
        taken = store.sweep(attempts=3)
        time.sleep(0.05)
    assert [(t.id, t.state, t.worker) for t in taken] == [(lost.id, "queued", None)]
    assert store.trial(study, kept.number).state == "running"
    assert column(store, lost, "lease_until") is None
    assert store.sweep(attempts=3) == []


def test_a_beat_names_what_was_lost_and_touches_none_of_it(store, study):
    queue(store, study, 3)
    me = store.sign_on("w", 1, {}, stub_host())
    held, ended, other = (claim(store) for _ in range(3))
    store.finish_trial(ended, METRICS)
    expire(store, other)
    store.sweep(attempts=3)
    theirs = claim(store, other, worker="x", seconds=5)
    old_study = lease_of(study)
    expire(store, study)
    new_study = coordinate(store, study, "x", 5)
    until = column(store, theirs, "lease_until")
    leases = [lease_of(held), lease_of(ended), lease_of(other), old_study]
    assert store.beat(me.name, me.incarnation, leases, 900) == leases[1:]
    assert column(store, theirs, "lease_until") == until
    assert column(store, ended, "lease_until") is None
    assert (
        store.beat(me.name, me.incarnation, [lease_of(new_study)], 900) == []
    )  # by owner and token, whoever beats


def test_a_beat_of_a_superseded_worker_does_nothing(store, study):
    queue(store, study, 1)
    old = store.sign_on("w", 1, {}, stub_host())
    trial = claim(store, worker="w", seconds=5)
    new = store.sign_on("w", 2, {}, stub_host())
    before = snapshot(store)
    assert store.beat("w", old.incarnation, [lease_of(trial)], 900) is None
    assert store.beat("nobody", old.incarnation, [], 900) is None
    store.sign_off(old)
    assert snapshot(store) == before and store.find_worker("w").stopped_at is None
    assert store.beat("w", new.incarnation, [lease_of(trial)], 900) == []


LATE = {
    "finish": lambda store, trial: store.finish_trial(
        trial, METRICS, 0.5, [StageRun("a", "b", False, 1.0)], [Measurement("quality")], "k", [True]
    ),
    "prune": lambda store, trial: store.prune_trial(
        trial, "gate", "slow", METRICS, measurements=[Measurement("quality")]
    ),
    "fail": lambda store, trial: store.fail_trial(trial, "error", "late", "log", [StageRun("a", "b", False, 1.0)]),
    "release": lambda store, trial: store.release_trial(trial),
}  # fmt: skip


@pytest.mark.parametrize("what", LATE)
def test_who_lost_a_trial_writes_nothing(store, study, what):
    queue(store, study, 1)
    late = claim(store, worker="late")

    def refused():
        before = snapshot(store)
        with pytest.raises(
            LeaseLostError, match="trial 0 is not run by late any more: its result is dropped"
        ):
            LATE[what](store, late)
        assert snapshot(store) == before

    expire(store, late)
    (queued,) = store.sweep(attempts=9)
    assert queued.state == "queued"
    refused()
    again = claim(store, worker="late")  # the same worker: its own older claim is as void as another's
    refused()
    expire(store, again)
    store.sweep(attempts=9)
    theirs = claim(store, worker="other")
    refused()
    store.finish_trial(theirs, METRICS)
    refused()
    assert store.trial(study, 0).worker == "other"


@pytest.mark.parametrize(
    "what",
    [
        lambda store, study, done: store.new_trial(study, 1, baseline(5, 2)),
        lambda store, study, done: store.repeat_trial(study, 1, baseline(6, 2), done),
        lambda store, study, done: store.move_study(study, "finished", stub_host(), {"a": 1}, {"b": 2}),
        lambda store, study, done: store.confirm_trial(
            study, done.id, METRICS, 0.1, [Measurement("confirm")]
        ),
    ],
    ids=["new", "repeat", "move", "confirm"],
)
def test_who_lost_a_study_writes_nothing(store, study, what):
    store.new_trial(study, 0, baseline(6, 2))
    done = store.finish_trial(claim(store), METRICS)

    def refused():
        before = snapshot(store)
        with pytest.raises(LeaseLostError, match="study s is not coordinated by coordinator any more"):
            what(store, study, done)
        assert snapshot(store) == before

    expire(store, study)
    theirs = coordinate(store, study, "other")
    refused()
    store.release_study(study)  # no lease of ours: nothing happens
    assert store.get_study("s").worker == "other"
    store.release_study(theirs)
    refused()
    again = coordinate(store, study)  # the same name, a newer token
    refused()
    what(store, again, done)


@pytest.mark.parametrize("what", ["finish", "prune", "fail"])
def test_ending_a_trial_again_under_its_token_changes_nothing(store, study, what):
    queue(store, study, 1)
    trial = claim(store)
    ended = LATE[what](store, trial)
    assert ended.worker == "worker" and column(store, trial, "lease_until") is None
    before = snapshot(store)
    assert LATE[what](store, trial) == ended
    assert snapshot(store) == before


def test_each_claim_has_a_higher_token_and_only_what_is_given_back_is_no_attempt(store, study):
    queue(store, study, 1)
    seen = []
    for end in ("release", "expire", "release", "take back", "finish"):
        trial = claim(store)
        seen.append((trial.token, trial.attempt))
        if end == "release":
            store.release_trial(trial)
            assert (store.trial(study, 0).state, store.trial(study, 0).worker) == ("queued", None)
        elif end == "expire":
            expire(store, trial)
            store.sweep(attempts=9)
        elif end == "take back":
            store.take_back("worker", attempts=9)
    assert seen == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]
    assert store.finish_trial(trial, METRICS).attempt == 3


def test_a_trial_that_three_workers_were_lost_with_fails(store, study):
    queue(store, study, 1)
    states = []
    for worker in ("a", "b", "c"):
        expire(store, claim(store, worker=worker))
        states += [(t.state, t.attempt) for t in store.sweep(attempts=3)]
    assert states == [("queued", 1), ("queued", 2), ("failed", 3)]
    trial = store.trial(study, 0)
    assert (trial.kind, trial.worker, trial.told) == ("lost", None, False)
    assert trial.reason == "3 workers were lost while they ran it, the last of them c"
    assert trial.finished_at is not None and column(store, trial, "lease_until") is None
    said = [e.message for e in store.events(study) if e.kind == "lost"]
    assert said == [f"worker {w} was lost while it ran trial 0 (attempt {i})" for i, w in enumerate("abc", 1)]
    assert store.claim_trial("d", anybody, 60) is None


def test_a_study_says_how_many_workers_may_be_lost(store):
    study = run(store, store.create_study(stub_study("s", limits={"attempts": 1})))
    queue(store, study, 1)
    expire(store, claim(store))
    (trial,) = store.sweep(attempts=3)
    assert (trial.state, trial.reason) == (
        "failed",
        "1 workers were lost while they ran it, the last of them worker",
    )


def test_a_restarted_worker_takes_back_what_it_left_and_nothing_else(store, study):
    queue(store, study, 4)
    store.finish_trial(claim(store, worker="w"), METRICS)
    mine, theirs = claim(store, worker="w"), claim(store, worker="x")
    coordinated = run(store, store.create_study(stub_study("mine")), "w")
    assert [(t.id, t.state) for t in store.take_back("w", attempts=3)] == [(mine.id, "queued")]
    assert [t.state for t in store.trials(study)] == ["complete", "queued", "running", "queued"]
    assert store.finish_trial(theirs, METRICS).state == "complete"
    found, inherited = store.claim_study(coordinated.id, "w", 60)
    assert inherited and found.token == coordinated.token + 1  # who goes on must settle what was left
    assert store.claim_study(study.id, "w", 60) is None  # another one's
    assert store.take_back("w", attempts=3) == []


def test_what_a_worker_writes_while_it_is_restarted_elsewhere_is_not_undone(store, study):
    """The old process is in the middle of writing its result when the new one takes back what it left."""
    queue(store, study, 1)
    trial = claim(store, worker="w")
    with store._writing() as session:
        held = session.scalar(select(TrialRow).where(TrialRow.id == trial.id).with_for_update(of=TrialRow))
        held.state, held.lease_until = "complete", None
        session.flush()
        taken = []
        successor = threading.Thread(target=lambda: taken.extend(store.take_back("w", attempts=3)))
        successor.start()
        successor.join(0.3)  # it waits for the row
    successor.join(30)
    assert taken == [] and store.trial(study, 0).state == "complete"


def test_a_study_is_free_when_released_or_silent(store):
    study = store.create_study(stub_study("s"))
    first, inherited = store.claim_study(study.id, "a", 60)
    assert (first.worker, first.token, inherited) == ("a", 1, False)
    assert store.claim_study(study.id, "b", 60) is None
    assert (
        store.claim_study(study.id, "a", 60) is None
    )  # not even its own holder: it would forget what it holds
    store.release_study(first)
    second, inherited = store.claim_study(study.id, "b", 0.0)
    assert (second.token, inherited) == (2, False)
    time.sleep(0.01)
    third, inherited = store.claim_study(study.id, "a", 60)
    assert (third.token, inherited) == (3, True)  # b never gave it back
    store.release_study(second)
    assert store.get_study("s").worker == "a"
    assert store.claim_study("no such id", "a", 60) is None


def test_only_studies_that_are_at_work_are_coordinated(store):
    study = store.create_study(stub_study("s"))
    found = {}
    for state in ("queued", "running", "confirming", "stopping"):
        store.set_study_state(study, state)
        found[state] = coordinate(store, study).state
        store.release_study(store.get_study("s"))
    assert found == {state: state for state in found}
    for state in ("paused", "finished", "interrupted"):
        store.set_study_state(study, state)
        assert store.claim_study(study.id, "w", 60) is None, state
    for state in ("cancelled", "failed"):  # what was cut off is still to be told
        store.set_study_state(study, state)
        assert coordinate(store, study).state == state
        store.release_study(store.get_study("s"))


def test_a_coordinator_does_not_undo_what_a_person_did_meanwhile(store, study):
    store.pause(study)
    moved = store.move_study(study, "confirming", meta={"anatomy": {"layers": 6}}, summary={"front": []})
    assert (moved.state, moved.meta, moved.summary) == ("paused", {"anatomy": {"layers": 6}}, {"front": []})


def test_workers_come_go_and_are_forgotten(store):
    one = store.sign_on("one", 11, {"cores": 2}, stub_host("h"))
    store.sign_on("two", 12, {}, stub_host("h"))
    assert [(w.name, w.pid, w.host.name) for w in store.workers()] == [("one", 11, "h"), ("two", 12, "h")]
    assert all(w.silent_s < 5 for w in store.workers()) and one.capabilities == {"cores": 2}
    store.sign_off(one)
    assert store.find_worker("one").stopped_at is not None
    again = store.sign_on("one", 13, {}, stub_host("h"))
    assert again.incarnation != one.incarnation and again.stopped_at is None
    with store._writing() as session:
        from tuner.store.models import WorkerRow

        session.execute(update(WorkerRow).where(WorkerRow.name == "two").values(beat_at=clock() - 100))
    assert store.find_worker("two").silent_s == pytest.approx(100, abs=5)
    assert store.forget_workers(50) == 1 and store.find_worker("two") is None
    assert [h.name for h in store.hosts()] == ["h"]


def test_a_lease_is_of_a_trial_or_of_a_study(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    assert lease_of(claim(store)) == Lease("trial", store.trial(study, 0).id, "worker", 1)
    assert lease_of(study) == Lease("study", study.id, "coordinator", 1)
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).where(StudyRow.lease_until.is_not(None))) == 1
