"""The comparison of samplers, on a made-up table: only that it runs, and what it stores."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks import samplers
from tests.replay.made_up import made_up


@pytest.fixture
def made(monkeypatch):
    table = made_up()
    monkeypatch.setattr(samplers, "read", lambda path: type(table)({**table.meta, "host": {}}, table.rows))


def test_it_stores_curves_and_draws_them(made, tmp_path):
    settings = ["--seeds", "2", "--minutes", "4", "--gp-trials", "12", "-o", str(tmp_path)]
    samplers.main(["made-up.parquet", *settings, "--only", "random", "gp", "stage-aware"])
    found = json.loads((tmp_path / "samplers-made-up.json").read_text())
    assert set(found["goals"]) == {"constraints", "whole front"}
    ours = found["goals"]["whole front"]["samplers"]["stage-aware"]
    assert ours["share"]["p10"] <= ours["share"]["median"] <= ours["share"]["p90"]
    assert found["goals"]["constraints"]["box"].keys() == {"accuracy", "latency_ms"}
    assert found["host"]["cpu"]
    assert (tmp_path / "samplers-made-up-whole-front.png").stat().st_size > 10_000


def test_a_time_that_is_never_reached_is_none():
    times = [10.0, 20.0, math.inf, math.inf]
    assert samplers._finite(0.5, times) == 20.0
    assert samplers._finite(0.9, times) is None
