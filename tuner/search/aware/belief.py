"""Belief: what a metric would be of candidates not measured yet, from those that were.

A Gaussian process (Rasmussen & Williams 2006, chapter 2) whose kernel says how this space is built: a part for the
shape, one for the number format on its engine, one for the way to run, and weaker ones for what they do together. With
it a format tried on one shape tells of all shapes, and a shape tried in one format of all formats. The scale of the
whole is learnt in closed form (an inverse gamma prior on it); the parts' shares are fixed: a study has too few points
to learn more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from tuner.search.aware.history import Item
from tuner.search.objective import is_log

_TRUST = 6.0  # as many observations is the first scale worth
_LENGTH = 0.7  # of the shape's kernel; each coordinate runs from 0 to 1
_WORK = 0.8  # log latency per log work, before anything is seen


@dataclass(frozen=True)
class Parts:
    """Standard deviations of the kernel's parts, in the metric's own (logarithmic) unit."""

    level: float
    shape: float
    student: float
    form: float
    run: float
    together: float
    noise: float
    foreign: float


#: Latencies and the like, as logarithms; and shares such as accuracy, which hang on the shape alone but for noise.
_CLOCKED = Parts(level=1.0, shape=0.3, student=0.05, form=0.8, run=0.4, together=0.2, noise=0.03, foreign=0.1)
_SHARE = Parts(
    level=0.01, shape=0.012, student=0.004, form=0.003, run=0.0, together=0.003, noise=0.0005, foreign=0.01
)


@dataclass(frozen=True)
class Coordinates:
    """Candidates as arrays: shape (n, 3), log of the work (n,), and numbers (n,) of what they have in common."""

    shape: np.ndarray
    work: np.ndarray
    engine: np.ndarray
    form: np.ndarray
    run: np.ndarray
    student: np.ndarray


class Encoder:
    """Numbers whatever a candidate is made of, and estimates its arithmetic from the teacher's anatomy."""

    def __init__(self, anatomy: Mapping[str, Any]) -> None:
        self._layers = int(anatomy["layers"])
        hidden, ffn = float(anatomy["hidden"] or 1), float(anatomy["ffn"] or 1)
        self._attention, self._ffn = 4 * hidden * hidden, 2 * hidden * ffn
        self._numbers: dict[object, int] = {}

    def encode(self, items: Sequence[Item]) -> Coordinates:
        """Return the coordinates of candidates."""
        rows = [self._row(item) for item in items]
        shape = np.array([row[0] for row in rows]).reshape(-1, 3)
        work = np.array([row[1] for row in rows])
        numbers = np.array([row[2] for row in rows], dtype=int).reshape(-1, 4)
        return Coordinates(shape, work, *numbers.T)

    def _row(self, item: Item) -> tuple[list[float], float, list[int]]:
        layers, heads, ffn = item.student
        dense = self._attention * (1 - heads) + self._ffn * (1 - ffn)
        share = layers / self._layers * dense / (self._attention + self._ffn)
        keys = [item.form[0], item.form, item.run, item.student]
        numbers = [self._numbers.setdefault((i, key), len(self._numbers)) for i, key in enumerate(keys)]
        depth = math.log(layers) / math.log(max(self._layers, 2))
        return [depth, heads, ffn], math.log(share + 0.01), numbers


@dataclass(frozen=True)
class Told:
    """A value in the unit that the objective is told in, and how far it may be off (a standard deviation).

    A `foreign` one is of another study of such a model: shifted to this one's baseline, and off by more than its noise.
    """

    item: Item
    value: float
    error: float = 0.0
    foreign: bool = False


class Belief:
    """What is believed of one metric (its logarithm, but for shares) over candidates."""

    def __init__(self, metric: str, encoder: Encoder) -> None:
        self.metric, self._encoder = metric, encoder
        self._parts = _CLOCKED if is_log(metric) else _SHARE
        self._slope = _WORK if metric.startswith("latency") else 0.0

    def learn(self, seen: Sequence[Told]) -> Belief:
        """Take in what was measured, the baseline first."""
        self._at = self._encoder.encode([told.item for told in seen])
        values = np.array([told.value for told in seen]) - self._slope * self._at.work
        error = np.array([told.error for told in seen])
        foreign = np.array([told.foreign for told in seen])
        self._mean = float(values[0])
        kernel = self._kernel(self._at, self._at)
        noise = self._parts.noise**2 + error**2 + np.where(foreign, self._parts.foreign**2, 0.0)
        self._factor = cho_factor(kernel + np.diag(noise + 1e-10), lower=True)
        self._weights = cho_solve(self._factor, values - self._mean)
        misfit = float((values - self._mean) @ self._weights)
        self._scale = (_TRUST + misfit) / (_TRUST + len(seen))
        return self

    def of(self, to: Coordinates) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (n,) of candidates."""
        cross = self._kernel(to, self._at)
        mean = self._mean + self._slope * to.work + cross @ self._weights
        known = np.einsum("ij,ji->i", cross, cho_solve(self._factor, cross.T))
        variance = np.maximum(self._prior() - known, 1e-12)
        return mean, np.sqrt(variance * self._scale)

    def _prior(self) -> float:
        p = self._parts
        return p.level**2 + p.shape**2 + p.student**2 + p.form**2 + p.run**2 + 2 * p.together**2

    def _kernel(self, a: Coordinates, b: Coordinates) -> np.ndarray:
        p = self._parts
        distance = ((a.shape[:, None, :] - b.shape[None, :, :]) ** 2).sum(-1)
        near = np.exp(-0.5 * distance / _LENGTH**2)
        engine, form, run, student = (
            (getattr(a, name)[:, None] == getattr(b, name)[None, :]).astype(float)
            for name in ("engine", "form", "run", "student")
        )
        alike = 0.5 * engine + 0.5 * form  # formats of one engine have something in common
        return (
            p.level**2
            + p.shape**2 * near
            + p.student**2 * student
            + p.form**2 * alike
            + p.run**2 * run
            + p.together**2 * (form * near + run * engine)
        )
