"""Front, tied or dominated: by hand, and against the definition taken word by word."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.candidate import baseline
from tuner.metrics import Estimate
from tuner.search.dominance import dominated, undominated
from tuner.search.front import Point, contenders, front, standings
from tuner.search.standing import Spread

BOTH = ["accuracy", "latency_ms"]
THREE = [*BOTH, "size_mb"]


def exact(**values):
    return {n: None if v is None else Estimate.exact(v) for n, v in values.items()}


def around(value, half):
    return Estimate(value=value, low=value - half, high=value + half)


def student(trial, layers, drop, half, latency, noise=0.0, feasible=True):
    """A point as it is measured: its accuracy is known badly, the paired change of it well."""
    metrics = {
        "accuracy": around(0.95 - drop, 0.05),
        "accuracy_drop": around(drop, half),
        "latency_ms": around(latency, noise),
    }
    return Point(trial, baseline(layers, 2), metrics, feasible)


def words(points, objectives=BOTH):
    return {trial: found.word for trial, found in standings(points, objectives).items()}


def test_by_hand_of_one_student_only_the_clock_ties():
    points = [
        student(0, 6, 0.000, 0.01, 10.0, 1.0),
        student(1, 6, 0.000, 0.01, 10.5, 1.0),  # slower than 0, perhaps
        student(2, 6, 0.000, 0.01, 12.5, 1.0),  # slower than 0 for certain: the intervals do not touch
        student(3, 6, 0.001, 0.01, 10.4, 1.0),  # a document worse than 0 and slower, perhaps
        student(4, 6, 0.000, 0.01, 1.0, feasible=False),
    ]
    assert words(points) == {0: "front", 1: "tied", 2: "dominated", 3: "tied"}
    found = standings(points, BOTH)
    assert found[0].rivals == (1,)  # 3 is worse by its answers, however fast it is
    assert found[1].rivals == (0,)
    assert found[3].rivals == (0, 1) and found[2].rivals == ()


def test_by_hand_of_two_students_the_paired_change_ties_too():
    points = [
        student(0, 1, 0.005, 0.004, 1.0),
        student(1, 2, 0.006, 0.004, 2.0),  # slower, worse by less than the noise
        student(2, 3, 0.020, 0.004, 3.0),  # slower, and worse for certain
        student(3, 6, 0.000, 0.004, 9.0),  # slower, better by less than the noise: on the front all the same
    ]
    assert words(points) == {0: "front", 1: "tied", 2: "dominated", 3: "front"}
    found = standings(points, BOTH)
    assert found[0].rivals == () and found[1].rivals == (0,)
    assert found[3].rivals == (0, 1)  # whether it is worth its time is open
    assert words(points, ["accuracy_drop", "latency_ms"]) == words(points)


def test_without_intervals_nothing_is_tied_and_equals_share_their_place():
    points = [
        Point(i, baseline(6, 2), exact(accuracy=a, latency_ms=ms))
        for i, (a, ms) in enumerate([(0.9, 1.0), (0.9, 1.0), (0.9, 2.0), (0.95, 2.0), (None, 0.1)])
    ]
    assert words(points) == {0: "front", 1: "front", 2: "dominated", 3: "front"}
    assert all(found.rivals == () for found in standings(points, BOTH).values())


@pytest.mark.parametrize("end", [float("nan"), 1.0])
def test_a_missing_or_senseless_end_is_the_value(end):
    odd = Estimate.model_construct(value=2.0, low=float("nan"), high=end)
    points = [
        Point(0, baseline(6, 2), exact(latency_ms=1.9)),
        Point(1, baseline(6, 2), {"latency_ms": odd}),
    ]
    assert words(points, ["latency_ms"]) == {0: "front", 1: "dominated"}


def test_an_interval_without_end_is_never_dominated():
    wide = Estimate(value=2.0, low=0.0, high=float("inf"))
    points = [
        Point(0, baseline(6, 2), exact(latency_ms=1.0)),
        Point(1, baseline(6, 2), {"latency_ms": wide}),
    ]
    found = standings(points, ["latency_ms"])
    assert [s.word for s in found.values()] == ["front", "tied"]
    assert [s.rivals for s in found.values()] == [(1,), (0,)]


def test_one_objective():
    points = [
        Point(i, baseline(6, 2), {"latency_ms": around(ms, 0.5)}) for i, ms in enumerate([3.0, 1.0, 1.8, 2.1])
    ]
    assert words(points, ["latency_ms"]) == {0: "dominated", 1: "front", 2: "tied", 3: "dominated"}


def test_three_objectives_tie_by_the_third():
    def sized(trial, latency, size):
        return Point(
            trial, baseline(6, 2), {**exact(accuracy=0.9, size_mb=size), "latency_ms": around(latency, 0.5)}
        )

    points = [sized(0, 1.0, 10), sized(1, 3.0, 5), sized(2, 1.4, 10), sized(3, 3.0, 10), sized(4, 1.2, 11)]
    assert words(points, THREE) == {0: "front", 1: "front", 2: "tied", 3: "dominated", 4: "tied"}


def test_nothing_stands_where_nothing_is_feasible():
    assert standings([], BOTH) == {} and contenders([], BOTH) == []
    assert standings([student(0, 6, 0.0, 0.0, 1.0, feasible=False)], BOTH) == {}


# -- against the definition

LOSSES = st.integers(1, 4).flatmap(
    lambda k: st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.integers(0, 5), min_size=k, max_size=k)),
        min_size=1,
        max_size=14,
    )
)


def beats(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@settings(max_examples=300, deadline=None)
@given(LOSSES, st.data())
def test_dominance_is_what_its_definition_says(rows, data):
    losses = np.array([row for _, row in rows], dtype=float)
    groups = np.array([group for group, _ in rows])
    by = (
        losses
        + np.array(data.draw(st.lists(st.integers(-1, 2), min_size=len(rows), max_size=len(rows))))[:, None]
    )
    assert undominated(losses).tolist() == [not any(beats(q, p) for q in losses) for p in losses]
    assert dominated(losses, by).tolist() == [any(beats(q, p) for q in by) for p in losses]
    within = [
        any(beats(q, p) for q, h in zip(by, groups, strict=True) if g == h)
        for p, g in zip(losses, groups, strict=True)
    ]
    assert dominated(losses, by, groups).tolist() == within


@st.composite
def measured(draw):
    """Return points of few values, wide intervals and few students, and the objectives they are held to."""
    few = st.integers(1, 6)

    def estimate(scale=1.0):
        value, low, high = draw(few), draw(st.integers(0, 2)), draw(st.integers(0, 2))
        return Estimate(value=value * scale, low=(value - low) * scale, high=(value + high) * scale)

    points = []
    for trial in range(draw(st.integers(1, 9))):
        metrics = {"latency_ms": estimate(), "size_mb": estimate(), "accuracy": estimate(0.125)}
        if draw(st.booleans()):
            metrics["accuracy_drop"] = estimate(0.125)
        points.append(Point(trial, baseline(draw(st.integers(1, 3)), 2), metrics, draw(st.booleans())))
    return points, draw(st.sampled_from([BOTH, ["accuracy"], ["latency_ms", "size_mb"], THREE]))


def ends(point, objectives, end, shares):
    """Return losses at the value (0), the better (-1) or the worse (1) end of a point's intervals."""
    found = []
    for name in objectives:
        estimate, drop = point.metrics[name], point.metrics.get(f"{name}_drop")
        low, high = estimate.low, estimate.high
        if drop is not None:
            low, high = estimate.value + drop.value - drop.high, estimate.value + drop.value - drop.low
        if end == 0 or (name == "accuracy" and not shares):
            low = high = estimate.value
        sign = -1 if name == "accuracy" else 1
        found.append(max(sign * low, sign * high) if end > 0 else min(sign * low, sign * high))
    return found


