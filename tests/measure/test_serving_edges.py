"""Serving children at their edges: ends and hangs in mid-answer, credentials, logs; meters; sample counts."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tuner.errors import JobError
from tuner.hardware import this_host
from tuner.measure import client
from tuner.measure.client import Serving
from tuner.measure.stats import SAMPLES_NEEDED, percentile

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import misbehaving

CORES = this_host().cores
CALL = {"input_ids.0": np.ones((1, 8), dtype=np.int64), "attention_mask.0": np.ones((1, 8), dtype=np.int64)}
MID_ANSWER = """
    import threading
    def cut():
        time.sleep(0.5)
        found = [fd for fd in range(3, 12) if os.path.exists(f"/proc/self/fd/{fd}")]
        for fd in [fd for fd in found if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")]:
            os.write(fd, b'{"samples": [1.0, ')
        os.kill(os.getpid(), signal.SIGNAL)
    threading.Thread(target=cut).start()
""".strip()


@pytest.mark.parametrize(("number", "kind"), [("SIGKILL", "signal"), ("SIGSTOP", "time-limit")])
def test_ending_or_hanging_in_mid_answer(tmp_path, monkeypatch, number, kind):
    load = MID_ANSWER.replace("SIGNAL", number)
    artefact = misbehaving(tmp_path / "a", load=load)
    np.savez(tmp_path / "plan.npz", **CALL)
    with Serving(artefact, 1, CORES[:1]) as serving:
        rescue = threading.Timer(30, os.kill, (serving.pid, signal.SIGKILL))
        rescue.start()
        serving.plan(tmp_path / "plan.npz")
        monkeypatch.setattr(client, "_BLOCK", 2.0)
        begin = time.monotonic()
        serving.begin_block(20, 1)
        with pytest.raises(JobError) as caught:
            serving.end_block()
        rescue.cancel()
    assert caught.value.kind == kind
    assert time.monotonic() - begin < 15


def test_percentiles_ask_for_loadgens_samples():
    assert SAMPLES_NEEDED == {50: 7, 90: 44, 95: 90, 99: 459}
    assert percentile([1.0] * 6, 50) is None


def test_credentials_stay_at_home(tmp_path, monkeypatch):
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "TUNER_DB"):
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv("HARMLESS", "value")
    with Serving(misbehaving(tmp_path / "a"), 1, CORES[:1]) as serving:
        found = psutil.Process(serving.pid).environ()
    assert found["HARMLESS"] == "value"
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "TUNER_DB"} & set(found)


def test_no_log_file_outlives_a_killed_parent(tmp_path):
    script = """
import sys, time
from pathlib import Path
from tuner.measure.client import Serving
serving = Serving(Path(sys.argv[1]), 1, [int(sys.argv[2])])
print("up", flush=True)
time.sleep(60)
"""
    artefact, logs = misbehaving(tmp_path / "a"), tmp_path / "logs"
    logs.mkdir()
    command = [sys.executable, "-c", script, str(artefact), str(CORES[0])]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(logs)})
    assert parent.stdout.readline() == b"up\n"
    parent.kill()
    parent.wait()
    assert list(logs.iterdir()) == []
