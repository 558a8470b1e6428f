"""The comparison with made-up peers: what they hand back, how they fail, and what is said of both."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.artefacts import stack
from benchmarks.peers import contest, report
from benchmarks.peers.contest import Contestant, Yard, kept, peer_names, run_peer
from benchmarks.peers.environments import Environment, InstallError
from benchmarks.peers.measuring import Setting, measure_all
from benchmarks.peers.ours import our_subjects
from benchmarks.peers.running import Outcome
from benchmarks.peers.subjects import Subject, handed_back
from tests.measure.tiny_artefacts import documents
from tuner.hardware import this_host
from tuner.measure.performance import Plan

GOOD = """
import shutil
from peer import Peer

peer = Peer()
assert peer.split("train") == (["a", "b"], [1, 0])
with peer.attempt("never"):
    raise ValueError("no such operator")
file = peer.folder("small") / "model.onnx"
shutil.copyfile(peer.inputs / "model.onnx", file)
peer.made("small", "onnx", file, accuracy=0.5, settings={"graph_optimization_level": 99})
peer.made("padded", "onnx", file, fixed_shape=[1, 20])
"""
SLOW = GOOD + "\nimport time\nprint('still at it', flush=True)\ntime.sleep(60)\n"
FAILING = "print('begin')\nraise RuntimeError('out of operators')\n"


@pytest.fixture
def inputs(tmp_path):
    folder = stack(tmp_path / "inputs", layers=2, width=64)
    rows = [{"text": "a", "label": "y"}, {"text": "b", "label": "x"}]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = {"max_length": 20, "labels": ["x", "y"], "cores": 1, "bf16": True, "vnni": True}
    (folder / "inputs.json").write_text(json.dumps({**said, "batch": 1, "sequence_length": 20}))
    return folder


@pytest.fixture
def peer(tmp_path, inputs, monkeypatch):
    """A function that runs a made-up peer's script in this environment and returns how it went, and the yard."""
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path / "quiet"))
    found = Environment(tmp_path / "python", 1.5, {"numpy": "1"})
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.setattr(contest, "environment_for", lambda *_: found)

    def run(script: str, seconds: float = 60.0) -> tuple[Contestant, Yard]:
        yard = Yard(tmp_path / "work", seconds / 60, tmp_path / "peers")
        (yard.peers / "made-up").mkdir(parents=True)
        (yard.peers / "made-up" / "run.py").write_text(script)
        assert peer_names(yard.peers) == ["made-up"]
        return run_peer("made-up", yard, inputs), yard

    return run


def returned(yard):
    return handed_back("made-up", yard.out("made-up"), yard.work / "artefacts", 1)


def test_a_peer_hands_back_its_artefacts_and_its_failures(peer):
    ran, yard = peer(GOOD)
    assert (ran.outcome.status, ran.outcome.error, ran.install_seconds) == ("done", None, 1.5)
    assert ran.lines == 10
    found = returned(yard)
    assert [(s.label, dict(s.own)) for s in found.subjects] == [("small", {"accuracy": 0.5}), ("padded", {})]
    assert found.failures == [{"label": "never", "error": "ValueError: no such operator"}]


def test_what_is_there_when_the_time_is_up_counts(peer):
    ran, yard = peer(SLOW, seconds=3)
    assert ran.outcome.status == "over time"
    assert ran.outcome.error == "killed after 3 s: still at it"
    assert len(returned(yard).subjects) == 2


def test_a_failure_is_told_by_its_last_line(peer):
    ran, yard = peer(FAILING)
    assert (ran.outcome.status, ran.outcome.error) == ("failed", "RuntimeError: out of operators")
    assert returned(yard).subjects == []


def test_a_peer_that_dies_is_told_by_its_signal(peer):
    ran, _ = peer("import os\nprint('so far', flush=True)\nos.kill(os.getpid(), 11)\n")
    assert (ran.outcome.status, ran.outcome.error) == ("failed", "signal SIGSEGV: so far")


def test_a_peer_that_hands_nothing_back_failed(peer):
    ran, _ = peer("print('all well')\n")
    assert ran.outcome.status == "failed"
    assert "nothing back" in ran.outcome.error


def test_a_peer_that_cannot_be_installed_is_reported(peer, monkeypatch):
    def none(*_):
        raise InstallError("ERROR: No matching distribution found for olive")

    monkeypatch.setattr(contest, "environment_for", none)
    ran, _ = peer(GOOD)
    assert ran.outcome == Outcome("not installed", 0.0, "ERROR: No matching distribution found for olive")


def test_how_it_went_is_kept(tmp_path):
    yard, one = Yard(tmp_path, 1), Contestant("a", Outcome("failed", 2.0, "why"), 3, 4.0, {"b": "1"})
    one.save(yard.record("a"))
    assert list(kept(yard, ["a", "absent"])) == [one]


def test_all_are_measured_together_and_reported(peer, tmp_path, capsys):
    ran, yard = peer(GOOD)
    back = returned(yard)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "artefact.json").write_text(json.dumps({"session": "none_such"}))
    ours = stack(tmp_path / "ours", layers=2, width=64)
    subjects = [
        *back.subjects,
        Subject("made-up", "broken", broken, 1, 1, {}),
        Subject("tuner", "ours", ours, 1, 1, {}),
    ]
    reference = stack(tmp_path / "reference", layers=12, width=256)
    ids = np.arange(20, dtype=np.int64)[None, :] % 97 + 1
    plan = Plan({"input_ids.0": ids, "attention_mask.0": np.ones_like(ids)}, batch=1)
    setting = Setting(documents(tmp_path / "test.npz"), plan, precision=0.5, seconds=0.3)
    run = measure_all(reference, subjects, setting)

    own = Contestant("tuner", Outcome("done", 1.0), 5)
    found = report.to_json([ran, own], run, {"made-up": back.failures})
    theirs = found["peers"]["made-up"]
    assert [one["label"] for one in theirs["artefacts"]] == ["small", "padded"]
    assert [one["label"] for one in theirs["failures"]] == ["never", "broken"]
    same = theirs["artefacts"][0]["accuracy"]
    assert theirs["artefacts"][1]["accuracy"] == same == found["peers"]["tuner"]["artefacts"][0]["accuracy"]
    assert found["reference"]["accuracy_drop"]["value"] == 0
    assert found["peers"]["tuner"]["artefacts"][0]["speedup"]["value"] > 1
    json.dumps(found)

    report.show(found)
    report.draw(found, tmp_path / "peers.png")
    shown = capsys.readouterr().out
    assert "made-up: done after" in shown
    assert "never: ValueError: no such operator" in shown
    assert (tmp_path / "peers.png").stat().st_size > 10_000


def test_an_exported_bundle_is_measured_as_it_is(tmp_path):
    (tmp_path / "bundle.json").write_text(json.dumps({"threads": 1}))
    (found,) = our_subjects(SimpleNamespace(name="any"), tmp_path)
    assert (found.artefact, found.threads, found.peer) == (tmp_path / "artefact", 1, "tuner")
    assert len(this_host().cores) >= found.threads
