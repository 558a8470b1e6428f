"""Confidence: what answers on some documents say of all of them, at any moment.

A confidence sequence holds at all sample sizes at once, so one may look after each document and stop when it suffices.
For draws without replacement from a finite split, by the ratio of prior to posterior: Waudby-Smith & Ramdas 2020,
"Confidence sequences for sampling without replacement" (arXiv 2006.04347), theorem 2.1. When all documents are answered
it is a single value.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import betaln, gammaln, logsumexp

_PRIOR = (1.0, 9.0)  # beta-binomial: of what the baseline got right, students lose a few percent


def document_order(correct_base: np.ndarray, seed: int) -> np.ndarray:
    """Return the numbers (documents,) of documents in the order to ask: the baseline's mistakes first, then at random.

    With the few documents that can only be won out of the way, the drop is what is lost of the others: one share of one
    population.
    """
    drawn = np.random.default_rng(seed).permutation(len(correct_base))
    return drawn[np.argsort(correct_base[drawn], kind="stable")]


def drop_bounds(
    correct_base: np.ndarray, order: np.ndarray, correct: np.ndarray, alpha: float = 0.05
) -> tuple[float, float]:
    """Return the least and the largest drop in accuracy that answers so far leave possible, as shares.

    Args:
        correct_base: bool (documents,), the baseline on the whole split.
        order: of `document_order`.
        correct: bool (answered,), the candidate on the first documents of that order.
        alpha: the chance, over all moments together, that the true drop lies outside.
    """
    total, answered = len(correct_base), len(correct)
    mistakes = int((~correct_base).sum())
    won = int(correct[:mistakes].sum())
    open_wins = max(mistakes - answered, 0)
    drawn, lost = max(answered - mistakes, 0), int((~correct[mistakes:]).sum())
    low, high = count_bounds(total - mistakes, drawn, lost, alpha)
    return (low - won - open_wins) / total, (high - won) / total


@lru_cache(maxsize=4096)
def count_bounds(population: int, drawn: int, hits: int, alpha: float) -> tuple[int, int]:
    """Return the least and largest number of hits that a population may hold, after so many among the drawn."""
    counts = np.arange(hits, population - drawn + hits + 1)
    prior = _log_prior(population, counts)
    likelihood = _log_choose(population - drawn, counts - hits) - _log_choose(population, counts)
    ratio = logsumexp(prior + likelihood) - likelihood  # log of prior over posterior
    kept = counts[ratio < -np.log(alpha)]
    return int(kept[0]), int(kept[-1])


def _log_prior(population: int, counts: np.ndarray) -> np.ndarray:
    a, b = _PRIOR
    return np.asarray(
        _log_choose(population, counts) + betaln(counts + a, population - counts + b) - betaln(a, b)
    )


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
