"""The machine's lock between real processes: shared by builds, alone for a measurement, and nobody's for ever."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuner.errors import JobError
from tuner.pipeline.quiet import Quiet, quiet_folder

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from pathlib import Path
from tuner.pipeline.quiet import Quiet
print("here", flush=True)
with getattr(Quiet(Path(sys.argv[1])), sys.argv[2])():
    print("inside", flush=True)
    sys.stdin.readline()
"""


class Holder:
    """A process that goes into the room and stays until it is told to leave."""

    def __init__(self, folder, mode):
        command = [sys.executable, "-u", "-c", HOLDER, str(folder), mode]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, **pipes, env=env, bufsize=0)
        assert self.process.stdout.readline() == b"here\n"

    def inside(self, seconds=10.0):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return False
        return self.process.stdout.readline() == b"inside\n"

    def leave(self):
        self.process.stdin.write(b"\n")
        assert self.process.wait(10) == 0

    def send(self, number):
        os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def come(tmp_path):
    """A function that lets a process come; those that are still there afterwards are killed."""
    holders = []

    def start(mode):
        holders.append(Holder(tmp_path, mode))
        return holders[-1]

    yield start
    for holder in holders:
        holder.process.kill()
        holder.process.wait()
        holder.process.stdin.close()
        holder.process.stdout.close()


SOON = 0.25  # seconds in which who may come in has come in


def test_builds_share_the_machine(come):
    holders = [come("shared") for _ in range(3)]
    assert all(holder.inside() for holder in holders)


def test_a_measurement_has_it_alone(come):
    measuring = come("exclusive")
    assert measuring.inside()
    others = [come("shared"), come("exclusive"), come("shared")]
    assert not any(other.inside(SOON) for other in others)
    measuring.leave()
    waiting = others
    while waiting:
        inside = [holder for holder in waiting if holder.inside(0.5)]
        assert len(inside) == 1 or others[1] not in inside  # the other measurement is alone as well
        for holder in inside:
            holder.leave()
        waiting = [holder for holder in waiting if holder not in inside]


def test_a_measurement_that_waits_keeps_new_builds_out_and_gets_its_turn(come):
    first = come("shared")
    assert first.inside()
    measuring = come("exclusive")
    assert not measuring.inside(SOON)
    late = come("shared")
    assert not late.inside(SOON)
    first.leave()
    assert measuring.inside() and not late.inside(SOON)
    measuring.leave()
    assert late.inside()


def test_kill_9_frees_the_room(come):
    measuring, other = come("exclusive"), None
    assert measuring.inside()
    other = come("exclusive")
    assert not other.inside(SOON)
    measuring.send(signal.SIGKILL)
    assert other.inside()


def test_kill_9_of_who_waits_frees_the_gate(come):
    building = come("shared")
    assert building.inside()
    measuring = come("exclusive")
    assert not measuring.inside(SOON)
    measuring.send(signal.SIGKILL)
    assert come("shared").inside()
    building.leave()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="who holds a lock is only known on Linux")
def test_a_frozen_holder_is_not_waited_for_and_those_who_go_past_it_are_still_apart(come):
    frozen = come("exclusive")
    assert frozen.inside()
    frozen.send(signal.SIGSTOP)
    one, two = come("exclusive"), come("exclusive")
    first, second = (one, two) if one.inside(2.5) else (two, one)
    assert first is one or two.inside(2.5)
    assert not second.inside(1.5)
    first.leave()
    assert second.inside()
    frozen.send(signal.SIGCONT)
    frozen.leave()
    late = come("shared")
    assert not late.inside(SOON)
    second.leave()
    assert late.inside()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="who holds a lock is only known on Linux")
def test_who_is_frozen_at_the_gate_is_not_waited_for(come):
    building = come("shared")
    assert building.inside()
    frozen = come("exclusive")
    assert not frozen.inside(SOON)
    frozen.send(signal.SIGSTOP)
    late = come("shared")
    assert late.inside(5.0)
    building.leave()
    late.leave()
    frozen.send(signal.SIGCONT)
    assert frozen.inside()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="who holds a lock is only known on Linux")
def test_a_room_with_one_frozen_and_one_at_work_is_waited_for(come):
    at_work, frozen = come("shared"), come("shared")
    assert at_work.inside() and frozen.inside()
    frozen.send(signal.SIGSTOP)
    measuring = come("exclusive")
    assert not measuring.inside(1.5)
    at_work.leave()
    assert measuring.inside(3.0)


def test_who_waits_may_give_up_and_leaves_nothing_behind(come, tmp_path):
    measuring = come("exclusive")
    assert measuring.inside()
    asked = []

    def given_up():
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise JobError("aborted", "given up")

    for mode in ("shared", "exclusive"):
        asked.clear()
        with pytest.raises(JobError, match="given up"), getattr(Quiet(tmp_path, given_up), mode)():
            pass
    measuring.leave()
    with Quiet(tmp_path, given_up).exclusive():
        assert len(asked) == 3  # and nobody who does not wait is asked
    with pytest.raises(KeyError), Quiet(tmp_path).exclusive():
        raise KeyError
    assert come("exclusive").inside()


def test_it_lies_where_all_users_find_it(tmp_path, monkeypatch):
    monkeypatch.delenv("TUNER_QUIET", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert quiet_folder() == tmp_path / "tuner-quiet"
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path / "mine"))
    assert quiet_folder() == tmp_path / "mine"
    before = os.umask(0o077)
    try:
        with Quiet().shared():
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "mine").stat().st_mode & 0o7777 == 0o1777
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "mine").iterdir()} == {0o666}
