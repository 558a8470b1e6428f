"""Heart: it says what it holds, notices what it lost, and goes on beating whatever the database does."""

from __future__ import annotations

import threading
import time

import pytest

from tests.kept import sqlite_only
from tests.service.stub import stub_host, stub_study
from tests.store.claims import claim, expire, run
from tuner.candidate import baseline
from tuner.errors import StoreUnavailableError, TunerError
from tuner.service.heart import Heart
from tuner.store.leases import lease_of


@pytest.fixture
def trial(store):
    study = run(store, store.create_study(stub_study("s")))
    return store.new_trial(study, 0, baseline(6, 2))


def wait(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return found


def test_what_is_held_outlives_its_lease_and_what_is_not_ends(store, trial):
    me = store.sign_on("w", 1, {}, stub_host())
    lost = []
    with Heart(store, me, 0.6, lambda: lost.append(True)) as heart:
        held = claim(store, trial, "w", seconds=0.6)
        with heart.holding(lease_of(held)):
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                assert store.sweep(attempts=3) == []
                time.sleep(0.05)
            assert store.find_worker("w").silent_s < 1.0
        assert wait(lambda: store.sweep(attempts=3))  # nobody holds it any more
    assert lost == [] and not heart.superseded and not heart.lost(lease_of(held))


@sqlite_only
def test_a_lost_lease_is_told_once_and_from_the_hearts_own_thread(store, trial):
    me, told = store.sign_on("w", 1, {}, stub_host()), []
    with Heart(store, me, 0.3, lambda: told.append(threading.current_thread().name)) as heart:
        held = claim(store, trial, "w")
        with heart.holding(lease_of(held)):
            assert not heart.lost(lease_of(held))
            expire(store, held)
            store.sweep(attempts=3)
            assert wait(lambda: heart.lost(lease_of(held)))
            time.sleep(0.2)
            again = claim(store, trial, "w")
            assert not heart.lost(lease_of(again))  # another claim of the same trial
    assert told and set(told) == {"heart"}


@sqlite_only
def test_a_superseded_worker_has_lost_all_it_holds(store, trial):
    me, told = store.sign_on("w", 1, {}, stub_host()), []
    with Heart(store, me, 0.3, lambda: told.append(True)) as heart:
        held = claim(store, trial, "w")
        with heart.holding(lease_of(held)):
            store.sign_on("w", 2, {}, stub_host())
            assert wait(lambda: heart.superseded)
            assert heart.lost(lease_of(held)) and told
    assert store.trial(trial.study_id, 0).state == "running"  # its successor decides


@sqlite_only
def test_a_lease_that_was_given_back_meanwhile_is_not_lost(store, trial):
    me, told = store.sign_on("w", 1, {}, stub_host()), []
    heart = Heart(store, me, 60.0, lambda: told.append(True))
    held = claim(store, trial, "w")
    beat = store.beat

    def given_back(*arguments):
        store.release_trial(held)
        found = beat(*arguments)
        heart._held.discard(lease_of(held))  # as at the end of `holding`, in the worker's thread
        return found

    store.beat = given_back
    with heart.holding(lease_of(held)):
        heart.beat()
    assert told == [] and not heart.lost(lease_of(held))


@sqlite_only
@pytest.mark.parametrize(
    "error", [StoreUnavailableError("gone"), TunerError("no space left"), RuntimeError("a bug")]
)
def test_a_beat_that_fails_is_followed_by_the_next(store, trial, error):
    me, told, beats = store.sign_on("w", 1, {}, stub_host()), [], []
    beat = store.beat

    def failing(*arguments):
        beats.append(True)
        if len(beats) <= 3:
            raise error
        return beat(*arguments)

    store.beat = failing
    with Heart(store, me, 0.3, lambda: told.append(True)) as heart:
        held = claim(store, trial, "w")
        with heart.holding(lease_of(held)):
            assert wait(lambda: len(beats) > 5)
            assert not heart.lost(lease_of(held)) and told == []
    assert not heart.superseded
