"""Jobs: real children that answer, raise, crash, hang and eat memory."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from tuner.errors import BuildError, JobError
from tuner.pipeline import jobs as jobs_module
from tuner.pipeline.jobs import JobLimits, Jobs

HERE = os.path.dirname(__file__)


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = HERE
    os.environ["TUNER_DB"] = "postgresql://me:secret@host/db"
    try:
        with Jobs(JobLimits(60, 8000), tmp_path_factory.mktemp("jobs")) as jobs:
            jobs.run("_jobs_under_test:double", {"n": 1})  # starts the zygote while the environment is set
            yield jobs
    finally:
        del os.environ["TUNER_DB"]
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def run(jobs, name, limits=None, **kwargs):
    return jobs.run(f"_jobs_under_test:{name}", kwargs, limits)


def test_answers_and_prints_do_not_mix(jobs):
    assert run(jobs, "double", n=21) == 42


def test_our_errors_keep_their_class(jobs):
    with pytest.raises(BuildError, match="do not agree"):
        run(jobs, "raises_ours")


def test_other_errors_become_one_line_with_the_log(jobs):
    with pytest.raises(JobError, match="ValueError: seven lines") as caught:
        run(jobs, "raises_theirs")
    assert caught.value.kind == "error"
    assert "about to fail" in caught.value.log_tail


def test_a_crash_names_its_signal_and_the_next_job_runs(jobs):
    with pytest.raises(JobError, match="SIGSEGV") as caught:
        run(jobs, "dies")
    assert caught.value.kind == "signal"
    assert run(jobs, "double", n=2) == 4


def test_a_job_that_ends_before_anybody_looks_is_seen_to_have_ended(jobs, monkeypatch):
    def send_and_be_busy(pipe, request, send=jobs_module._send):
        send(pipe, request)
        time.sleep(0.5)  # long enough for the job to begin and end

    monkeypatch.setattr(jobs_module, "_send", send_and_be_busy)
    assert [run(jobs, "double", JobLimits(5, 8000), n=n) for n in (1, 2)] == [2, 4]


def test_time_limit(jobs):
    begin = time.monotonic()
    with pytest.raises(JobError) as caught:
        run(jobs, "sleeps", JobLimits(0.5, 8000), seconds=30)
    assert caught.value.kind == "time-limit"
    assert time.monotonic() - begin < 10
    assert run(jobs, "double", n=3) == 6


def test_memory_limit(jobs):
    with pytest.raises(JobError) as caught:
        run(jobs, "eats", JobLimits(30, 900), megabytes=1200)
    assert caught.value.kind == "out-of-memory"


def test_a_killed_job_takes_its_children_along(jobs, tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(JobError):
        run(jobs, "leaves_a_child", JobLimits(2, 8000), path=str(note))
    pid = int(note.read_text())
    assert wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_abort_kills_the_job_at_hand_with_its_children_from_any_thread(jobs, tmp_path):
    jobs.abort()  # with nothing at hand: nothing happens
    note = tmp_path / "pid"

    def abort():
        assert wait_until(lambda: note.exists() and note.read_text(), 60)
        jobs.abort()

    other = threading.Thread(target=abort)
    other.start()
    with pytest.raises(JobError, match="killed by SIGKILL"):
        run(jobs, "leaves_a_child", path=str(note))
    other.join()
    pid = int(note.read_text())
    assert wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
    assert run(jobs, "double", n=4) == 8


def test_the_last_lines_of_a_job_are_kept_until_they_are_taken(jobs):
    jobs.take_logs()
    run(jobs, "double", n=1)
    with pytest.raises(JobError):
        run(jobs, "raises_theirs")
    lines = jobs.take_logs().splitlines()
    assert lines[:2] == ["doubling", "about to fail"]
    assert jobs.take_logs() == ""


def test_full_disk_has_its_kind(jobs):
    with pytest.raises(JobError) as caught:
        run(jobs, "full_disk", out="x")
    assert caught.value.kind == "disk-full"


def test_children_hold_no_database_credentials(jobs):
    assert "TUNER_DB" in os.environ
    assert "TUNER_DB" not in run(jobs, "environment")


def test_a_library_that_asks_for_cards_before_the_fork_finds_none(jobs):
    found = jobs.run("_jobs_under_test:cards_seen", {}, preload=["_asks_for_cards"])
    assert found == {"imported": "", "job": None}


def test_a_fresh_job_sees_the_cards_from_its_first_import_and_dies_with_its_parent_like_others(jobs):
    jobs.run("_jobs_under_test:cards_seen", {}, preload=["_asks_for_cards"])
    found = jobs.run("_jobs_under_test:cards_seen", {}, preload=["_asks_for_cards"], fresh=True, cores=1)
    assert found == {"imported": None, "job": None}
    with pytest.raises(BuildError, match="do not agree"):
        jobs.run("_jobs_under_test:raises_ours", {}, fresh=True)
    with pytest.raises(JobError, match="time"):
        jobs.run("_jobs_under_test:sleeps", {"seconds": 60}, JobLimits(1, 8000), fresh=True)


def test_kill_9_of_the_parent_leaves_no_process(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {HERE!r})
        from pathlib import Path
        from tuner.pipeline.jobs import JobLimits, Jobs
        Jobs(JobLimits(60, 8000), Path({str(tmp_path)!r})).run(
            "_jobs_under_test:leaves_a_child", {{"path": {str(tmp_path / "pid")!r}}})
    """)
    env = {**os.environ, "PYTHONPATH": HERE}
    parent = subprocess.Popen([sys.executable, "-c", script], env=env)
    assert wait_until((tmp_path / "pid").exists, 60)
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 2  # the zygote and the job at least
    ours = [p for p in family if "sleep" not in " ".join(p.cmdline())]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in ours))


@pytest.mark.parametrize("name", ["full_disk_behind_ours", "full_disk_in_words"])
def test_a_full_disk_is_no_fault_of_a_candidate_however_an_engine_says_it(jobs, name):
    with pytest.raises(JobError, match="no space left") as caught:
        run(jobs, name)
    assert caught.value.kind == "disk-full"


def test_a_broken_stream_on_a_full_disk_is_a_full_disk(jobs, tmp_path):
    with pytest.raises(BuildError, match="iostream"):
        run(jobs, "broken_stream", out=str(tmp_path))
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)], capture_output=True
    ).returncode:
        pytest.skip("no right to mount a small disk")
    try:
        with pytest.raises(JobError, match=r"no space left.*iostream") as caught:
            run(jobs, "broken_stream", out=str(tmp_path))
        assert caught.value.kind == "disk-full"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
