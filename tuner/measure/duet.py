"""Duet measuring: each subject in alternation with a fixed reference, so that the machine's drift cancels.

Bulej et al. 2020, "Duet Benchmarking: Improving Measurement Accuracy in the Cloud". Here the two take turns (parallel
duets would share caches and frequency), in ABBA and BAAB blocks by turns: a linear drift inside a quadruple cancels,
and neither of the two follows itself more often than the other.

What does not cancel is a neighbour that takes a core: a large subject and a small one suffer by different factors. So
the reference is also a watchman: quadruples in which it ran slower than of late are set aside while there are others.
The same is asked of the subject: to choose by one side of a ratio alone would bias it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuner.gpus import Gpu
from tuner.measure.client import Block, Serving, run_blocks
from tuner.measure.stats import SAMPLES_NEEDED, geometric, half_width
from tuner.metrics import Estimate

BLOCK = 0.05  # seconds of one block, at least
_QUIET = 1.15  # times the reference's fastest of late: beyond it, somebody else computes
_FASTEST = 10  # percentile of the reference's blocks that counts as its fastest: the very fastest one is luck
_PATIENCE = 3  # times the cap, for percentiles that need more samples


@dataclass(frozen=True)
class Rhythm:
    """How subject and reference take turns.

    A block lasts `seconds` and `calls` at least, after `dropped` calls; `quadruples` are needed before an interval is
    believed. Where calls take seconds, the reference runs `once` between two blocks of the subject: a linear drift
    still cancels, and the reference, which is the slowest of all, costs half. Each block begins a `pause` (seconds)
    after the one before: a block of one call has none to drop while the other's threads, which wait spinning, go to
    sleep.
    """

    seconds: float = BLOCK
    calls: int = 2
    dropped: int = 1
    quadruples: int = 6
    once: bool = False
    pause: float = 0.0

    def run(self, servings: Sequence[Serving], at: int) -> Block:
        """Run one block, from call number `at`."""
        time.sleep(self.pause)
        return run_blocks(servings, self.seconds, self.calls, at, self.dropped)


SHORT = Rhythm()
LONG = Rhythm(seconds=0.0, calls=1, dropped=0, quadruples=4, once=True, pause=0.1)


@dataclass(frozen=True)
class Quadruple:
    """Four blocks: samples in ms, rates in calls a second; `clock` is the reference's slower median, `own` ours."""

    ratio: float
    clock: float
    own: float
    samples: list[float]
    reference: list[float]
    rates: tuple[float, float]
    details: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Subject:
    """One thing to measure: its replicas, and what was found so far. `fastest` is the reference's clock of late.

    `cards`: each replica's GPU, of a divided model one for each rank, where they compute on one.
    """

    servings: Sequence[Serving]
    quadruples: list[Quadruple] = field(default_factory=list)
    fastest: float = 0.0
    spent: float = 0.0
    rhythm: Rhythm = SHORT
    cards: Sequence[Gpu] = ()

    @property
    def quiet(self) -> list[Quadruple]:
        """Return the quadruples that nobody disturbed; where they are too few, the least disturbed ones."""
        enough = self.rhythm.quadruples
        if len(found := self.within(self.fastest)) >= enough:
            return found
        ordered = sorted(self.quadruples, key=self._disturbance)
        alike = self.within(ordered[0].clock) if ordered else []  # a machine that is slower now than of late
        return alike if len(alike) >= enough else ordered[:enough]

    def _disturbance(self, quadruple: Quadruple) -> float:
        """Return by how much the slower of the two ran slower than its fastest."""
        return max(quadruple.clock / (self.fastest or quadruple.clock), quadruple.own / self._own_fastest)

    @property
    def _own_fastest(self) -> float:
        return float(np.percentile([quadruple.own for quadruple in self.quadruples], _FASTEST))

    def within(self, fastest: float) -> list[Quadruple]:
        """Return the quadruples whose reference ran about as fast as that, in ms, and the subject about its fastest."""
        if not self.quadruples:
            return []
        own = _QUIET * self._own_fastest
        return [q for q in self.quadruples if q.clock <= _QUIET * fastest and q.own <= own]

    @property
    def samples(self) -> list[float]:
        """Return the quiet quadruples' samples in ms."""
        return [sample for quadruple in self.quiet for sample in quadruple.samples]

    @property
    def ratio(self) -> Estimate:
        """Return the latency ratio to the reference with its 95 % interval."""
        return geometric([quadruple.ratio for quadruple in self.quiet])


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
    rhythm = subjects[0].rhythm
    _warm_up([*[s for subject in subjects for s in subject.servings], reference], rhythm)
    while left := [s for s in subjects if not _finished(s, precision, seconds, percentiles)]:
        order.shuffle(left)
        for subject in left:
            _quadruple(subject, reference, len(subject.quadruples) * cycle)


