"""A table with noise drawn anew: within the intervals, alike for all that answer alike, the same for one seed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.replay.made_up import made_up
from tuner.replay.noise import redrawn


@pytest.fixture(scope="module")
def table():
    return made_up()


def test_one_seed_is_one_table(table):
    one, two, other = redrawn(table, 1), redrawn(table, 1), redrawn(table, 2)
    key = next(
        k for k, row in table.rows.items() if row.failure is None and k != table.baseline.candidate.hash
    )
    latency = [t.rows[key].metrics["latency_ms"].value for t in (one, two, other)]
    assert latency[0] == latency[1] != latency[2]


def test_latencies_stay_about_where_they_were(table):
    moved, drawn = [], redrawn(table, 3)
    for key, row in table.rows.items():
        if row.failure is None:
            found = drawn.rows[key]
            moved.append(np.log(found.metrics["latency_ms"].value / row.metrics["latency_ms"].value))
            assert found.ratio.value / row.ratio.value == pytest.approx(np.exp(moved[-1]))
            assert found.metrics["speedup"].value * found.ratio.value == pytest.approx(1, rel=0.05)
    assert abs(np.mean(moved)) < 0.005
    assert np.std(moved) == pytest.approx(0.015, rel=0.2)  # intervals of 3 % either way


def test_documents_are_drawn_once_for_all(table):
    drawn = redrawn(table, 4)
    assert drawn.baseline.metrics["accuracy_drop"].value == 0
    for key, row in list(table.rows.items())[:40]:
        if row.failure is None:
            found = drawn.rows[key]
            assert found.metrics["accuracy"].value == pytest.approx(found.correct.mean())
            lost = drawn.baseline.correct.mean() - found.correct.mean()
            assert found.metrics["accuracy_drop"].value == pytest.approx(lost)
            if (row.correct == table.baseline.correct).all():
                assert (found.correct == drawn.baseline.correct).all()
