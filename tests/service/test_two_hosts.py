"""Two real workers on this machine under two hosts' names, one of them kept to one core, and one database."""

import json
import os
import subprocess
import sys

import pytest

from studies import FIRST_STEPS, QUICK, ROOT, environment, tuner
from tuner.hardware import usable_cores

NAMED = ["--set", 'axes.backend.hosts=["one-core", "all-cores"]', "--set", "hosts=each",
         "--set", "price.hosts.one-core=0.05", "--set", "price.hosts.all-cores=0.1"]  # fmt: skip


def at_work(home, host, cores):
    """Start a worker that ends when there is nothing left to do, under a host's name and on so many cores."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.cli.main", "worker", "--drain", "--name", f"worker-{host}"],
        env=environment(home, TUNER_HOST=host), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: os.sched_setaffinity(0, usable_cores()[:cores]),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(len(usable_cores()) < 2, reason="one core: the two hosts would be alike")
@pytest.mark.timeout(900)
def test_one_study_on_two_hosts_says_which_hardware(tmp_path):
    submitted = tuner(tmp_path, "submit", FIRST_STEPS, "--trials", "8", *QUICK, *NAMED)
    assert submitted.returncode == 0, submitted.stderr
    workers = [at_work(tmp_path, host, cores) for host, cores in (("one-core", 1), ("all-cores", 2))]
    said = [worker.communicate(timeout=800)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    rows = json.loads(tuner(tmp_path, "front", "first-steps", "--all", "--json").stdout)
    ran_on = {row["trial"]: row["candidate"]["backend"]["host"] for row in rows}
    for number, host in ran_on.items():
        shown = json.loads(tuner(tmp_path, "show", "first-steps", number, "--json").stdout)
        assert (shown["host"], shown["worker"]) == (host, f"worker-{host}")
    compared = json.loads(tuner(tmp_path, "compare", "first-steps", "--json").stdout)
    baselines = {o["contender"]: o for o in compared["offered"] if "baseline" in o["roles"]}
    assert set(baselines) == {"one-core", "all-cores"}
    for host, price in (("one-core", 0.05), ("all-cores", 0.1)):
        found = baselines[host]["metrics"]
        assert 0.3 < found["speedup"]["value"] < 3  # against itself, as noisy as this machine may be
        wanted = price / 3600 / found["throughput"]["value"] * 1e6
        assert found["cost_per_million"]["value"] == pytest.approx(wanted, rel=1e-6)
    assert {best["metric"] for best in compared["best"]} == {"latency_ms", "throughput", "cost_per_million"}
    told = tuner(tmp_path, "compare", "first-steps")
    assert told.returncode == 0 and "cheapest: " in told.stdout and "USD/1M" in told.stdout