def _warm_up(servings: Sequence[Serving], rhythm: Rhythm, most: float = 1.0) -> None:
    """Run each serving until two blocks in a row agree within 5 %, or for a second."""
    for serving in servings:
        begin, before = time.monotonic(), 0.0
        while time.monotonic() - begin < most:
            now = statistics.median(run_blocks([serving], rhythm.seconds, rhythm.calls).samples)
            if abs(now - before) <= 0.05 * now:
                break
            before = now


def _finished(subject: Subject, precision: float, seconds: float, percentiles: Sequence[int]) -> bool:
    needed = max((SAMPLES_NEEDED.get(p, 100) for p in percentiles), default=0)
    if len(subject.samples) < needed and subject.spent < _PATIENCE * seconds:
        return False
    enough = subject.rhythm.quadruples
    if len(subject.quadruples) < enough:
        return subject.spent >= _PATIENCE * seconds and len(subject.quadruples) >= 2
    if subject.spent >= seconds:
        return True
    undisturbed = len(subject.within(subject.fastest)) >= enough
    return undisturbed and half_width(subject.ratio) <= precision


def _quadruple(subject: Subject, reference: Serving, at: int) -> None:
    """Run subject, reference, reference, subject; every other time the reference first and last.

    The two pairs share the machine's state of that quarter of a second, so they count as one ratio: taken for two,
    the intervals of a disturbed machine come out too narrow.
    """
    begin = time.monotonic()
    first, before, after, second = _turns(subject, reference, at)
    subject.spent += time.monotonic() - begin
    clocks = (statistics.median(before.samples), statistics.median(after.samples))
    own = (statistics.median(first.samples), statistics.median(second.samples))
    ratios = (own[0] / clocks[0], own[1] / clocks[1])
    found = Quadruple(
        ratio=statistics.geometric_mean(ratios),
        clock=max(clocks),
        own=max(own),
        samples=[*first.samples, *second.samples],
        reference=before.samples if after is before else [*before.samples, *after.samples],
        rates=(first.rate, second.rate),
        details=[*first.details, *second.details],
    )
    subject.quadruples.append(found)
    reference.clocks.extend(clocks[:1] if after is before else clocks)
    subject.fastest = float(np.percentile(reference.clocks, _FASTEST))


def _turns(subject: Subject, reference: Serving, at: int) -> tuple[Block, Block, Block, Block]:
    """Return the subject's two blocks around (or inside) the reference's, which are one and the same if run once."""
    rhythm, servings = subject.rhythm, subject.servings
    if rhythm.once:
        first, between, second = (
            rhythm.run(servings, at),
            rhythm.run([reference], at),
            rhythm.run(servings, at),
        )
        return first, between, between, second
    if len(subject.quadruples) % 2 == 0:
        first, before = rhythm.run(servings, at), rhythm.run([reference], at)
        after, second = rhythm.run([reference], at), rhythm.run(servings, at)
    else:
        before, first = rhythm.run([reference], at), rhythm.run(servings, at)
        second, after = rhythm.run(servings, at), rhythm.run([reference], at)
    return first, before, after, second
