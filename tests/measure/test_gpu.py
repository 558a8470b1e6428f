"""Where replicas are placed, and what a measurement says of the cards."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from tuner.gpus import Gpu
from tuner.hardware import this_host
from tuner.measure import energy, gpu
from tuner.measure.client import Serving
from tuner.measure.gpu import account, cards_of

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import misbehaving

ONE, TWO = (Gpu(i, f"GPU-{i}", "NVIDIA H100", 85521, "9.0", "580") for i in range(2))


def artefact(folder, device):
    folder.mkdir()
    (folder / "artefact.json").write_text(json.dumps({"device": device}))
    return folder


def test_replicas_take_the_cards_in_turn(tmp_path):
    several, on_gpu = replace(this_host(), gpus=(ONE, TWO)), artefact(tmp_path / "g", "cuda")
    assert cards_of(several, on_gpu, 3) == [[ONE], [TWO], [ONE]]
    assert cards_of(replace(several, gpus=(ONE,)), on_gpu, 2) == [[ONE], [ONE]]
    assert cards_of(several, artefact(tmp_path / "c", "cpu"), 2) == [[], []]


def test_ranks_of_a_divided_model_have_a_card_each(tmp_path):
    several, on_gpu = replace(this_host(), gpus=(ONE, TWO)), artefact(tmp_path / "g", "cuda")
    assert cards_of(several, on_gpu, 2, ranks=2) == [[ONE, TWO], [ONE, TWO]]


def test_a_serving_child_sees_its_card_only(tmp_path):
    told = misbehaving(
        tmp_path / "a",
        load=f"open({str(tmp_path / 'seen')!r}, 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])",
    )
    with Serving(told, 1, this_host().cores[:1], cards=["GPU-1"]):
        assert (tmp_path / "seen").read_text() == "GPU-1"


class Replica:
    """A serving child's end, of a process that runs here."""

    pid = os.getpid()

    def pids(self):
        return [self.pid]

    def details(self):
        return {"device_ms": 1.5, "reserved_mb": 40.0, "allocated_mb": 30.0}


def test_memory_is_what_the_driver_says_a_process_holds(monkeypatch):
    monkeypatch.setattr(gpu, "_users", lambda card: {os.getpid(): 700_000_000, 1: None})
    found = account([Replica(), Replica()], [ONE, ONE])
    assert found["memory_mb"] == 1400
    assert found["replicas"][0] == {
        "device_ms": 1.5,
        "reserved_mb": 40.0,
        "allocated_mb": 30.0,
        "held_mb": 700.0,
    }
    assert [card["uuid"] for card in found["cards"]] == ["GPU-0"]
    assert 1 in found["others"]


def test_where_the_driver_does_not_tell_the_allocators_peak_counts(monkeypatch):
    monkeypatch.setattr(gpu, "_users", lambda card: None)
    assert account([Replica()], [ONE])["memory_mb"] == 40


def test_ranks_hold_memory_on_all_their_cards(monkeypatch):
    class Divided(Replica):
        def pids(self):
            return [11, 12]

    monkeypatch.setattr(gpu, "_users", lambda card: {11: 300_000_000, 12: 200_000_000, os.getpid(): 1})
    assert account([Divided()], [ONE, TWO])["memory_mb"] == 500


def test_a_card_that_is_not_there_tells_nothing():
    assert set(gpu.state(ONE).values()) == {None}
    assert gpu.joules(ONE) is None
    assert gpu.others(ONE, {1}) == []


def test_energy_on_a_card_is_its_counters(monkeypatch):
    counted = iter([10.0, 10.0, 12.5])  # asked if it has one, before, after
    monkeypatch.setattr(energy, "joules", lambda card: next(counted))
    monkeypatch.setattr(energy, "metered", lambda cards: next(counted) is not None)
    host = replace(this_host(), meters=(), gpus=(ONE,))
    assert energy.energy_of(host, lambda: 5, [ONE]) == 0.5


def test_energy_is_refused_where_a_card_has_no_counter():
    host = replace(this_host(), gpus=(ONE,))
    assert "GPU" in energy.energy_refusal(host, ["cuda"])
    assert energy.energy_of(host, lambda: 5, [ONE]) is None
