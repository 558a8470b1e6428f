"""Propose: the candidate whose expected gain is largest for the seconds that it would still cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from tuner.candidate import Candidate, Parallel
from tuner.search.aware.belief import Coordinates, Encoder
from tuner.search.aware.costs import Costs, Remaining
from tuner.search.aware.history import Item, Made, Seen
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Outlook
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

    def __init__(self, space: Space, anatomy: Mapping[str, Any], options: Options) -> None:
        self.space, self.encoder, self.options = space, Encoder(anatomy), options
        small = space.size() <= options.pool
        self._all = [Item.of(c) for c in space.enumerate()] if small else None
        self._at = self.encoder.encode(self._all) if self._all else None

    def pool(self, made: Made, rng: Random) -> tuple[list[Item], Coordinates]:
        """Return the whole space where it is small; else draws from it, and all that can be had cheaply."""
        if self._all is not None and self._at is not None:
            return self._all, self._at
        drawn = [self.space.draw(rng) for _ in range(self.options.pool)]
        items = {(i := Item.of(c)).hash: i for c in [*_cheap(self.space, made, self.options.pool), *drawn]}
        found = list(items.values())
        return found, self.encoder.encode(found)


def propose(
    ground: Ground, outlook: Outlook, history: Sequence[Seen], taken: Collection[str], seed: int
) -> Proposal | None:
    """Return the best candidate that is not `taken` (tried, queued or running; by hash), None if none is left."""
    rng = Random(f"{seed}:{len(taken)}")
    made, costs = Made.by(history), Costs.of(history, ground.space.teacher_layers)
    items, at = ground.pool(made, rng)
    free = np.array([item.hash not in taken for item in items])
    if not free.any():
        left = ground.space.untried(taken, rng)
        return None if left is None else _proposal(Item.of(left), 0.0, costs, made)
    gain = outlook.expected(at) * _successes(items, history)
    seconds = np.array([costs.remaining(i, made).total for i in items]) ** ground.options.by_cost
    worth = np.where(gain > _TINY, gain / seconds, _TINY * 1e-6 / seconds)  # of nothing, the cheapest
    best = int(np.argmax(np.where(free, worth, -1.0)))
    return _proposal(items[best], float(gain[best]), costs, made)


def _proposal(item: Item, gain: float, costs: Costs, made: Made) -> Proposal:
    return Proposal(item, gain, costs.remaining(item, made))


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
            for threads, replicas in space.parallels:
                count += 1
                if count > most:
                    return
                run = Parallel(threads=threads, replicas=replicas)
                form = {"quantization": quantization, "backend": backend, "parallel": run}
                yield shaped.model_copy(update=form)


def _successes(items: Sequence[Item], history: Sequence[Seen]) -> np.ndarray:
    """Return how likely each candidate is to be built at all (n,): by its format's record, and its own artefact's."""
    tried = Counter(seen.item.form for seen in history)
    failed = Counter(seen.item.form for seen in history if seen.state == "failed")
    broken = {seen.item.artefact for seen in history if seen.state == "failed"}
    chances = {f: (n - failed[f] + _BELIEVED) / (n + _BELIEVED) for f, n in tried.items()}
    return np.array([_AGAIN if i.artefact in broken else chances.get(i.form, 1.0) for i in items])
