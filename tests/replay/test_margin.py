"""The search's margin over Optuna's samplers, on the recorded table: a change that loses it fails here.

Virtual seconds until a study has 95 % of the table's best hypervolume, over fixed seeds. The margins are below what
`make bench` reports (docs/benchmarks.md), for fewer seeds scatter more.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

import pytest

from tuner.replay.aware import replay_aware
from tuner.replay.study import Budget, replay
from tuner.replay.table import read
from tuner.replay.trace import Yardstick, time_to

TABLE = Path(__file__).parents[2] / "benchmarks" / "tables" / "quickstart.parquet"
SEEDS = range(6)
MARGIN = {"random": 2.5, "tpe-grouped": 2.0}


@pytest.fixture(scope="module")
def table():
    return read(TABLE)


@pytest.fixture(scope="module")
def ours(table):
    return seconds(table, "stage-aware")


def seconds(table, sampler):
    """Return the median of the seconds to 95 %; a study that needs more than 25 minutes counts as infinite."""
    return median(_one(table, sampler, seed) for seed in SEEDS)


def _one(table, sampler, seed):
    yardstick = Yardstick(table)
    share = yardstick.follower()
    budget = Budget(seconds=1500, enough=lambda step: share(step) >= 0.95)
    if sampler == "stage-aware":
        trace = replay_aware(table, seed, budget)
    else:
        trace = replay(table, sampler, seed, budget, seeded=False)
    return time_to(yardstick.curve(trace), 0.95)


def test_there_are_enough_candidates(table):
    assert table.space.size() >= 400
    assert sum(row.failure is None for row in table.rows.values()) >= 400


def test_all_ours_get_there(ours):
    assert math.isfinite(ours)


@pytest.mark.parametrize("sampler", MARGIN)
def test_ours_is_sooner(table, ours, sampler):
    assert ours * MARGIN[sampler] <= seconds(table, sampler)
