"""Duet measuring: each subject in alternation with a fixed reference, so that the machine's drift cancels.

Bulej et al. 2020, "Duet Benchmarking: Improving Measurement Accuracy in the Cloud". Here the two take turns (parallel
duets would share caches and frequency), in ABBA blocks: a linear drift inside a quadruple cancels as well.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tuner.measure.client import Serving, run_blocks
from tuner.measure.stats import SAMPLES_NEEDED, geometric, half_width
from tuner.metrics import Estimate

BLOCK = 0.05  # seconds of one block, at least
_CALLS = 2  # calls of one block, at least, after the first one, which is dropped
_QUADRUPLES = 6  # before an interval is believed
_DRIFT = 0.15  # change of the reference inside a quadruple beyond which the quadruple is thrown away
_REDONE = 0.5  # share of quadruples that may be thrown away: on a hopeless machine all of them would be
_PATIENCE = 3  # times the cap, for percentiles that need more samples


@dataclass
class Subject:
    """One thing to measure: its replicas, and what was found so far. Samples in ms, rates in calls a second."""

    servings: Sequence[Serving]
    samples: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)  # medians of the reference's blocks
    ratios: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    spent: float = 0.0
    rounds: int = 0
    redone: int = 0

    @property
    def ratio(self) -> Estimate:
        """Return the latency ratio to the reference with its 95 % interval."""
        return geometric(self.ratios)


def duet(
    subjects: Sequence[Subject],
    reference: Serving,
    precision: float,
    seconds: float,
    percentiles: Sequence[int] = (),
    cycle: int = 1,
    seed: int = 0,
) -> None:
    """Measure all subjects in turn against the reference until each is precise enough or has spent its time.

    Each round visits the unfinished subjects in a new order. `precision` is the half-width of the ratio's interval,
    `seconds` the cap for each subject; a wanted percentile may take three times as long. `cycle` is that of the plan.
    """
    order = random.Random(seed)
    _warm_up([*[s for subject in subjects for s in subject.servings], reference])
    while left := [s for s in subjects if not _finished(s, precision, seconds, percentiles)]:
        order.shuffle(left)
        for subject in left:
            _quadruple(subject, reference, subject.rounds * cycle)


def _warm_up(servings: Sequence[Serving], most: float = 1.0) -> None:
    """Run each serving until two blocks in a row agree within 5 %, or for a second."""
    for serving in servings:
        begin, before = time.monotonic(), 0.0
        while time.monotonic() - begin < most:
            now = statistics.median(run_blocks([serving], BLOCK, _CALLS)[0])
            if abs(now - before) <= 0.05 * now:
                break
            before = now


def _finished(subject: Subject, precision: float, seconds: float, percentiles: Sequence[int]) -> bool:
    needed = max((SAMPLES_NEEDED.get(p, 100) for p in percentiles), default=0)
    if len(subject.samples) < needed and subject.spent < _PATIENCE * seconds:
        return False
    if len(subject.ratios) < _QUADRUPLES:
        return subject.spent >= _PATIENCE * seconds and len(subject.ratios) >= 2
    return subject.spent >= seconds or half_width(subject.ratio) <= precision


def _quadruple(subject: Subject, reference: Serving, at: int) -> None:
    """Run subject, reference, reference, subject; keep them, unless the reference drifted in between.

    The two pairs share the machine's state of that quarter of a second, so they count as one ratio: taken for two,
    the intervals of a disturbed machine come out too narrow.
    """
    begin = time.monotonic()
    first, rate_one = run_blocks(subject.servings, BLOCK, _CALLS, at)
    before, _ = run_blocks([reference], BLOCK, _CALLS, at)
    after, _ = run_blocks([reference], BLOCK, _CALLS, at)
    second, rate_two = run_blocks(subject.servings, BLOCK, _CALLS, at)
    subject.spent += time.monotonic() - begin
    subject.rounds += 1
    drift = abs(statistics.median(before) / statistics.median(after) - 1)
    if drift > _DRIFT and subject.redone < _REDONE * subject.rounds:
        subject.redone += 1
        return
    pairs = [
        statistics.median(own) / statistics.median(beside)
        for own, beside in ((first, before), (second, after))
    ]
    subject.ratios.append(statistics.geometric_mean(pairs))
    subject.clock += [statistics.median(before), statistics.median(after)]
    subject.samples += [*first, *second]
    subject.reference += [*before, *after]
    subject.rates += [rate_one, rate_two]
