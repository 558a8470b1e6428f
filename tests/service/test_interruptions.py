"""A study that is killed, drained or run again: nothing is lost, nothing is run twice."""

import os
import signal
import time

import psutil

from studies import FIRST_STEPS, start, tuner
from tuner.store import Store

#: The stages before measuring come from the shared cache; measuring is each study's own.
FRESH = ["--trials", "4"]


def trials(home, name):
    with Store.open(f"sqlite:///{home}/tuner.db") as store:
        study = store.find_study(name)
        return [] if study is None else store.trials(study)


def finished(home, name):
    return [t for t in trials(home, name) if t.state == "complete"]


def wait_for(home, name, count, process, seconds=200):
    deadline = time.monotonic() + seconds
    while len(finished(home, name)) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f"no {count} finished trials in time"
        time.sleep(0.1)


def assert_whole(home, name, count):
    """Every candidate once, all finished, and Optuna agrees."""
    import optuna

    stored = [t for t in trials(home, name) if t.state != "repeated"]
    assert [t.state for t in stored] == ["complete"] * count
    assert len({t.hash for t in stored}) == count
    with Store.open(f"sqlite:///{home}/tuner.db") as store:
        study = store.get_study(name)
        assert study.state == "finished"
        told = optuna.load_study(study_name=study.id, storage=f"sqlite:///{home}/tuner.db").trials
    by_number = {t.number: t.state.name for t in told}
    assert "RUNNING" not in by_number.values()
    assert all(by_number[t.optuna_number] == "COMPLETE" for t in stored if t.optuna_number is not None)


def asked_and_not_stored(home, name):
    """Return the numbers of Optuna's running trials that the store does not know."""
    import optuna

    stored = {t.optuna_number for t in trials(home, name)}
    with Store.open(f"sqlite:///{home}/tuner.db") as store:
        study_name = store.get_study(name).optuna_name
    told = optuna.load_study(study_name=study_name, storage=f"sqlite:///{home}/tuner.db").trials
    return [t.number for t in told if t.state.name == "RUNNING" and t.number not in stored]


def children(process):
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            return True
        time.sleep(0.1)
    return False


def test_kill_9_in_the_middle(home):
    name = "killed"
    command = ("run", FIRST_STEPS, *FRESH, "--set", f"name={name}", "--set", "measure.seconds=2")
    process = start(home, *command)
    wait_for(home, name, 2, process)
    family = children(process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {t.id: (t.finished_at, t.attempt) for t in finished(home, name)}
    assert family
    assert gone(family), "children outlived the killed tuner"

    done = tuner(home, *command, TUNER_FAULT="after_ask:kill")  # and once more, between asking and storing
    assert done.returncode == -signal.SIGKILL, done.stderr
    (orphan,) = asked_and_not_stored(home, name)

    done = tuner(home, *command)
    assert done.returncode == 0, done.stderr
    after = {t.id: (t.finished_at, t.attempt) for t in finished(home, name)}
    assert before.items() <= after.items()  # no finished trial lost or run again
    assert_whole(home, name, 4)
    assert orphan not in [t.optuna_number for t in trials(home, name)]


def test_the_first_signal_drains(home):
    """Ctrl-C, then the same command and a service manager's SIGTERM, then the same command to its end."""
    name, count = "drained", 5
    timed = ("--set", f"name={name}", "--set", "measure.seconds=1.5")
    command = ("run", FIRST_STEPS, "--trials", count, *timed)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(home, *command)
        wait_for(home, name, len(finished(home, name)) + 1, process)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130, errors
        assert "draining" in errors
        drained = trials(home, name)
        # The trial at hand was finished; one may have been asked for already, and waits for the next command.
        assert {t.state for t in drained} <= {"complete", "queued"}
        assert len(drained) < count

    done = tuner(home, *command)
    assert done.returncode == 0, done.stderr
    assert_whole(home, name, count)
