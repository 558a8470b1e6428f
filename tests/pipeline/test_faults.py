"""Faults: off unless asked for, and each action does what it says, at its point, at the time that was asked for."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tuner import faults
from tuner.faults import fault

ROOT = Path(__file__).parents[2]
PROGRAM = """
from tuner.faults import fault
for i in range(5):
    print(i, flush=True)
    fault("here")
"""


@pytest.fixture
def asked(monkeypatch):
    """A function that asks for faults; what was counted before is forgotten."""
    faults._seen.clear()
    yield lambda text: monkeypatch.setenv("TUNER_FAULT", text)
    faults._seen.clear()


def start(asked):
    env = {**os.environ, "TUNER_FAULT": asked, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, text=True)


def ended(process):
    out, _ = process.communicate(timeout=30)
    return process.returncode, len(out.split())


def test_nothing_fails_that_was_not_asked_for(asked, monkeypatch):
    monkeypatch.delenv("TUNER_FAULT", raising=False)
    fault("here")
    for text in ("", "there:raise", "here:raise,3", "her:raise", "here2:raise"):
        faults._seen.clear()
        asked(text)
        fault("here")
        fault("here")


def test_the_third_time_and_no_other(asked):
    asked("here:raise,3 there:raise")
    fault("here")
    fault("elsewhere")
    fault("here")
    with pytest.raises(RuntimeError, match=r"^fault at here$"):
        fault("here")
    fault("here")
    with pytest.raises(RuntimeError, match=r"^fault at there$"):
        fault("there")


def test_what_is_raised(asked):
    asked("a:full b:memory")
    with pytest.raises(OSError) as caught:
        fault("a")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(MemoryError):
        fault("b")


@pytest.mark.parametrize(
    ("asked", "code", "lines"), [("here:kill", -signal.SIGKILL, 1), ("here:exit,4", 3, 4)]
)
def test_a_process_that_dies(asked, code, lines):
    assert ended(start(asked)) == (code, lines)


def test_a_process_that_is_frozen_goes_on_when_it_is_woken():
    process = start("here:stop,2")
    end = time.monotonic() + 20
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED and time.monotonic() < end:
        time.sleep(0.02)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    os.kill(process.pid, signal.SIGCONT)
    assert ended(process) == (0, 5)


def test_a_process_that_hangs():
    process = start("here:hang,5")
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.2)
    assert process.poll() is None
    process.kill()
    assert ended(process)[0] == -signal.SIGKILL
