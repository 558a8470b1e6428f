"""The real pipeline's abort: jobs and serving children die at once, and whoever waits for them goes on."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from tests.service.stub import stub_host
from tuner.errors import JobError
from tuner.measure.client import Serving
from tuner.pipeline.quiet import Quiet
from tuner.service.pipeline import Works

SESSION = """
import time
class Session:
    inputs, fixed_shape = ["input_ids"], None
    def run(self, inputs):
        time.sleep(60)
def load(directory, threads):
    return Session()
"""
RECORD = '{"engine": "test", "bits": 32, "session": "own_session", "fixed_shape": null, "requirements": []}'


class FakeJobs:
    aborted = 0

    def abort(self):
        self.aborted += 1

    def close(self):
        pass


@pytest.fixture
def works(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path / "quiet"))
    found = Works(stub_host())
    yield found
    found.close()


def raised(call):
    """Run it in a thread; return the thread and where its error will be."""
    errors = []

    def run():
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


def test_abort_kills_serving_children(works, tmp_path):
    (tmp_path / "own_session.py").write_text(SESSION)
    (tmp_path / "artefact.json").write_text(RECORD)
    ones = np.ones((2, 4), dtype=np.int64)
    np.savez(tmp_path / "split.npz", input_ids=ones, attention_mask=ones)
    works._jobs = FakeJobs()
    with Serving(tmp_path, 1, sorted(os.sched_getaffinity(0))[:1]) as one:
        thread, errors = raised(lambda: one.predict(tmp_path / "split.npz"))
        time.sleep(0.1)
        assert thread.is_alive()
        works.abort()
        thread.join(10)
        assert isinstance(errors[0], JobError) and errors[0].kind == "signal"
        assert not one.alive
    assert works._jobs.aborted == 1  # what that does: see the tests of jobs


def test_abort_ends_the_wait_for_the_machine(works, tmp_path):
    def measure():
        with works._quiet.exclusive():
            raise AssertionError("it came in")

    with Quiet(tmp_path / "quiet").shared():
        thread, errors = raised(measure)
        time.sleep(0.1)
        assert thread.is_alive()
        works.abort()
        thread.join(10)
    assert isinstance(errors[0], JobError) and errors[0].kind == "aborted"
