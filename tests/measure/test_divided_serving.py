"""A divided model is measured, and served, like any other; its ranks never outlive who asked for them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests import tiny_chat
from tests.backends.tiny_models import FAMILIES, checkpoint, inputs
from tuner.backends.base import BuildRequest
from tuner.backends.torch_eager import TorchBackend
from tuner.candidate import Quantization
from tuner.errors import JobError
from tuner.hardware import this_host
from tuner.measure.client import Serving
from tuner.runtime.loader import load_session
from tuner.runtime.ranks import RankError
from tuner.runtime.split import Split

CORES = this_host().cores


def gone(pids, seconds=5.0):
    """Say whether all these processes end within some seconds."""
    end = time.monotonic() + seconds
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(psutil.pid_exists, pids))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    source, made = checkpoint(folder / "source", FAMILIES["bert"]), folder / "made"
    made.mkdir()
    plain = Quantization(bits=32)
    TorchBackend().build(BuildRequest(source, plain, "cpu", None, 48, folder / "none.npz", folder), made)
    return made


def test_a_serving_child_divides_its_model_and_takes_its_ranks_with_it(encoder, tmp_path):
    """Pipeline of an encoder: the same answers, the memory of all, and nothing left when the child is killed."""
    file = inputs(tmp_path / "documents.npz", documents=8)
    with Serving(encoder, 1, CORES[:1]) as alone:
        wanted, alone_mb = alone.predict(file), alone.memory_mb()
    with Serving(encoder, 1, CORES[:2], split=Split(pipeline=2)) as divided:
        np.testing.assert_allclose(divided.predict(file), wanted, atol=1e-5)
        ranks = divided.pids()
        assert len(ranks) == 2 and divided.pid not in ranks
        assert divided.memory_mb() > 1.2 * alone_mb  # two processes with torch, one without
        assert [os.sched_getaffinity(pid) for pid in ranks] == [{core} for core in CORES[:2]] or len(
            CORES
        ) < 2
        os.kill(divided.pid, signal.SIGKILL)
        assert gone(ranks)
        with pytest.raises(JobError, match="killed by SIGKILL"):
            divided.predict(file)


def test_a_rank_that_dies_ends_the_session_with_its_reason(tmp_path):
    """Tensor parallel of a language model: answers, an interrupted one, and a death in the midst of another."""
    made, _ = tiny_chat.built_artefact(tmp_path, "torch")
    whole, divided = load_session(made, 1), load_session(made, 1, Split(tensor=2))
    prompt = list(range(3, 30))
    wanted = list(whole.stream(prompt, 16))
    assert next(divided.stream(prompt, 16)) == wanted[0]  # whoever leaves early leaves it ready
    assert list(divided.stream(prompt, 16)) == wanted
    with pytest.raises(ValueError, match="the prompt is empty"):
        divided.stream([], 4)
    scores = [session.score(np.array(prompt)) for session in (whole, divided)]
    np.testing.assert_allclose(scores[0][0], scores[1][0], atol=1e-5)
    ranks, answer = divided.pids, divided.stream(prompt, 400)
    next(answer)
    os.kill(ranks[1], signal.SIGKILL)
    with pytest.raises(RankError, match="rank 1 of 2 was killed by SIGKILL"):
        list(answer)
    assert gone(ranks)
    with pytest.raises(RankError, match="rank 1 of 2 was killed"):
        divided.score(np.array(prompt))


@pytest.mark.slow
def test_what_a_rank_cannot_load_is_said(encoder, tmp_path):
    broken = shutil.copytree(encoder, tmp_path / "broken")
    (broken / "model" / "config.json").write_text("{")
    with pytest.raises(JobError, match=r"rank \d of 2 failed"):
        Serving(broken, 1, CORES[:1], split=Split(tensor=2))


SCRIPT = """
import sys
from pathlib import Path
from tuner.runtime.loader import load_session
from tuner.runtime.split import Split
session = load_session(Path(sys.argv[1]), 1, Split(tensor=2))
print(*session.pids, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_ranks_end_with_whoever_loaded_them(encoder):
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(encoder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    ranks = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert len(ranks) == 2 and gone(ranks)
