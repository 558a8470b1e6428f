"""Energy from a real tree of counters shaped like the kernel's, which something really counts up while we measure."""

import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tuner.hardware import this_host
from tuner.measure import performance
from tuner.measure.client import Serving
from tuner.measure.energy import RUNS, energy_of, energy_refusal
from tuner.measure.performance import Plan, measure
from tuner.meters import power_meters, spent

sys.path.insert(0, str(Path(__file__).parent))
from tiny_artefacts import misbehaving

ZONES = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram", "intel-rapl:1": "package-1",
         "intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-0"}  # fmt: skip
COUNTED = ["intel-rapl:0", "intel-rapl:0:1", "intel-rapl:1"]


def powercap(root, zones=None, top=262_143_328_850):
    """Make a tree of zones, each of whose counters stands at 1 J."""
    for zone, name in (ZONES if zones is None else zones).items():
        folder = root / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text("1000000\n")
        (folder / "max_energy_range_uj").write_text(f"{top}\n")
    return root


@contextmanager
def burning(counters, watts, top):
    """Count up as the processor does: in small steps, each written at once, from 0 again at `top`."""
    over = threading.Event()

    def count():
        begin = time.monotonic()
        while not over.wait(0.002):
            used = round(watts * 1e6 * (time.monotonic() - begin))
            for counter in map(Path, counters):
                new = counter.with_name("new")
                new.write_text(f"{(1_000_000 + used) % top}\n")
                os.replace(new, counter)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_packages_and_their_memory_are_counted_each_once(tmp_path):
    found = power_meters(powercap(tmp_path))
    assert [Path(counter).parent.name for counter in found.counters] == COUNTED and found.refusal == ""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: root / "none", "the kernel shows no RAPL: {root}/none is not there"),
        (lambda root: powercap(root, {"dtpm:0": "package-0"}), "has no package's counter"),
    ],
)
def test_why_there_is_no_meter(tmp_path, make, says):
    found = power_meters(make(tmp_path))
    assert found.counters == () and says.format(root=tmp_path) in found.refusal
    host = replace(this_host(), meters=found.counters, unmetered=found.refusal)
    assert energy_refusal(host) == found.refusal
    assert energy_of(host, lambda: 1) is None


def test_counters_for_root_alone_are_named_with_the_remedy(tmp_path, monkeypatch):
    powercap(tmp_path)
    monkeypatch.setattr("tuner.meters.os.access", lambda path, mode: False)  # the tests may run as root
    refusal = power_meters(tmp_path).refusal
    assert "only root may read" in refusal and "sudo chmod a+r" in refusal


def test_a_container_names_where_the_counters_are(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNER_POWERCAP", str(powercap(tmp_path)))
    assert len(power_meters().counters) == 3


@pytest.mark.parametrize(("before", "after", "joules"), [(1.0, 3.5, 2.5), (9.0, 1.0, 2.0), (4.0, 4.0, 0.0)])
def test_a_counter_starts_again(tmp_path, before, after, joules):
    powercap(tmp_path, {"intel-rapl:0": "package-0"}, top=10_000_000)
    assert spent(power_meters(tmp_path).counters[0], before, after) == pytest.approx(joules)


def test_watts_over_requests_are_joules_with_an_interval_and_a_counter_may_start_again(tmp_path):
    top = 10_000_000  # at 20 W a counter starts again after half a second: once while the work is run five times
    meters, took = power_meters(powercap(tmp_path, top=top)).counters, list[float]()

    def work():
        begin = time.monotonic()
        time.sleep(0.1)
        took.append(time.monotonic() - begin)
        return 4

    with burning(meters, 20.0, top):
        found = energy_of(replace(this_host(), meters=meters), work)
    assert len(took) == RUNS
    assert found.value == pytest.approx(len(COUNTED) * 20.0 * np.mean(took) / 4, rel=0.25)
    assert 0 < found.low <= found.value <= found.high


def test_a_real_measurement_has_joules_for_each_document(tmp_path, monkeypatch):
    """A batch of four documents every 20 ms at 30 W is 0.15 J a document."""
    meters = power_meters(powercap(tmp_path / "rapl", {"intel-rapl:0": "package-0"})).counters
    host = replace(this_host(), meters=meters)
    monkeypatch.setattr(performance, "this_host", lambda: host)
    monkeypatch.setattr(performance, "_ENERGY_BLOCK", 0.1)
    served = misbehaving(tmp_path / "a", body="time.sleep(0.02)")
    arrays = {
        f"{n}.{i}": np.ones((4, 8), dtype=np.int64) for n in ("input_ids", "attention_mask") for i in (0, 1)
    }
    with burning(meters, 30.0, 10**12), Serving(served, 1, host.cores[:1]) as reference:
        found = measure(served, 1, 1, reference, Plan(arrays, batch=4), precision=0.5, seconds=0.1)
    joules = 30 * 0.02 / 4
    assert (
        0.85 * joules < found.energy_j.value < 2.5 * joules
    )  # a busy machine sleeps longer; a batch would be four
    plain = found.to_json()["energy_j"]
    assert plain["low"] <= plain["value"] <= plain["high"] and RUNS > 1
