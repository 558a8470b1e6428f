"""Propose: the candidate whose expected gain is largest for the seconds that it would still cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from tuner.candidate import Candidate
from tuner.search.aware.belief import Encoder
from tuner.search.aware.costs import Costs, Remaining
from tuner.search.aware.gain import gains
from tuner.search.aware.history import Item, Made, Seen
from tuner.search.aware.kernel import Coordinates
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Outlook
from tuner.search.hypervolume import hypervolume
from tuner.search.space import Space

_BELIEVED = 3  # builds of a number format that are taken to have succeeded before any was tried
_AGAIN = 0.02  # chance of an artefact that failed when it was run another way
_TINY = 1e-9  # a gain below which nothing is expected


@dataclass(frozen=True)
class Proposal:
    """What to try next: its expected gain in hypervolume (a share of the box), and the seconds it would still take."""

    item: Item
    gain: float
    remaining: Remaining


class Ground:
    """A study's space as the search sees it; all of a small one is laid out once."""

    def __init__(
        self, space: Space, anatomy: Mapping[str, Any], options: Options, task: str = "text-classification"
    ) -> None:
        self.space, self.encoder, self.options = space, Encoder(anatomy, task), options
        self._task = task
        small = space.size() <= options.pool
        self._all = [Item.of(c) for c in space.enumerate()] if small else None
        self._at = self.encoder.encode(self._all) if self._all else None

    def costs(self, history: Sequence[Seen]) -> Costs:
        """Return what candidates still cost, as a history tells."""
        return Costs.of(history, self.space.teacher_layers, self._task)

    def pool(self, made: Made, rng: Random) -> tuple[list[Item], Coordinates]:
        """Return the whole space where it is small; else draws from it, and all that can be had cheaply."""
        if self._all is not None and self._at is not None:
            return self._all, self._at
        drawn = [self.space.draw(rng) for _ in range(self.options.pool)]
        items = {(i := Item.of(c)).hash: i for c in [*_cheap(self.space, made, self.options.pool), *drawn]}
        found = list(items.values())
        return found, self.encoder.encode(found)


class Field:
    """The candidates of one moment: what each may turn out to be, and what it would still cost."""

    def __init__(
        self, ground: Ground, outlook: Outlook, history: Sequence[Seen], taken: Collection[str], seed: int
    ) -> None:
        self._outlook, self._power = outlook, ground.options.by_cost
        self._made, self._costs = Made.by(history), ground.costs(history)
        self._items, at = ground.pool(self._made, Random(f"{seed}:{len(taken)}"))
        self._losses, self._met = outlook.possible(at)
        self._chances = _successes(self._items, history)
        self._free = np.array([item.hash not in taken for item in self._items])
        self._front = outlook.front

    def best(self) -> Proposal | None:
        """Return the candidate of the most expected gain for its seconds; None if none is left."""
        if not self._free.any():
            return None
        gain = (gains(self._front, self._losses) * self._met).mean(axis=1) * self._chances
        left = [self._costs.remaining(item, self._made) for item in self._items]
        seconds = np.array([one.total for one in left]) ** self._power
        worth = np.where(gain > _TINY, gain / seconds, _TINY * 1e-6 / seconds)  # of nothing, the cheapest
        best = int(np.argmax(np.where(self._free, worth, -1.0)))
        return Proposal(self._items[best], float(gain[best]), left[best])

    def suppose(self, done: Proposal) -> None:
        """Go on as if a proposal had been tried, and had come out as it is believed to."""
        item = done.item
        self._free[self._items.index(item)] = False
        self._front = np.concatenate([self._front, self._outlook.believed_points([item])])
        self._made = self._made.with_item(item)


def propose(
    ground: Ground, outlook: Outlook, history: Sequence[Seen], taken: Collection[str], seed: int
) -> Proposal | None:
    """Return the best candidate that is not `taken` (tried, queued or running; by hash), None if none is left."""
    found = Field(ground, outlook, history, taken, seed).best()
    if found is not None:
        return found
    left = ground.space.untried(
        taken, Random(f"{seed}:{len(taken)}")
    )  # a large space: all that was drawn is taken
    if left is None:
        return None
    item = Item.of(left)
    return Proposal(item, 0.0, ground.costs(history).remaining(item, Made.by(history)))


def promised(
    ground: Ground,
    outlook: Outlook,
    history: Sequence[Seen],
    taken: Collection[str],
    seed: int,
    seconds: float,
) -> float:
    """Return what the next `seconds` of search are expected to add to the hypervolume, as a share of what there is.

    The best proposal is supposed to come true, then the next best, until their costs fill the time. What each would
    teach about the others is left out: the sum is rather too large than too small. Infinity where there is no front.
    """
    field, total, left = Field(ground, outlook, history, taken, seed), 0.0, seconds
    while (found := field.best()) is not None and found.remaining.total <= left and found.gain > _TINY:
        total += found.gain
        left -= found.remaining.total
        field.suppose(found)
    have = hypervolume(
        [tuple(row) for row in np.clip(outlook.front, 0, None)], [1.0] * outlook.front.shape[1]
    )
    return total / have if have else math.inf


def _cheap(space: Space, made: Made, most: int) -> Iterator[Candidate]:
    """Yield candidates of students that are made already, in other formats and other ways to run."""
    count = 0
    for student in sorted(made.students):
        base = space.draw(Random(0))
        shaped = base.model_copy(
            update={
                "distillation": base.distillation.model_copy(update={"student_layers": student[0]}),
                "pruning": base.pruning.model_copy(update={"heads": student[1], "ffn": student[2]}),
            }
        )
        for quantization, backend in space.pairs():
            for run in space.runs(student, quantization, backend):
                count += 1
                if count > most:
                    return
                form = {"quantization": quantization, "backend": backend, "parallel": run}
                yield shaped.model_copy(update=form)


def _successes(items: Sequence[Item], history: Sequence[Seen]) -> np.ndarray:
    """Return how likely each candidate is to be built at all (n,): by its format's record, and its own artefact's."""
    tried = Counter(seen.item.form for seen in history)
    failed = Counter(seen.item.form for seen in history if seen.state == "failed")
    broken = {seen.item.artefact for seen in history if seen.state == "failed"}
    chances = {f: (n - failed[f] + _BELIEVED) / (n + _BELIEVED) for f, n in tried.items()}
    return np.array([_AGAIN if i.artefact in broken else chances.get(i.form, 1.0) for i in items])
