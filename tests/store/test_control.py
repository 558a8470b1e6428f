"""Control: what a person may ask of a study and of a trial in each state, and what becomes of who is at work."""

from __future__ import annotations

import pytest

from tests.service.stub import stub_host, stub_study
from tests.store.claims import claim, coordinate, run, snapshot
from tuner.candidate import baseline
from tuner.errors import InputError, LeaseLostError, NotFoundError
from tuner.metrics import Estimate
from tuner.store.leases import lease_of
from tuner.store.models import STUDY_STATES, TRIAL_STATES

METRICS = {"accuracy": Estimate.exact(0.9), "latency_ms": Estimate.exact(2.0)}
OPEN = ("queued", "running", "confirming", "stopping", "paused")
OVER = ("finished", "interrupted", "cancelled", "failed")


def anybody(requires):
    return True


def in_state(store, state, name="s", **meta):
    """A study of that name in a state; `anatomy` says that it was prepared."""
    if (old := store.find_study(name)) is not None:
        store.delete_study(old)
    return store.set_study_state(store.create_study(stub_study(name), meta=meta), state)


def trial_in_state(store, state, name="s"):
    """A study with trial 0 in a state."""
    study = run(store, in_state(store, "queued", name))
    trial = store.new_trial(study, 0, baseline(6, 2), seed=True, requires={"engine": "torch"})
    if state == "repeated":
        store.repeat_trial(study, 1, baseline(6, 2), store.finish_trial(claim(store, trial), METRICS))
        return study, 1
    if state == "cancelled":
        store.cancel(study)
        return store.set_study_state(study, "running"), 0
    if state != "queued":
        held = claim(store, trial)
        ends = {
            "complete": lambda: store.finish_trial(held, METRICS),
            "failed": lambda: store.fail_trial(held, "build", "no"),
            "pruned": lambda: store.prune_trial(held, "gate", "slow"),
            "running": lambda: None,
        }
        ends[state]()
    return study, 0


FURTHER = "go on; run it with a larger budget to go on"


def outcomes(store, action, **meta):
    """Return the state, or the refusal, to which an action takes a study of each state."""
    found = {}
    for state in STUDY_STATES:
        study = in_state(store, state, **meta)
        try:
            found[state] = action(study).state
        except InputError as error:
            found[state] = str(error)
            assert store.get_study("s") == study  # and nothing was changed
    return found


def refused(states, what):
    return {state: f"study 's' is {state} and cannot {what}" for state in states}


def test_pause(store):
    assert outcomes(store, store.pause) == {**dict.fromkeys(OPEN, "paused"), **refused(OVER, "be paused")}


def test_stop_without_anything_running(store):
    assert outcomes(store, store.stop) == {
        **dict.fromkeys(OPEN, "interrupted"),
        **refused(OVER, "be stopped"),
    }


def test_cancel(store):
    assert outcomes(store, store.cancel) == {
        **dict.fromkeys(OPEN, "cancelled"),
        **refused(OVER, "be cancelled"),
    }


@pytest.mark.parametrize(("meta", "begun"), [({}, "queued"), ({"anatomy": {"layers": 6}}, "running")])
def test_resume_and_reopen(store, meta, begun):
    at_work = {state: state for state in ("queued", "running", "confirming")}
    again = dict.fromkeys(("paused", "stopping", "interrupted", "cancelled", "failed"), begun)
    assert outcomes(store, store.resume, **meta) == {**at_work, **again, **refused(["finished"], FURTHER)}
    assert outcomes(store, store.reopen, **meta) == {**at_work, **again, "finished": begun}


def test_a_drained_study_is_interrupted_and_no_other_is_touched(store):
    assert outcomes(store, store.drained) == {s: s for s in STUDY_STATES} | {"stopping": "interrupted"}


def test_what_a_person_did_is_on_record(store, study):
    for action in (store.pause, store.resume, store.stop, store.reopen, store.cancel):
        action(study)
    said = [(e.kind, e.message) for e in store.events(study)]
    kinds = ("paused", "queued", "interrupted", "queued", "cancelled")
    assert said == [(kind, f"study s is {kind}") for kind in kinds]
    before = snapshot(store)
    with pytest.raises(InputError):
        store.pause(study)
    assert snapshot(store) == before


