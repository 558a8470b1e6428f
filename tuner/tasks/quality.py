"""Quality: accuracy and macro F1 with their intervals, and the paired change against a baseline."""

from __future__ import annotations

import math

import numpy as np

from tuner.errors import BuildError
from tuner.metrics import Estimate

_Z = 1.959963984540054  # of a 95 % interval
_RESAMPLES = 2000


def evaluate(logits: np.ndarray, labels: np.ndarray) -> dict[str, Estimate]:
    """Return `accuracy` and `f1_macro` of logits (documents, classes) against labels (documents,).

    Accuracy has Wilson's interval (Wilson 1927); macro F1 a percentile bootstrap over documents.

    Raises:
        BuildError: a logit is not a finite number: the artefact is broken.
    """
    matrix = confusion_matrix(predictions(logits), labels, logits.shape[1])
    return {"accuracy": wilson(int(np.trace(matrix)), len(labels)), "f1_macro": _f1_estimate(matrix)}


def drops(base: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> dict[str, Estimate]:
    """Return `accuracy_drop` and `f1_macro_drop` of logits against a baseline's, paired by document.

    Raises:
        BuildError: a logit is not a finite number.
    """
    before, after = predictions(base), predictions(logits)
    drop = paired_drop(before == labels, after == labels)
    return {"accuracy_drop": drop, "f1_macro_drop": _f1_drop(before, after, labels, logits.shape[1])}


def predictions(logits: np.ndarray) -> np.ndarray:
    """Return the index of the largest logit of each document.

    Raises:
        BuildError: a logit is not a finite number.
    """
    if not np.isfinite(logits).all():
        raise BuildError(
            f"{int((~np.isfinite(logits)).any(axis=1).sum())} of {len(logits)} outputs are not finite"
        )
    return logits.argmax(axis=1)


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (classes, classes): the row is the true label, the column the predicted one."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def wilson(hits: int, total: int) -> Estimate:
    """Return hits/total with Wilson's score interval."""
    share, weight = hits / total, _Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return _around(share, middle - half, middle + half)


def paired_drop(correct_base: np.ndarray, correct_candidate: np.ndarray) -> Estimate:
    """Return the accuracy lost from baseline to candidate on the same documents (bool arrays of one shape).

    Interval: the adjusted Wald of Agresti & Min 2005 ("Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24): half an observation is added to each of the four cells.
    """
    base, candidate = np.asarray(correct_base, dtype=bool), np.asarray(correct_candidate, dtype=bool)
    lost, won, total = int((base & ~candidate).sum()), int((candidate & ~base).sum()), len(base)
    difference, discordant = lost - won, lost + won + 1
    half = _Z * math.sqrt(discordant - difference**2 / (total + 2)) / (total + 2)
    middle = difference / (total + 2)
    return _around(difference / total, middle - half, middle + half)


def f1_macro(matrices: np.ndarray) -> np.ndarray:
    """Return macro F1 of confusion matrices (…, classes, classes), over the classes that occur."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    both = matrices.sum(axis=-1) + matrices.sum(axis=-2)
    scores = np.divide(2.0 * hits, both, out=np.zeros(both.shape), where=both > 0)
    return scores.sum(axis=-1) / np.maximum((both > 0).sum(axis=-1), 1)


def _f1_estimate(matrix: np.ndarray) -> Estimate:
    """Resampling documents is drawing the matrix's cells from a multinomial: exact, and quick."""
    draws = _resampled(matrix.ravel()).reshape(-1, *matrix.shape)
    return _percentiles(float(f1_macro(matrix)), f1_macro(draws))


def _f1_drop(before: np.ndarray, after: np.ndarray, labels: np.ndarray, classes: int) -> Estimate:
    triples, counts = np.unique(np.stack([labels, before, after]), axis=1, return_counts=True)
    draws = np.concatenate([counts[None], _resampled(counts)])
    losses = f1_macro(_matrices(triples[[0, 1]], draws, classes)) - f1_macro(
        _matrices(triples[[0, 2]], draws, classes)
    )
    return _percentiles(float(losses[0]), losses[1:])


def _matrices(pairs: np.ndarray, draws: np.ndarray, classes: int) -> np.ndarray:
    matrices = np.zeros((classes * classes, len(draws)), dtype=draws.dtype)
    np.add.at(matrices, pairs[0] * classes + pairs[1], draws.T)
    return matrices.T.reshape(-1, classes, classes)


def _resampled(counts: np.ndarray) -> np.ndarray:
    total = int(counts.sum())
    return np.random.default_rng(0).multinomial(total, counts / total, size=_RESAMPLES)


def _percentiles(value: float, draws: np.ndarray) -> Estimate:
    low, high = np.percentile(draws, [2.5, 97.5])
    return _around(value, float(low), float(high))


def _around(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, low=min(low, value), high=max(high, value))
