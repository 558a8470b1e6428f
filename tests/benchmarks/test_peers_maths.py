"""The arithmetic: lines of configuration, hypervolume, the fastest point within a tolerance, the verdict."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path

import pytest

from benchmarks.peers.contest import PEERS, peer_names
from benchmarks.peers.lines import configuration_lines, written_by_user
from benchmarks.peers.measuring import Measured, Quality
from benchmarks.peers.subjects import Subject
from benchmarks.peers.summary import fastest, times_faster, verdict, volume
from tuner.metrics import Estimate

SCRIPT = '''"""What it is.

More of it.
"""

import os  # noqa

# a comment
TEXT = """two
lines"""


def f(a: int,
      b: int) -> int:
    """Return one."""
    return a + b
'''


def made(drop, ratio, spread=1.1, peer="a"):
    quality = Quality(Estimate.exact(0.95 - drop), Estimate.exact(drop))
    estimate = Estimate(value=ratio, low=ratio / spread, high=ratio * spread)
    return Measured(Subject(peer, f"{ratio}", Path(), 1, 1, {}), quality, estimate, estimate.scaled(20.0))


def test_lines_that_say_something(tmp_path):
    (tmp_path / "run.py").write_text(SCRIPT)
    (tmp_path / "config.json").write_text('{\n "a": 1\n\n}\n')
    (tmp_path / "study.yaml").write_text("# nothing\nname: x\n\n  # nor this\nmodel: y  # but this\n")
    (tmp_path / "requirements.txt").write_text("torch==2\n")
    assert configuration_lines([tmp_path / "run.py"]) == 6
    assert configuration_lines([tmp_path / "study.yaml"]) == 2
    assert [p.name for p in written_by_user(tmp_path)] == ["config.json", "run.py", "study.yaml"]
    assert configuration_lines(written_by_user(tmp_path)) == 6 + 3 + 2


def test_the_volume_is_that_of_the_box_over_the_baseline():
    assert volume([]) == volume([made(0.0, 1.0)]) == 0.0
    assert volume([made(0.02, 0.1)]) == 0.0  # two points lost: worth nothing
    assert volume([made(0.0, 0.1)]) == pytest.approx(0.5 * 0.5)
    assert volume([made(-0.02, 0.01)]) == pytest.approx(1.0)
    assert volume([made(-0.05, 0.001)]) == pytest.approx(1.0)  # better than the box counts as its edge
    assert volume([made(0.0, 0.1), made(0.01, 0.01)]) == pytest.approx(0.25 + 0.25 * 0.5)


def test_the_fastest_within_a_point():
    found = [made(0.0, 0.5), made(0.01, 0.2), made(0.0101, 0.1)]
    assert fastest(found) is found[1]
    assert fastest(found[2:]) is None
    assert fastest(found, 0.02) is found[2]


def test_times_faster_has_the_spread_of_both():
    times = times_faster(made(0, 0.1), made(0, 0.3))
    assert times.value == pytest.approx(3.0)
    assert math.log(times.high / 3) == pytest.approx(math.sqrt(2) * math.log(1.1))
    assert math.log(3 / times.low) == pytest.approx(math.sqrt(2) * math.log(1.1))


def test_the_verdict_is_against_the_best_of_all_peers():
    peers = {"a": [made(0, 0.4, peer="a")], "b": [made(0, 0.3, peer="b"), made(0.5, 0.01, peer="b")]}
    found = verdict({**peers, "tuner": [made(0, 0.1, peer="tuner")]}, "tuner")
    assert (found["best_peer"], found["best_peer_artefact"]) == ("b", "0.3")
    assert found["times_faster"]["value"] == pytest.approx(3.0)
    json.dumps(found)
    assert verdict(peers, "tuner") is None
    assert verdict({"tuner": [made(0, 0.1)]}, "tuner") is None


@pytest.mark.parametrize("name", peer_names())
def test_each_peer_is_pinned_and_stands_alone(name):
    pins = (PEERS / name / "requirements.txt").read_text().splitlines()
    assert all("==" in pin for pin in pins if pin.strip())
    tree = ast.parse((PEERS / name / "run.py").read_text())
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    imported += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert not [module for module in imported if module.split(".")[0] in ("tuner", "benchmarks")]
