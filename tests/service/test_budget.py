"""Budget: distinct candidates, and the seconds in which at least one of them ran."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from tuner.service.budget import Spent
from tuner.spec.model import Budget

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def span(name, start, end):
    return name, BEGIN + timedelta(seconds=start), BEGIN + timedelta(seconds=end)


@pytest.mark.parametrize(
    ("spans", "candidates", "seconds"),
    [
        ([], 0, 0),
        ([("a", 0, 10)], 1, 10),
        ([("a", 0, 10), ("b", 10, 15)], 2, 15),
        ([("a", 0, 10), ("b", 20, 25)], 2, 15),  # a pause is not paid for
        ([("a", 0, 10), ("b", 5, 15)], 2, 15),  # two workers at once: what a user waits
        ([("a", 0, 10), ("b", 2, 4), ("c", 3, 6)], 3, 10),  # inside another
        ([("a", 0, 10), ("b", 0, 10)], 2, 10),
        ([("a", 0, 10), ("a", 20, 30)], 1, 20),  # a second try is the same candidate, and takes its time
        ([("a", 10, 5)], 1, 0),  # a host's clock went back
        ([("a", 0, 10), ("b", 9, 3), ("c", 4, 12)], 3, 12),
        ([("a", 5, 5)], 1, 0),  # it failed before it began
    ],
)
def test_what_was_spent(spans, candidates, seconds):
    found = Spent.of([span(*each) for each in spans])
    assert (found.candidates, found.seconds) == (candidates, seconds)


def test_the_order_of_trials_does_not_matter_and_the_union_is_right():
    rng = random.Random(0)
    for _ in range(50):
        spans = [(str(i), start := rng.randrange(40), start + rng.randrange(12)) for i in range(8)]
        covered = {second for _, start, end in spans for second in range(start, end)}
        assert Spent.of([span(*each) for each in spans]).seconds == len(covered)
        rng.shuffle(spans)
        assert Spent.of([span(*each) for each in spans]).seconds == len(covered)


def test_over():
    trials, minutes = Budget(trials=3), Budget(minutes=0.5)
    assert not Spent(2, 99).over(trials) and Spent(3, 0).over(trials) and Spent(4, 0).over(trials)
    assert Spent(1, 0).over(trials, active=2) and not Spent(1, 0).over(trials, active=1)
    assert not Spent(99, 29.9).over(minutes, active=5) and Spent(0, 30).over(minutes)
    both = Budget(trials=3, minutes=0.5)
    assert Spent(3, 0).over(both) and Spent(0, 30).over(both) and not Spent(2, 29).over(both)


def test_what_is_left():
    assert Spent(0, 0).seconds_left(Budget(trials=3)) is None  # nobody knows how long one takes
    assert Spent(2, 10).seconds_left(Budget(trials=3)) == 5
    assert Spent(5, 10).seconds_left(Budget(trials=3)) == 0
    assert Spent(2, 10).seconds_left(Budget(minutes=1)) == 50
    assert Spent(2, 10).seconds_left(Budget(minutes=0.1)) == 0
    assert Spent(2, 10).seconds_left(Budget(trials=100, minutes=1)) == 50
    assert Spent(2, 10).seconds_left(Budget(trials=4, minutes=1)) == 10