def test_a_paused_study_hands_nothing_out_and_what_runs_comes_to_its_end(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    running = claim(store)
    store.new_trial(study, 1, baseline(5, 2))
    store.pause(study)
    assert store.claim_trial("w", anybody, 60) is None
    me = store.sign_on("worker", 1, {}, stub_host())
    assert store.beat(me.name, me.incarnation, [lease_of(running), lease_of(study)], 60) == []
    assert store.finish_trial(running, METRICS).state == "complete"
    store.release_study(study)
    assert store.claim_study(study.id, "w", 60) is None
    store.set_study_state(study, "running")
    assert claim(store).number == 1


def test_a_stopping_study_hands_nothing_out_and_is_interrupted_with_its_last_trial(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    running = claim(store)
    store.new_trial(study, 1, baseline(5, 2))
    assert store.stop(study).state == "stopping"
    assert store.stop(study).state == "stopping"
    assert store.claim_trial("w", anybody, 60) is None
    assert store.drained(study).state == "stopping"
    store.finish_trial(running, METRICS)
    assert store.drained(study).state == "interrupted"
    assert store.counts(study) == {"complete": 1, "queued": 1}  # what was queued waits for the study to go on


def test_a_stopping_study_whose_worker_is_lost_is_not_held_up(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    claim(store, worker="w")
    store.stop(study)
    store.take_back("w", attempts=3)
    assert store.drained(study).state == "interrupted"


def test_cancel_ends_what_is_queued_or_runs_and_whoever_runs_it_is_refused(store, study):
    for i in range(4):
        store.new_trial(study, i, baseline(6 - i, 2))
    done, running = claim(store), claim(store)
    store.finish_trial(done, METRICS)
    other = run(store, store.create_study(stub_study("other")))
    theirs = store.new_trial(other, 0, baseline(6, 2))
    store.cancel(study)
    trials = store.trials(study)
    assert [t.state for t in trials] == ["complete", "cancelled", "cancelled", "cancelled"]
    for trial in trials[1:]:
        assert (trial.kind, trial.reason) == ("cancelled", "the study was cancelled")
        assert trial.finished_at is not None and trial.worker is None and not trial.told
    assert store.trial(other, 0) == theirs
    before = snapshot(store)
    for late in (
        lambda: store.finish_trial(running, METRICS),
        lambda: store.fail_trial(running, "error", "x"),
        lambda: store.release_trial(running),
        lambda: store.move_study(study, "finished"),
        lambda: store.new_trial(study, 9, baseline(1, 1)),
    ):
        with pytest.raises(LeaseLostError):
            late()
    assert snapshot(store) == before
    me = store.sign_on("worker", 1, {}, stub_host())
    leases = [lease_of(running), lease_of(study)]
    assert store.beat(me.name, me.incarnation, leases, 60) == leases
    assert store.sweep(attempts=3) == [] and store.claim_trial("w", anybody, 60, study_id=study.id) is None


def test_a_cancelled_candidate_counts_for_nothing_and_may_be_asked_for_again(store, study):
    store.new_trial(study, 0, baseline(6, 2))
    claim(store)
    store.cancel(study)
    assert (store.spans(study), store.hashes(study), store.find_trial(study, baseline(6, 2))) == (
        [],
        set(),
        None,
    )
    again = coordinate(store, store.set_study_state(study, "running"))
    assert store.new_trial(again, 1, baseline(6, 2)).number == 1


def test_which_trials_are_tried_again(store):
    for state in TRIAL_STATES:
        study, number = trial_in_state(store, state)
        old, count = store.trial(study, number), len(store.trials(study))
        if state in ("failed", "pruned", "cancelled"):
            new = store.retry_trial(study, number)
            assert (new.number, new.state, new.retry_of) == (count, "queued", old.id)
            assert (new.candidate, new.seed, new.requires) == (old.candidate, True, {"engine": "torch"})
            assert (new.attempt, new.token, new.told, new.optuna_number) == (0, 0, False, None)
            assert store.trial(study, number) == old
            assert store.retry_trial(study, number) == new  # asked twice, queued once
            assert claim(store, study_id=study.id).id == new.id
        else:
            said = f"trial {number} of 's' is {state}: only a failed one is tried again"
            with pytest.raises(InputError, match=f"^{said}$"):
                store.retry_trial(study, number)
            assert len(store.trials(study)) == count


def test_a_retry_lets_the_study_go_on_unless_it_is_paused(store):
    found = {}
    for state in STUDY_STATES:
        study, _ = trial_in_state(store, "failed")
        store.set_study_state(study, state)
        store.retry_trial(study, 0)
        found[state] = store.get_study("s").state
    assert found == dict.fromkeys(STUDY_STATES, "running") | {"paused": "paused"}


def test_a_retry_that_failed_is_tried_again(store):
    study, _ = trial_in_state(store, "failed")
    first = claim(store, store.retry_trial(study, 0))
    store.fail_trial(first, "build", "no")
    second = store.retry_trial(study, first.number)
    assert (second.number, second.retry_of) == (2, first.id)
    assert store.retry_trial(study, 0).number == 3  # the first attempt is over: asked for anew


def test_which_trials_are_discarded(store):
    for state in TRIAL_STATES:
        study, number = trial_in_state(store, state)
        if state in ("queued", "running"):
            before = snapshot(store)
            said = f"trial 0 of 's' is {state}: stop the study first, or wait"
            with pytest.raises(InputError, match=f"^{said}$"):
                store.discard_trial(study, 0, "why")
            assert snapshot(store) == before
        else:
            found = store.discard_trial(study, number, "a neighbour was loud")
            assert (found.state, found.discard_reason) == (state, "a neighbour was loud")
            assert found.discarded_at is not None and store.trial(study, number) == found
            assert store.events(study)[-1].message == f"trial {number} was discarded: a neighbour was loud"


def test_a_discard_opens_an_epoch_in_which_optuna_hears_of_all_others_again(store, study):
    for i in range(4):
        store.new_trial(study, i, baseline(6 - i, 2))
    for _ in range(3):
        store.set_told(store.finish_trial(claim(store), METRICS), 7)
    assert (study.epoch, study.optuna_name) == (0, study.id)
    store.discard_trial(study, 1, "why")
    found = store.trials(study)
    assert [(t.told, t.optuna_number) for t in found] == [
        (False, None),
        (True, None),
        (False, None),
        (False, None),
    ]
    assert [t.number for t in store.untold(study)] == [0, 2]
    now = store.get_study("s")
    assert (now.epoch, now.optuna_name) == (1, f"{study.id}.1")
    with pytest.raises(LeaseLostError):  # who coordinates it now has the old view
        store.move_study(study, summary={"front": [1]})
    assert coordinate(store, now, "another").epoch == 1
    store.discard_trial(study, 2, "why")
    assert store.get_study("s").epoch == 2 and [t.number for t in store.untold(study)] == [0]


def test_a_trial_that_is_not_there(store, study):
    for action in (store.retry_trial, lambda s, n: store.discard_trial(s, n, "why")):
        with pytest.raises(NotFoundError, match=r"^study 's' has no trial 7$"):
            action(study, 7)
    with pytest.raises(NotFoundError, match=r"^no study with id none$"):
        store.pause("none")
