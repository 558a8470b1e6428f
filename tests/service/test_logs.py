"""A worker's log: each line with worker, study and trial, as text and as JSON, whoever says it."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings

import pytest
import structlog

from tests.service.rowed import candidate, metrics
from tuner.service.events import Event
from tuner.service.logs import Logs


@pytest.fixture(autouse=True)
def others():
    """Leave logging as it was."""
    root, tuners, show = logging.getLogger(), logging.getLogger("tuner"), warnings.showwarning
    handlers, levels = root.handlers, (root.level, tuners.level)
    yield
    logging.captureWarnings(False)
    warnings.showwarning = show
    root.handlers = handlers
    root.setLevel(levels[0]), tuners.setLevel(levels[1])
    structlog.reset_defaults()


@pytest.fixture
def logs():
    """Both forms: a function that makes a log and one that returns its lines."""
    stream = io.StringIO()

    def made(form):
        return Logs("w1", form, stream), lambda: stream.getvalue().splitlines()

    return made


FINISHED = Event(
    "trial-finished", "trial 3 done", "quick", 3, candidate(2), done=4, total=26, seconds_left=61.23456,
    best_speedup=8.123456, hypervolume=0.5, metrics=metrics(8.0, 0.0123456)[0],
)  # fmt: skip


def test_json_lines_carry_what_an_event_knows(logs):
    log, lines = logs("json")
    log(Event("trial-started", f"trial 3: {candidate(2).label()}", "quick", 3, candidate(2)))
    log(FINISHED)
    started, finished = map(json.loads, lines())
    assert (started["worker"], started["study"], started["trial"]) == ("w1", "quick", 3)
    assert "candidate" not in started and candidate(2).label() in started["message"]
    assert (finished["kind"], finished["level"], finished["candidate"]) == (
        "trial-finished",
        "info",
        candidate(2).label(),
    )
    assert (finished["speedup"], finished["accuracy_drop"], finished["seconds_left"]) == (8.0, 0.01235, 61.23)
    assert finished["time"].endswith("Z") and "stage" not in finished


def test_text_lines_are_for_people_and_name_the_same(logs):
    log, lines = logs("text")
    log.say("worker w1 starts")
    log(FINISHED)
    log(Event("trial-failed", "trial 4: error: it\n broke", "quick", 4, candidate(1)))
    first, second, third = lines()
    assert first.split(" ", 1)[1] == "info    worker w1 starts  worker=w1 study=- trial=-"
    assert "info    trial 3 done  worker=w1 study=quick trial=3 kind=trial-finished done=4 total=26" in second
    assert f"candidate='{candidate(2).label()}'" in second
    assert "warning trial 4: error: it broke  worker=w1 study=quick trial=4" in third


def test_what_others_say_while_a_trial_runs_is_of_that_trial(logs):
    log, lines = logs("json")
    other = logging.getLogger("somebody.else")
    other.info("chatter")
    log(Event("trial-started", "trial 3", "quick", 3))
    log(Event("stage", "build …", "quick", 3, stage="build"))
    thread = threading.Thread(
        target=lambda: logging.getLogger("tuner.store.retry").warning("%s; again", "locked")
    )
    thread.start()
    thread.join()
    warnings.warn("deprecated", UserWarning, stacklevel=1)
    log(Event("note", "trial 9: its worker was lost", None, 9))
    log(Event("trial-failed", "trial 3: error", "quick", 3))
    other.warning("afterwards")
    _, stage, retry, warning, lost, _, after = map(json.loads, lines())
    assert stage["stage"] == "build"
    assert (retry["message"], retry["study"], retry["trial"], retry["level"]) == (
        "locked; again",
        "quick",
        3,
        "warning",
    )
    assert "deprecated" in warning["message"] and warning["trial"] == 3
    assert (lost["study"], lost["trial"]) == (None, 9)
    assert (after["study"], after["trial"], after["worker"]) == ("quick", None, "w1")


def test_an_exception_is_written_whole(logs):
    for form in ("json", "text"):
        _, lines = logs(form)
        try:
            raise ZeroDivisionError("oh")
        except ZeroDivisionError:
            logging.getLogger("tuner.service.heart").exception("a beat failed")
        assert "ZeroDivisionError: oh" in "\n".join(lines()) and "a beat failed" in "\n".join(lines())
    assert json.loads(lines()[0])["level"] == "error"
