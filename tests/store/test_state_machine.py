"""The store against a plain model: whatever is done in whatever order, both are in the same state.

The model is a few dictionaries. What it refuses, the store must refuse and leave everything as it was.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from tests.kept import empty
from tests.service.stub import stub_host, stub_study
from tests.store.claims import expire
from tuner.candidate import baseline
from tuner.errors import InputError, LeaseLostError, TunerError
from tuner.metrics import Estimate
from tuner.store import Store, Study, Trial
from tuner.store.leases import COORDINATED, CUT_OFF, lease_of
from tuner.store.models import STUDY_STATES, TRIAL_STATES, StudyRow, TrialRow

WORKERS = ("a", "b")
ATTEMPTS = 2
LONG = 600.0
OPEN = ("queued", "running", "confirming", "stopping", "paused")
UNFINISHED = ("queued", "running")
METRICS = {"accuracy": Estimate.exact(0.9)}

workers = st.sampled_from(WORKERS)
ends = st.sampled_from(["complete", "failed", "pruned"])


@dataclass
class ModelTrial:
    state: str = "queued"
    worker: str | None = None
    token: int = 0
    attempt: int = 0
    expired: bool = False
    discarded: bool = False
    retry_of: int | None = None


@dataclass
class ModelStudy:
    state: str = "queued"
    worker: str | None = None
    token: int = 0
    expired: bool = False
    epoch: int = 0
    trials: list[ModelTrial] = field(default_factory=list)

    def oldest(self) -> int | None:
        """The trial that the next claim gives."""
        queued = (n for n, t in enumerate(self.trials) if t.state == "queued")
        return next(queued, None) if self.state == "running" else None

    def holds(self, claimed: Trial) -> bool:
        trial = self.trials[claimed.number]
        return (trial.state, trial.worker, trial.token) == ("running", claimed.worker, claimed.token)

    def take(self, numbers: list[int]) -> None:
        """Take trials from a worker that is lost."""
        for trial in (self.trials[n] for n in numbers):
            trial.state = "failed" if trial.attempt >= ATTEMPTS else "queued"
            trial.worker, trial.expired = None, False


class Leasing(RuleBasedStateMachine):
    """One study, two workers, and a person who changes their mind."""

    store: Store
    claims = Bundle("claims")
    leads = Bundle("leads")

    def __init__(self) -> None:
        super().__init__()
        empty(self.store)
        self.model = ModelStudy()
        self.ids = itertools.count()
        self.seen: dict[str, int] = {}

    @initialize(target=leads)
    def submit(self) -> Study:
        spec = stub_study("s", limits={"attempts": ATTEMPTS})
        self.study = self.store.create_study(spec, meta={"anatomy": {"layers": 6}})
        self.me = {w: self.store.sign_on(w, 1, {}, stub_host()) for w in WORKERS}
        self.store.set_study_state(self.study, "running")
        self.model.state = "running"
        study = self._claim_study("a")
        for _ in range(3):
            self.queue(study)
        return study

    # -- coordinating

    def _claim_study(self, worker: str) -> Study:
        found = self.store.claim_study(self.study.id, worker, LONG)
        model = self.model
        if model.state not in (*COORDINATED, *CUT_OFF) or not (model.worker is None or model.expired):
            assert found is None
            return multiple()
        assert found is not None and found[1] == (model.worker is not None)
        model.worker, model.token, model.expired = worker, model.token + 1, False
        return found[0]

    def _leads(self, study: Study) -> bool:
        return (self.model.worker, self.model.token) == (study.worker, study.token)

    @rule(target=leads, worker=workers, silent=st.booleans())
    def claim_study(self, worker, silent):
        if silent and self.model.worker:
            expire(self.store, self.study)
            self.model.expired = True
        return self._claim_study(worker)

    @rule(study=leads, what=st.sampled_from(["queue", "queue", "confirm", "beat_for", "release_study"]))
    def coordinate(self, study, what):
        getattr(self, what)(study)

    def release_study(self, study):
        self.store.release_study(study)
        if self._leads(study):
            self.model.worker, self.model.expired = None, False

    def queue(self, study):
        number = next(self.ids)
        candidate = baseline(number + 1, 1)
        if self._leads(study):
            self.model.trials.append(ModelTrial())
            assert self.store.new_trial(study, number, candidate).number == len(self.model.trials) - 1
        else:
            self._refused(LeaseLostError, lambda: self.store.new_trial(study, number, candidate))

    def confirm(self, study):
        if not self._leads(study):
            self._refused(LeaseLostError, lambda: self.store.move_study(study, "confirming"))
            return
        now = self.store.get_study("s")
        assert self.store.move_study(now, "confirming", summary={"front": []}).state == "confirming"
        self.model.state = "confirming"

    def beat_for(self, study):
        lost = self.store.beat("a", self.me["a"].incarnation, [lease_of(study)], LONG)
        assert (lost == []) == self._leads(study)
        if self._leads(study):
            self.model.expired = False

    # -- running

    @rule(target=claims, worker=workers)
    def claim(self, worker):
        found = self.store.claim_trial(worker, lambda requires: True, LONG, stub_host())
        number = self.model.oldest()
        if number is None:
            assert found is None
            return multiple()
        trial = self.model.trials[number]
        trial.state, trial.worker, trial.token = "running", worker, trial.token + 1
        trial.attempt += 1
        assert (found.number, found.token) == (number, trial.token)
        return found

    @rule(claimed=claims, worker=workers)
    def beat(self, claimed, worker):
        lease = lease_of(claimed)
        lost = self.store.beat(worker, self.me[worker].incarnation, [lease], LONG)
        if self.model.holds(claimed):
            assert lost == []
            self.model.trials[claimed.number].expired = False
        else:
            assert lost == [lease]

    @rule(claimed=claims, how=st.sampled_from(["silent", "swept", "swept", "restarted", "given back"]))
    def lose(self, claimed, how):
        if how == "restarted":
            self.restart(claimed.worker)
        elif how == "given back":
            self.give_back(claimed)
        else:
            if self.model.holds(claimed):
                expire(self.store, claimed)
                self.model.trials[claimed.number].expired = True
            if how == "swept":
                self.sweep()

    def sweep(self):
        silent = [n for n, t in enumerate(self.model.trials) if t.state == "running" and t.expired]
        assert sorted(t.number for t in self.store.sweep(99)) == silent
        self.model.take(silent)

    def restart(self, worker):
        self.me[worker] = self.store.sign_on(worker, 2, {}, stub_host())
        left = [n for n, t in enumerate(self.model.trials) if (t.state, t.worker) == ("running", worker)]
        assert sorted(t.number for t in self.store.take_back(worker, 99)) == left
        self.model.take(left)
        self.model.expired |= self.model.worker == worker

    def give_back(self, claimed):
        if self.model.holds(claimed):
            self.store.release_trial(claimed)
            trial = self.model.trials[claimed.number]
            trial.state, trial.worker, trial.expired = "queued", None, False
            trial.attempt -= 1
        else:
            self._refused(LeaseLostError, lambda: self.store.release_trial(claimed))

    @rule(claimed=claims, end=ends)
    def finish(self, claimed, end):
        """It may be its worker's, or come late, or for the second time."""
        trial = self.model.trials[claimed.number]
        again = (trial.state, trial.worker, trial.token) == (end, claimed.worker, claimed.token)
        call = {
            "complete": lambda: self.store.finish_trial(claimed, METRICS, 0.5),
            "failed": lambda: self.store.fail_trial(claimed, "build", "no"),
            "pruned": lambda: self.store.prune_trial(claimed, "gate", "slow"),
        }[end]
        if again:
            before = self._rows()
            assert call().state == end and self._rows() == before
        elif self.model.holds(claimed):
            assert call().state == end
            trial.state, trial.expired = end, False
        else:
            self._refused(LeaseLostError, call)

    # -- a person

    @rule(what=st.sampled_from(["pause", "stop", "cancel", "drained", "reopen", *(["resume"] * 5)]))
    def change(self, what):
        getattr(self, what)()

    def _turn(self, call, allowed, state):
        if self.model.state in allowed:
            assert call(self.study).state == state
            self.model.state = state
        else:
            self._refused(InputError, lambda: call(self.study))

    def pause(self):
        self._turn(self.store.pause, OPEN, "paused")

    def resume(self):
        if self.model.state in ("queued", "running", "confirming"):
            assert self.store.resume(self.study).state == self.model.state
            return
        self._turn(self.store.resume, (*OPEN, "interrupted", "cancelled", "failed"), "running")

    def reopen(self):
        if self.model.state == "confirming":
            assert self.store.reopen(self.study).state == "confirming"
            return
        self._turn(self.store.reopen, STUDY_STATES, "running")

    def stop(self):
        busy = any(t.state == "running" for t in self.model.trials)
        self._turn(self.store.stop, OPEN, "stopping" if busy else "interrupted")

    def drained(self):
        busy = any(t.state == "running" for t in self.model.trials)
        if self.model.state == "stopping" and not busy:
            self.model.state = "interrupted"
        assert self.store.drained(self.study).state == self.model.state

    def cancel(self):
        could = self.model.state in OPEN
        self._turn(self.store.cancel, OPEN, "cancelled")
        if could:
            model = self.model
            model.worker, model.token, model.expired = None, model.token + 1, False
            for trial in model.trials:
                if trial.state in UNFINISHED:
                    trial.state, trial.worker, trial.expired = "cancelled", None, False
                    trial.token += 1

    @rule(what=st.sampled_from(["retry", "retry", "discard"]), draw=st.integers(0, 99))
    def reconsider(self, what, draw):
        getattr(self, what)(draw % len(self.model.trials))

    def retry(self, number):
        trials = self.model.trials
        unfinished = [n for n, t in enumerate(trials) if t.retry_of == number and t.state in UNFINISHED]
        if not unfinished and trials[number].state not in ("failed", "cancelled", "pruned"):
            self._refused(InputError, lambda: self.store.retry_trial(self.study, number))
            return
        found = self.store.retry_trial(self.study, number)
        if unfinished:
            assert found.number in unfinished
            return
        trials.append(ModelTrial(retry_of=number))
        assert found.number == len(trials) - 1
        if self.model.state != "paused":
            self.model.state = "running"

    def discard(self, number):
        trial = self.model.trials[number]
        if trial.state in UNFINISHED:
            self._refused(InputError, lambda: self.store.discard_trial(self.study, number, "why"))
            return
        self.store.discard_trial(self.study, number, "why")
        trial.discarded = True
        model = self.model
        model.epoch, model.token = model.epoch + 1, model.token + 1
        model.worker, model.expired = None, False

    # -- what always holds

    def _refused(self, error: type[TunerError], call) -> None:
        before = self._rows()
        with pytest.raises(error):
            call()
        assert self._rows() == before

    def _rows(self):
        with self.store.engine.connect() as connection:
            return [
                [tuple(row) for row in connection.execute(select(table.__table__).order_by(table.id))]
                for table in (StudyRow, TrialRow)
            ]

    @invariant()
    def both_are_in_the_same_state(self):
        if not hasattr(self, "study"):
            return
        found, model = self.store.get_study("s"), self.model
        assert (found.state, found.worker, found.token, found.epoch) == (
            *(model.state, model.worker, model.token, model.epoch),
        )
        trials = self.store.trials(found)
        assert [(t.number, t.state, t.attempt, t.discarded_at is not None) for t in trials] == [
            (n, t.state, t.attempt, t.discarded) for n, t in enumerate(model.trials)
        ]
        assert [(t.token, t.worker) for t in trials] == [(t.token, t.worker) for t in model.trials]

    @invariant()
    def leases_are_whole(self):
        with self.store.engine.connect() as connection:
            columns = (TrialRow.id, TrialRow.state, TrialRow.worker, TrialRow.lease_until, TrialRow.token)
            trials = connection.execute(select(*columns)).all()
            study = connection.execute(select(StudyRow.id, StudyRow.state, StudyRow.token)).all()
        assert all(t.state in TRIAL_STATES for t in trials) and all(s.state in STUDY_STATES for s in study)
        for trial in trials:
            assert (trial.lease_until is not None) == (trial.state == "running")
            assert trial.state != "running" or trial.worker is not None
            assert trial.state != "queued" or trial.worker is None
        tokens = {row.id: row.token for row in [*trials, *study]}
        assert all(tokens.get(key, 0) >= token for key, token in self.seen.items())
        self.seen |= tokens


def play(url: str, examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # a failing run is short enough to be read as it is
        suppress_health_check=list(HealthCheck),
    )
    with Store.open(url) as store:
        run_state_machine_as_test(type("Machine", (Leasing,), {"store": store}), settings=chosen)


@pytest.fixture
def sqlite_url(tmp_path):
    """The URL of a database in memory where there is one: only the order of events matters here."""
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path)
    yield f"sqlite:///{folder}/t.db"
    shutil.rmtree(folder, ignore_errors=True)


def test_a_sqlite_store_does_what_the_model_does(sqlite_url):
    play(sqlite_url, examples=15, steps=25)


def test_a_postgresql_store_does_what_the_model_does(postgresql_url):
    play(postgresql_url, examples=4, steps=25)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_store_does_what_the_model_does_in_any_order(request, kind):
    play(request.getfixturevalue(f"{kind}_url"), examples=200, steps=60)
