"""Front, hypervolume, knee and picks, on sets whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.candidate import baseline
from tuner.errors import InputError, NoFeasibleTrialError
from tuner.metrics import Estimate
from tuner.search.front import Point, contenders, front, knee, normalised_hypervolume, where
from tuner.search.hypervolume import hypervolume
from tuner.search.objective import constraint_values, directions, told_values
from tuner.search.pick import pick
from tuner.spec.constraint import parse_constraint, parse_where

BOTH = ["accuracy", "latency_ms"]


def point(
    trial: int, accuracy: float | None, latency: float | None, feasible: bool = True, **more: float
) -> Point:
    values = {"accuracy": accuracy, "latency_ms": latency, **more}
    if accuracy is not None:
        values["accuracy_drop"] = 0.95 - accuracy
    metrics = {name: None if v is None else Estimate.exact(v) for name, v in values.items()}
    return Point(trial, baseline(6, 2), metrics, feasible)


def test_front_keeps_ties_and_leaves_out_dominated_unmeasured_and_infeasible():
    points = [
        point(0, 0.95, 20.0),
        point(1, 0.95, 10.0),
        point(2, 0.95, 10.0),  # equal to 1: both stay
        point(3, 0.90, 2.0),
        point(4, 0.90, 2.5),  # dominated by 3
        point(5, None, 0.1),  # accuracy never measured
        point(6, 0.99, 1.0, feasible=False),
        point(7, 0.99, None),
    ]
    assert [p.trial for p in front(points, BOTH)] == [3, 1, 2]
    assert [p.trial for p in front(points, ["latency_ms"])] == [5]
    assert front([], BOTH) == []


def test_front_of_three_objectives_keeps_what_only_the_third_saves():
    points = [point(0, 0.9, 1.0, size_mb=10), point(1, 0.9, 2.0, size_mb=5), point(2, 0.9, 2.0, size_mb=11)]
    assert {p.trial for p in front(points, [*BOTH, "size_mb"])} == {0, 1}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=1, max_size=8)
    )
)
def test_hypervolume_is_the_number_of_dominated_cells(rows):
    cells = np.stack(np.meshgrid(*[np.arange(4)] * len(rows[0]), indexing="ij"), -1).reshape(-1, len(rows[0]))
    dominated = (cells[:, None, :] >= np.array(rows)[None]).all(-1).any(-1).sum()
    assert hypervolume(rows, [4] * len(rows[0])) == pytest.approx(dominated)


def test_normalised_hypervolume_has_its_box_at_the_baseline():
    base = point(0, 0.9, 20.0)
    assert normalised_hypervolume([base], BOTH, base) == 0
    assert normalised_hypervolume([point(1, 0.5, 1.0), point(2, 0.95, 30.0)], BOTH, base) == 0
    tenfold = normalised_hypervolume([point(1, 0.9, 2.0)], BOTH, base)
    assert tenfold == pytest.approx(0.5 * 0.5)  # half of the two decades, half of +-0.1
    assert normalised_hypervolume([point(1, 1.0, 0.001)], BOTH, base) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="baseline"):
        normalised_hypervolume([], BOTH, point(0, None, 1.0))


def test_knee_is_the_bend():
    bend = [point(0, 0.95, 100.0), point(1, 0.94, 10.0), point(2, 0.80, 1.0)]
    chosen = knee(bend, BOTH)
    assert chosen is not None and chosen.trial == 1
    hollow = [point(0, 0.95, 100.0), point(1, 0.81, 10.0), point(2, 0.80, 1.0)]  # bends away from the ideal
    chosen = knee(hollow, BOTH)
    assert chosen is not None and chosen.trial == 2
    assert knee([], BOTH) is None


def test_picks():
    points = [point(0, 0.95, 20.0), point(1, 0.945, 3.0), point(2, 0.90, 1.0), point(3, 0.95, 15.0)]
    assert pick(points, "fastest").trial == 2
    assert pick(points, "fastest", max_loss=0.01).trial == 1
    assert pick(points, "most-accurate").trial == 3  # as accurate as 0, and faster
    assert pick(points, "knee").trial == 1
    chat = [
        Point(n, baseline(30, 2), {name: Estimate.exact(v) for name, v in zip(names, values, strict=True)})
        for names in [("perplexity", "perplexity_increase", "latency_ms")]
        for n, values in enumerate([(20.0, 0.0, 90.0), (20.4, 0.02, 30.0), (26.0, 0.3, 10.0)])
    ]
    answers = (["perplexity_increase", "latency_ms"], "perplexity")
    assert pick(chat, "fastest", 0.03, *answers).trial == 1
    assert pick(chat, "most-accurate", None, *answers).trial == 0
    assert pick(chat, "fastest", None, *answers).trial == 2
    with pytest.raises(NoFeasibleTrialError, match=r"least of a feasible trial is 0\.05"):
        pick([points[2]], "fastest", max_loss=0.01)
    with pytest.raises(NoFeasibleTrialError):
        pick([point(0, 0.95, 1.0, feasible=False)])
    with pytest.raises(InputError, match="did you mean 'fastest'"):
        pick(points, "fastst")
    with pytest.raises(InputError, match="fraction"):
        pick(points, "fastest", max_loss=5)


def test_where_drops_what_was_not_measured():
    points = [point(0, 0.95, 4.0), point(1, 0.95, 6.0), point(2, None, 1.0)]
    assert [p.trial for p in where(points, parse_where("latency_ms<=5 and accuracy_drop<=0.01"))] == [0]


def test_told_values_are_logarithms_but_for_shares():
    metrics = point(0, 0.9, math.e, size_mb=1.0).metrics
    assert told_values(["accuracy", "latency_ms", "size_mb"], metrics) == pytest.approx([0.9, 1.0, 0.0])
    assert told_values(["accuracy", "throughput"], metrics) is None
    assert directions(["accuracy", "latency_ms", "throughput"]) == ["maximize", "minimize", "maximize"]
    with pytest.raises(InputError, match="did you mean 'latency_ms'"):
        directions(["latency"])
    with pytest.raises(InputError, match="only once"):
        directions(["accuracy", "accuracy"])


def test_every_constraint_is_set_even_when_unmeasured():
    constraints = [parse_constraint("latency_ms <= 5"), parse_constraint("memory_mb <= 100")]
    found = constraint_values(constraints, point(0, 0.9, 3.0).metrics)
    assert found == {"latency_ms <= 5": -2.0, "memory_mb <= 100": 1.0}


def test_contenders_are_the_front_and_what_noise_may_have_kept_off_it():
    def timed(trial, accuracy, low, high, feasible=True):
        latency = Estimate(value=(low * high) ** 0.5, low=low, high=high)
        metrics = {"accuracy": Estimate.exact(accuracy), "latency_ms": latency}
        return Point(trial, baseline(6, 2), metrics, feasible)

    points = [
        timed(0, 0.97, 9.0, 11.0),
        timed(1, 0.96, 1.0, 1.2),
        timed(2, 0.96, 1.1, 1.3),  # slower than 1, perhaps
        timed(3, 0.96, 1.25, 1.4),  # slower than 1 for certain
        timed(4, 0.95, 0.9, 1.1),  # faster than 1, perhaps
        timed(5, 0.99, 0.1, 0.2, feasible=False),
    ]
    assert [p.trial for p in contenders(points, BOTH)] == [0, 1, 2, 4]
    exact = [point(0, 0.9, 1.0), point(1, 0.9, 2.0), point(2, 0.95, 2.0)]
    assert contenders(exact, BOTH) == front(exact, BOTH)


def test_contenders_of_different_students_are_held_apart_only_by_the_paired_change_of_accuracy():
    def student(trial, layers, drop, half, latency):
        candidate = baseline(layers, 2)
        paired = Estimate(value=drop, low=drop - half, high=drop + half)
        accuracy = Estimate(value=0.97 - drop, low=0.9, high=1.0)  # unpaired: tells students apart never
        metrics = {"accuracy": accuracy, "accuracy_drop": paired, "latency_ms": Estimate.exact(latency)}
        return Point(trial, candidate, metrics)

    points = [
        student(0, 1, 0.005, 0.005, 1.0),
        student(1, 1, 0.005, 0.005, 1.5),  # the same student, slower, no better
        student(2, 2, 0.007, 0.005, 2.0),  # another one, slower, worse by less than the noise
        student(3, 3, 0.030, 0.005, 3.0),  # slower, and worse for certain
        student(4, 1, 0.004, 0.005, 4.0),  # the same student, slower, a document better
    ]
    assert [p.trial for p in front(points, BOTH)] == [0, 4]
    assert [p.trial for p in contenders(points, BOTH)] == [0, 2, 4]
    drops = ["accuracy_drop", "latency_ms"]
    assert [p.trial for p in contenders(points, drops)] == [0, 2, 4]


def test_perplexity_counts_as_a_ratio_and_around_the_baseline():
    """Twice the perplexity is as far from the baseline as half of it; what is half as much again counts no more."""

    def volume(perplexity, objective):
        values = {"perplexity": perplexity, "perplexity_increase": perplexity / 20 - 1, "latency_ms": 10.0}
        point = Point(1, baseline(30, 2), {name: Estimate.exact(v) for name, v in values.items()})
        base = {"perplexity": 20.0, "perplexity_increase": 0.0, "latency_ms": 100.0}
        origin = Point(0, baseline(30, 2), {name: Estimate.exact(v) for name, v in base.items()})
        return normalised_hypervolume([point], [objective, "latency_ms"], origin)

    for objective in ("perplexity", "perplexity_increase"):
        assert volume(20.0, objective) == pytest.approx(
            0.5 * 0.5
        )  # ten of a hundred times faster is half as well
        assert volume(22.0, objective) == pytest.approx(0.5 * (0.5 - math.log(1.1) / math.log(1.5) / 2))
        assert volume(30.1, objective) == 0 < volume(29.9, objective)
    assert told_values(["perplexity_increase"], {"perplexity_increase": Estimate.exact(1.0)}) == [math.log(2)]
    assert told_values(["perplexity_increase"], {"perplexity_increase": Estimate.exact(-1.0)}) is None