def still_there(points, objectives, shares, alike=lambda p, q: True):
    return [
        p
        for p in points
        if not any(
            alike(p, q) and beats(ends(q, objectives, 1, shares), ends(p, objectives, -1, shares))
            for q in points
        )
    ]


@settings(max_examples=300, deadline=None)
@given(measured())
def test_standings_are_what_their_definition_says(made):
    points, objectives = made
    found, known = standings(points, objectives), [p for p in points if p.feasible]
    own = still_there(known, objectives, False, lambda p, q: p.candidate.student == q.candidate.student)
    left = {p.trial for p in still_there(own, objectives, True)}
    best = {p.trial for p in front(points, objectives)}
    assert list(found) == [p.trial for p in known]
    assert {n for n, s in found.items() if s.word == "front"} == best <= left
    assert {n for n, s in found.items() if s.word == "tied"} == left - best
    assert {p.trial for p in contenders(points, objectives)} == left


@settings(max_examples=200, deadline=None)
@given(measured())
def test_rivals_may_beat_and_who_is_tied_has_one_on_the_front(made):
    points, objectives = made
    found, by_number = standings(points, objectives), {p.trial: p for p in points}
    for trial, standing in found.items():
        assert trial not in standing.rivals
        assert all(found[n].word != "dominated" for n in standing.rivals)
        for n in standing.rivals:
            other, one = (ends(by_number[t], objectives, e, True) for t, e in ((n, -1), (trial, 1)))
            assert beats(other, one)
        if standing.word == "tied":
            assert any(found[n].word == "front" for n in standing.rivals)


@settings(max_examples=100, deadline=None)
@given(measured(), st.randoms())
def test_the_order_of_points_changes_nothing(made, random):
    points, objectives = made
    shuffled = list(points)
    random.shuffle(shuffled)
    assert words(shuffled, objectives) == words(points, objectives)


@pytest.mark.alone
@pytest.mark.parametrize(("objectives", "most"), [(2, 0.05), (3, 0.25)])
def test_ten_thousand_points_stand_at_once(objectives, most):
    rng = np.random.default_rng(0)
    value = np.exp(rng.normal(size=(10_000, objectives)))
    spread = Spread(
        value, value * 0.9, value * 1.1, np.arange(objectives) == 0, rng.integers(0, 1000, 10_000)
    )
    begun = time.process_time()
    assert set(spread.words()) == {"front", "tied", "dominated"}
    assert time.process_time() - begun < most


def test_perplexity_is_known_as_well_as_its_ratio_to_the_baseline():
    """On other texts all perplexities would be others; how much one model has more than another is known well."""

    def model(trial, layers, increase, half, latency):
        metrics = {
            "perplexity": around(20 * (1 + increase), 4.0),
            "perplexity_increase": around(increase, half),
            "latency_ms": around(latency, 0.0),
        }
        return Point(trial, baseline(layers, 2), metrics)

    points = [model(0, 30, 0.0, 0.0, 10.0), model(1, 29, 0.10, 0.02, 9.0), model(2, 28, 0.20, 0.02, 9.5)]
    close = model(3, 27, 0.13, 0.02, 9.5)
    for objective in ("perplexity", "perplexity_increase"):
        found = words([*points, close], [objective, "latency_ms"])
        assert found == {0: "front", 1: "front", 2: "dominated", 3: "tied"}
