"""Standing: whether a point is on the front, tied with it or dominated, by the intervals of what was measured.

- `front`: no point dominates it by the values.
- `tied`: one does, but none for certain. Measured again it may well be on the front.
- `dominated`: one does for certain: its worse ends are no worse than the better ends of this one.

That is dominance of intervals as in Limbourg and Salazar Aponte (2005), "An Optimization Algorithm for Imprecise
Multi-Objective Problem Functions": the certain case of the probabilistic dominance in Teich (2001), "Pareto-Front
Exploration with Uncertain Objectives". Probabilities would need distributions, which a few hundred documents and some
dozen blocks of calls do not give. That two 95 % intervals do not touch is a stricter test than one of 5 %: who is
called dominated is.

A point on the front may owe its place to noise as well. It stays there, for the values are the best guess there is, and
a front without it would have a hole. But its `rivals` are named: those on the front or tied with it that may beat it in
everything. A point without rivals is on the front for certain. A slow point whose little more of accuracy is within the
noise has the fast ones as rivals: nobody knows whether it is worth its time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tuner.metrics import LOSS
from tuner.search.dominance import Groups, Losses, Mask, dominated, undominated
from tuner.search.objective import directions, is_clocked

Word = Literal["front", "tied", "dominated"]
#: From the best on: the order in which a table shows them.
WORDS: tuple[Word, ...] = ("front", "tied", "dominated")

_NAMED = 3  # rivals that a sentence names

#: Returns a metric of all points; the second argument is "", "_low" or "_high". NaN where it was not measured.
Column = Callable[[str, str], NDArray[np.float64]]


@dataclass(frozen=True)
class Standing:
    """A point's place, and the trials, fastest first, that may beat it in everything (none for a dominated one)."""

    word: Word
    rivals: tuple[int, ...] = ()

    def text(self) -> str:
        """Return it for a person: `on the front`, `tied with the front: trial 3 may beat it, within the noise`."""
        if not self.rivals:
            return {"front": "on the front", "tied": "tied with the front"}.get(self.word, self.word)
        may = f"{_named(self.rivals)} may beat it, within the noise"
        return f"on the front, though {may}" if self.word == "front" else f"tied with the front: {may}"


@dataclass(frozen=True)
class Spread:
    """Points as losses: by their values, and at the better and the worse ends of their intervals.

    `shares` says which objectives are qualities. Artefacts of one student (`students`, small integers) answer nearly
    alike: among them only what is measured with a clock has an interval.
    """

    value: Losses
    best: Losses
    worst: Losses
    shares: Mask
    students: Groups

    @classmethod
    def of(cls, objectives: Sequence[str], column: Column, students: Groups) -> Spread:
        """Return the points of these columns. A missing end is the value; no objective's value may be missing."""
        ends = [_ends(name, column) for name in objectives]
        signed = [
            (-v, -high, -low) if way == "maximize" else (v, low, high)
            for (v, low, high), way in zip(ends, directions(objectives), strict=True)
        ]
        value, best, worst = (np.column_stack(part) for part in zip(*signed, strict=True))
        return cls(value, best, worst, np.array([not is_clocked(name) for name in objectives]), students)

    def words(self) -> NDArray[Any]:
        """Return `front`, `tied` or `dominated` for each point."""
        found = np.full(len(self.value), "dominated", dtype=object)
        found[self.contenders] = "tied"
        found[undominated(self.value)] = "front"
        return found

    @cached_property
    def contenders(self) -> Mask:
        """Say of each point if none dominates it for certain; who falls to its own student's counts no longer."""
        better, worse = (np.where(self.shares, self.value, end) for end in (self.best, self.worst))
        left = np.flatnonzero(~dominated(better, worse, self.students))
        kept = np.zeros(len(self.value), dtype=bool)
        kept[left] = ~dominated(self.best[left], self.worst[left])
        return kept

    def rivals(self, at: int) -> Mask:
        """Say of each point if it is a contender and may beat this one, itself a contender, in everything."""
        if not self.contenders[at]:
            return np.zeros(len(self.value), dtype=bool)
        exact = (self.students == self.students[at])[:, None] & self.shares
        best = np.where(exact, self.value, self.best)
        worst = np.where(exact, self.value[at], self.worst[at])
        may = (best <= worst).all(axis=1) & (best < worst).any(axis=1) & self.contenders
        may[at] = False
        return np.asarray(may)


def _named(trials: Sequence[int]) -> str:
    more = len(trials) - _NAMED
    shown = [str(n) for n in trials[:_NAMED]]
    last = [f"{more} more"] if more > 0 else [shown.pop()] if len(shown) > 1 else []
    return f"trial{'s' if len(trials) > 1 else ''} " + " and ".join([", ".join(shown), *last])


def _ends(name: str, column: Column) -> tuple[NDArray[np.float64], ...]:
    """Return a metric's values and both ends; those of a quality as far as it may move against the baseline.

    The paired change (`LOSS`) on the same documents is known better than the quality itself.
    """
    value, low, high = (column(name, end) for end in ("", "_low", "_high"))
    if name in LOSS:
        loss, least, most = (column(LOSS[name], end) for end in ("", "_low", "_high"))
        if name == "perplexity":  # its loss is a share of the baseline's, and grows with it
            moved = value * (1 + least) / (1 + loss), value * (1 + most) / (1 + loss)
        else:
            moved = value + (loss - most), value + (loss - least)
        low, high = (np.where(np.isnan(loss), end, new) for end, new in zip((low, high), moved, strict=True))
    return value, np.fmin(low, value), np.fmax(high, value)


__all__ = ["WORDS", "Column", "Spread", "Standing", "Word"]
