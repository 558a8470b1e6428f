"""The worker's loop: what it takes, gives back and refuses, and how it comes and goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.kept import sqlite_only
from tests.service.stub import OFFERS, StubPipeline, stub_host, stub_study, stub_worker
from tests.store.claims import expire
from tuner.errors import InputError, JobError, TunerError
from tuner.service.requires import capabilities
from tuner.service.worker import at_work

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(store):
    return store.create_study(stub_study("s", trials=4))


class Beside:
    """A worker that runs in a thread; what it raised is kept."""

    def __init__(self, worker):
        self.worker, self.error = worker, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.worker.run()
        except BaseException as error:
            self.error = error

    def left(self, seconds=30.0):
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the worker does not leave"
        return self.error

    def drain(self):
        self.worker.draining = True
        self.worker.wake()
        return self.left()


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
    return found


def running(store, study):
    return until(lambda: store.trials(study, ("running",)))[0]


@sqlite_only
def test_once_is_one_trial(store, study):
    worker = stub_worker(store, "w", once=True)
    worker.run()
    assert (worker.taken, store.counts(study)["complete"]) == (1, 1)
    assert store.find_worker("w").stopped_at is not None


@sqlite_only
def test_draining_finishes_the_trial_at_hand_and_takes_no_other(store, study):
    beside = Beside(stub_worker(store, "w", StubPipeline(0.3)))
    running(store, study)
    assert beside.drain() is None
    assert store.counts(study) == {"complete": 1}
    assert store.find_worker("w").stopped_at is not None
    found = store.get_study("s")
    assert (found.state, found.worker) == ("running", None)


@sqlite_only
def test_waking_ends_a_wait_at_once(store):
    beside = Beside(stub_worker(store, "w", poll_s=60))
    until(lambda: store.find_worker("w"))
    time.sleep(0.1)
    assert beside.drain() is None


@sqlite_only
def test_a_worker_of_one_study_touches_no_other_and_leaves_when_that_is_over(store, study):
    other = store.create_study(stub_study("other", trials=2))
    stub_worker(store, "w", only=study).run()
    assert store.get_study("s").state == "finished"
    assert (store.get_study("other").state, store.trials(other)) == ("queued", [])


@sqlite_only
def test_two_workers_of_one_name_on_one_host_is_refused(store, study):
    beside = Beside(stub_worker(store, "w", StubPipeline(0.5)))
    running(store, study)
    said = f"--name: a worker named 'w' is at work (process {os.getpid()}); choose another name"
    with pytest.raises(InputError) as caught:
        stub_worker(store, "w").run()
    assert str(caught.value) == said
    assert beside.drain() is None  # and the first one was not disturbed
    assert store.counts(study) == {"complete": 1}


def test_who_is_at_work(store):
    here = stub_host("here")
    child = subprocess.Popen(["sleep", "60"])
    try:
        there = store.sign_on("w", child.pid, {}, here)
        assert at_work(there, here, 30.0)
        assert not at_work(there, stub_host("elsewhere"), 30.0)  # it moved: the same worker on another host
        assert not at_work(there, here, -1.0)  # silent for longer than its lease
        os.kill(child.pid, signal.SIGSTOP)
        assert until(lambda: not at_work(there, here, 30.0))  # frozen: its successor goes on
        child.kill()
        assert until(lambda: not at_work(there, here, 30.0))  # a zombie
        child.wait()
        assert not at_work(there, here, 30.0)
    finally:
        child.kill()
        child.wait()
    store.sign_off(store.sign_on("w", os.getpid(), {}, here))
    assert not at_work(store.find_worker("w"), here, 30.0) and not at_work(None, here, 30.0)


def test_a_superseded_worker_gives_up_at_once_and_says_so(store, study):
    pipeline = StubPipeline(60)
    beside = Beside(stub_worker(store, "w", pipeline, lease_s=0.3))
    trial = running(store, study)
    store.sign_on("w", 1, capabilities(stub_host(), OFFERS), stub_host())
    error = beside.left()
    assert isinstance(error, TunerError)
    assert str(error) == "another worker named 'w' has started and goes on with its work"
    assert store.trial(study, trial.number) == trial  # its successor's to take back
    assert pipeline.closed == 1 and store.find_worker("w").stopped_at is None


def test_a_worker_that_lost_a_trial_drops_it_and_goes_on(store, study):
    pipeline = StubPipeline(0.0)
    late = []

    def fail(candidate):  # the first time, it falls silent for longer than its lease
        if not late:
            late.append(running(store, study))
            expire(store, late[0])
            assert [t.id for t in store.sweep(attempts=3)] == [late[0].id]

    pipeline.fail = fail
    said = []
    worker = stub_worker(store, "w", pipeline, drain=True, listen=lambda e: said.append(e.message))
    worker.run()
    assert store.get_study("s").state == "finished"
    first = store.trial(study, late[0].number)
    assert (first.state, first.attempt, first.token) == ("complete", 2, 2)
    assert f"trial {first.number} is not run by w any more: its result is dropped" in said
    assert len(pipeline.evaluated) == 5


@sqlite_only
def test_a_trial_that_is_cancelled_is_aborted_and_the_worker_goes_on(store, study):
    pipeline = StubPipeline(60)
    beside = Beside(stub_worker(store, "w", pipeline, lease_s=0.3))
    running(store, study)
    store.cancel(study)
    pipeline.seconds = 0.0  # what is next is quick
    done = store.create_study(stub_study("next", trials=2))
    until(lambda: store.get_study("next").state == "finished")
    assert beside.drain() is None
    assert set(store.counts(study)) == {"cancelled"}
    assert store.counts(done) == {"complete": 2}


@sqlite_only
@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (JobError("disk-full", "no space left under /x"), 0),
        (KeyboardInterrupt(), 0),
        (RuntimeError("a bug of ours"), 1),  # which may be the candidate's doing: counted, it comes to an end
    ],
)
def test_what_is_no_fault_of_the_candidate_gives_it_back_and_ends_the_worker(store, study, error, attempts):
    class Broken(StubPipeline):
        def evaluate(self, study, candidate, gate=None):
            raise error

    pipeline = Broken()
    with pytest.raises(type(error)):
        stub_worker(store, "w", pipeline, drain=True).run()
    (trial,) = store.trials(study)
    assert (trial.state, trial.attempt, trial.worker, trial.token) == ("queued", attempts, None, 1)
    assert pipeline.closed == 1 and store.get_study("s").worker is None
    stub_worker(store, "w", drain=True).run()  # in the same process: the name is free at once
    assert store.counts(study) == {"complete": 4}


@sqlite_only
def test_data_that_is_missing_on_this_host_only_is_another_ones_turn(store, study):
    class Missing(StubPipeline):
        def evaluate(self, study, candidate, gate=None):
            raise InputError("data.source: no such folder")

    store.sign_off(store.sign_on("a", 1, {}, stub_host()))
    beside = Beside(stub_worker(store, "a", Missing()))
    until(lambda: [e for e in store.trials(study) if e.token])
    until(lambda: store.counts(study).get("queued"))
    stub_worker(store, "b", drain=True).run()
    assert beside.drain() is None
    assert store.get_study("s").state == "finished"
    assert {(t.state, t.worker, t.attempt) for t in store.trials(study)} == {("complete", "b", 1)}


def test_a_process_that_was_killed_is_taken_over_by_its_next_self_at_once(kept_url, store, study):
    command = [sys.executable, "-m", "tests.service.stub", "--db", kept_url, "--name", "w", "--seconds", "60"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TUNER_LEASE": "300"}
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        trial = running(store, study)
        assert trial.worker == "w" and store.find_worker("w").pid == child.pid
    finally:
        child.kill()
        child.wait()
    stub_worker(store, "w", drain=True).run()  # long before the lease ends
    assert store.get_study("s").state == "finished"
    again = store.trial(study, trial.number)
    assert (again.state, again.attempt) == ("complete", 2)
    assert [e.message for e in store.events(study) if e.kind == "lost"] == [
        f"worker w was lost while it ran trial {trial.number} (attempt 1)"
    ]


def test_who_computed_on_the_gpu_beside_a_measurement_is_written_down(store):
    class Shared(StubPipeline):
        def _performance(self, candidate):
            shared = ["process 4711 (python) computed on NVIDIA H100 0 for 40% of the time"]
            return {**super()._performance(candidate), "gpu": {"shared": shared}}

    study = store.create_study(stub_study("shared", 1))
    stub_worker(store, "w", Shared(), only=study).run()
    said = [event.message for event in store.recent_events(study.id, 50)]
    assert "trial 0: process 4711 (python) computed on NVIDIA H100 0 for 40% of the time" in said
