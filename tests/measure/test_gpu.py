"""Where replicas are placed, and what a measurement says of the cards."""

import json
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tuner.gpus import Gpu
from tuner.hardware import this_host
from tuner.measure import energy, exclusive, gpu
from tuner.measure.client import Serving
from tuner.measure.gpu import account, cards_of
from tuner.measure.performance import Performance, _on_cards
from tuner.metrics import Estimate

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import misbehaving

ONE, TWO = (Gpu(i, f"GPU-{i}", "NVIDIA H100", 85521, "9.0", "580") for i in range(2))

_ONE = Estimate.exact(1.0)
PERFORMANCE = Performance(
    ratio=_ONE, reference_ms=1.0, p50_ms=None, p90_ms=None, p99_ms=None, throughput=_ONE, memory_mb=1.0, size_mb=1.0,
    energy_j=None, samples=[], reference_samples=[], pairs=1, disturbed=0, drift=0.0, seconds=1.0,
)  # fmt: skip


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
    counted = iter(
        2.5 * n for n in range(1 + 2 * energy.RUNS)
    )  # asked if it has one, then before and after each run
    monkeypatch.setattr(gpu, "joules", lambda card: next(counted))
    host = replace(this_host(), meters=(), gpus=(ONE,))
    assert energy.energy_of(host, lambda: 5, "cuda", [ONE]).value == 0.5


def test_energy_is_refused_where_a_card_has_no_counter():
    host = replace(this_host(), gpus=(ONE,))
    assert "GPU" in energy.energy_refusal(host, ["cuda"])
    assert energy.energy_of(host, lambda: 5, "cuda", [ONE]) is None


def test_of_other_devices_no_meter_is_known():
    host = replace(this_host(), meters=("/nowhere",), gpus=())
    assert energy.energy_refusal(host, ["cpu"]) is None
    assert "no meter of device npu is known" in energy.energy_refusal(host, ["cpu", "npu"])
    assert energy.energy_of(host, lambda: 1, "npu") is None


class Nvml:
    """NVML where there is no card: it answers what the driver's documentation says it does.

    `shares` are the per cent of its time that each process computed, as `nvmlDeviceGetProcessUtilization` samples them.
    """

    class NVMLError_NotFound(Exception):
        pass

    class NVMLError_NotSupported(Exception):
        pass

    def __init__(self, shares):
        self.shares = shares

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlDeviceGetProcessUtilization(self, card, since):
        if self.shares is None:
            raise self.NVMLError_NotSupported
        if not self.shares:
            raise self.NVMLError_NotFound
        return [SimpleNamespace(pid=pid, smUtil=share) for pid, share in self.shares]


OURS = os.getpid()


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ([], []),
        ([(OURS, 90)], []),
        ([(OURS, 90), (1, 1)], []),  # it holds memory there, and hardly computes
        ([(OURS, 50), (1, 10), (1, 40)], ["40% of the time"]),
        ([(1, 90)], None),  # we computed as well and are not listed: its numbers are not ours
        (None, None),
    ],
)
def test_who_else_computes_on_a_card(monkeypatch, shares, says):
    monkeypatch.setattr(gpu, "nvml", lambda: nullcontext(Nvml(shares)))
    found = exclusive.shared([ONE, ONE], 0.0)
    assert (found is None) == (says is None)
    for text, part in zip(found or (), says or (), strict=True):
        assert part in text and "process 1 (" in text and "NVIDIA H100" in text


def test_a_measurement_waits_for_others_to_pause_but_not_for_ever(monkeypatch):
    looks = iter([[(OURS, 9), (1, 90)], [(OURS, 9)]])
    monkeypatch.setattr(exclusive, "_LOOK", 0.0)
    monkeypatch.setattr(gpu, "nvml", lambda: nullcontext(Nvml(next(looks))))
    exclusive.wait_for([ONE], patience=5)
    assert next(looks, None) is None
    monkeypatch.setattr(gpu, "nvml", lambda: nullcontext(Nvml([(OURS, 9), (1, 90)])))
    begin = time.monotonic()
    exclusive.wait_for([ONE], patience=0.2)
    assert 0.2 <= time.monotonic() - begin < 3


def test_joules_that_are_others_too_are_not_told():
    energy_j = Estimate.exact(2.0)
    found = replace(PERFORMANCE, energy_j=energy_j, gpu={"memory_mb": 1.0})
    assert _on_cards(found, {"shared": []}).energy_j == energy_j
    assert _on_cards(found, {"shared": None}).energy_j == energy_j
    marked = _on_cards(found, {"shared": ["process 1 computed"]})
    assert marked.energy_j is None and marked.gpu["shared"] == ["process 1 computed"]
