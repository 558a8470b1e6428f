"""Belief: what a metric would be of candidates not measured yet, from those that were.

A Gaussian process (Rasmussen & Williams 2006, chapter 2) with the kernel of `kernel.py`: with it a format tried on one
shape tells of all shapes, and a shape tried in one format of all formats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from tuner.search.aware.history import Item
from tuner.search.aware.kernel import Coordinates, components, learnt, prior, variance, weighed
from tuner.search.objective import is_log
from tuner.spec.model import GENERATION

_TRUST = 6.0  # as many observations is the first scale worth
#: Before anything is seen: log latency per log work, and how many times faster than PyTorch eager a small encoder is in
#: an engine, and in a number format; one measurement of a format outweighs it.
_WORK = 0.8
_ENGINE = {"onnxruntime": 1.7, "openvino": 2.4}
_BITS = {("openvino", 8): 2.0, ("openvino", 16): 1.5, ("onnxruntime", 8): 1.9, ("torch", 16): 2.0}
_BITS |= {("torch-compile", 16): 2.0}
#: The same of an answer of some dozen tokens: reading the weights is most of it, so fewer bits count for more.
_TORCH_GENERATES = {32: 1.0, 16: 2.0}
_GENERATES = {32: 2.5, 16: 3.5, 8: 6.0, 4: 9.0, 3: 9.0, 2: 9.0}
_TIMES = ("latency", "server_p", "ttft", "tpot", "itl")
_FOREIGN = {True: 0.1, False: 0.01}  # by which another study's values may be off: logarithms, and shares


class Encoder:
    """Numbers whatever a candidate is made of, and estimates its arithmetic from the teacher's anatomy."""

    def __init__(self, anatomy: Mapping[str, Any], task: str = "text-classification") -> None:
        self._factor = _generating if task == GENERATION else _classifying
        self._layers = int(anatomy["layers"])
        hidden, ffn = float(anatomy["hidden"] or 1), float(anatomy["ffn"] or 1)
        self._attention, self._ffn = 4 * hidden * hidden, 2 * hidden * ffn
        self._numbers: dict[object, int] = {}

    def encode(self, items: Sequence[Item]) -> Coordinates:
        """Return the coordinates of candidates."""
        rows = [self._row(item) for item in items]
        shape = np.array([row[0] for row in rows]).reshape(-1, 3)
        work = np.array([row[1] for row in rows])
        guess = np.array([-math.log(self._factor(item.form[0], item.form[3])) for item in items])
        numbers = np.array([row[2] for row in rows], dtype=int).reshape(-1, 5)
        cores = np.array([math.log(item.candidate.parallel.cores) for item in items])
        engine, weights, form, run, student = numbers.T
        return Coordinates(shape, work, guess, engine, weights, form, run, student, cores)

    def _row(self, item: Item) -> tuple[list[float], float, list[int]]:
        layers, heads, ffn, _ = item.student
        dense = self._attention * (1 - heads) + self._ffn * (1 - ffn)
        share = layers / self._layers * dense / (self._attention + self._ffn)
        keys = [item.form[0], item.weights, item.form, item.run, item.student]
        numbers = [self._numbers.setdefault((i, key), len(self._numbers)) for i, key in enumerate(keys)]
        depth = math.log(layers) / math.log(max(self._layers, 2))
        return [depth, heads, ffn], math.log(share + 0.01), numbers


def _classifying(engine: str, bits: int) -> float:
    return _ENGINE.get(engine, 1.0) * _BITS.get((engine, bits), 1.0)


def _generating(engine: str, bits: int) -> float:
    return (_TORCH_GENERATES if engine.startswith("torch") else _GENERATES).get(bits, 1.0)


@dataclass(frozen=True)
class Told:
    """A value in the unit that the objective is told in, and how far it may be off (a standard deviation).

    A `foreign` one is of another study of such a model: shifted to this one's baseline, and off by more than its noise.
    """

    item: Item
    value: float
    error: float = 0.0
    foreign: bool = False


class CountedCores:
    """What is known of the cores that candidates take, before any is measured."""

    def of(self, to: Coordinates) -> tuple[np.ndarray, np.ndarray]:
        """Return their logarithms (n,), and that there is no doubt."""
        return to.cores, np.full_like(to.cores, 1e-9)


class Belief:
    """What is believed of one metric (its logarithm, but for shares) over candidates."""

    def __init__(self, metric: str, encoder: Encoder) -> None:
        self.metric, self._encoder = metric, encoder
        self._parts = prior(metric)
        self._guesses = metric.startswith(_TIMES)

    def learn(self, seen: Sequence[Told]) -> Belief:
        """Take in what was measured, the baseline first."""
        self._at = self._encoder.encode([told.item for told in seen])
        values = np.array([told.value for told in seen]) - self._guess(self._at)
        self._mean = float(values[0])
        off = _FOREIGN[is_log(self.metric)]
        error = np.array([math.hypot(told.error, off if told.foreign else 0.0) for told in seen])
        self._parts = learnt(self._parts, self._at, values - self._mean, error)
        kernel = weighed(self._parts, components(self._at, self._at))
        self._factor = cho_factor(kernel + np.diag(self._parts.noise**2 + error**2 + 1e-10), lower=True)
        self._weights = cho_solve(self._factor, values - self._mean)
        misfit = float((values - self._mean) @ self._weights)
        self._scale = (_TRUST + misfit) / (_TRUST + len(seen))
        return self

    def of(self, to: Coordinates) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (n,) of candidates."""
        cross = weighed(self._parts, components(to, self._at))
        mean = self._mean + self._guess(to) + cross @ self._weights
        known = np.einsum("ij,ji->i", cross, cho_solve(self._factor, cross.T))
        left = np.maximum(variance(self._parts, to) - known, 1e-12)
        return mean, np.sqrt(left * self._scale)

    def _guess(self, at: Coordinates) -> np.ndarray:
        return _WORK * at.work + at.guess if self._guesses else np.zeros_like(at.work)
