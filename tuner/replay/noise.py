"""Noise: a recorded table as another day would have recorded it, so that no search is judged by one day's luck."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tuner.metrics import LOSS, RATES, TIMES, Estimate, Metrics
from tuner.replay.table import Counts, Row, Table

_AGAINST_TIME = ("speedup", *RATES)
#: Of which not enough is recorded to draw them anew.
_LEFT_OUT = ("f1_macro", "f1_macro_drop")


def redrawn(table: Table, seed: int) -> Table:
    """Return the table with each latency drawn anew within its interval, and all judged on documents drawn anew.

    The documents (of a language model also the questions and the baseline's answers) are a bootstrap sample (Efron
    1979), the same for all rows: what two of them answer alike stays alike. F1 cannot be told from which answers were
    right, and is left out.
    """
    rng = np.random.default_rng(seed)
    judged = _Judged.drawn(table.baseline, rng)
    rows = {key: _redrawn(row, judged, rng) for key, row in table.rows.items()}
    return replace(table, rows=rows)


@dataclass(frozen=True)
class _Judged:
    """What all are judged on: numbers of documents (or questions), of texts, and of the baseline's answers."""

    base: Row
    documents: np.ndarray
    texts: np.ndarray
    answers: np.ndarray

    @classmethod
    def drawn(cls, base: Row, rng: np.random.Generator) -> _Judged:
        counts = base.counts
        sizes = (len(base.correct), *((0, 0) if counts is None else (len(counts.nll), len(counts.hits))))
        return cls(base, *(rng.integers(0, size, size) if size else np.zeros(0, int) for size in sizes))

    def values(self, row: Row) -> dict[str, float]:
        """Return a row's qualities on what was drawn."""
        if row.counts is None or self.base.counts is None:
            return self._right(row, "accuracy")
        nats, base_nats = (_surprise(one.counts, self.texts) for one in (row, self.base))
        found = {"perplexity": math.exp(nats), "perplexity_increase": math.expm1(nats - base_nats)}
        if answered := row.counts.answered[self.answers].sum():  # the baseline may have nothing to say
            found["agreement"] = float(row.counts.hits[self.answers].sum() / answered)
        return found | (self._right(row, "choice_accuracy") if len(self.documents) else {})

    def _right(self, row: Row, metric: str) -> dict[str, float]:
        own, base = (float(one.correct[self.documents].mean()) for one in (row, self.base))
        return {metric: own, LOSS[metric]: base - own}


def _surprise(counts: Counts | None, texts: np.ndarray) -> float:
    """Return the mean negative log-likelihood of a token (nats)."""
    assert counts is not None
    return float(counts.nll[texts].sum() / counts.tokens[texts].sum())


def _redrawn(row: Row, judged: _Judged, rng: np.random.Generator) -> Row:
    drawn = float(
        rng.standard_normal()
    )  # also where it is not used: each row has its own place in the stream
    if row.failure is not None or row.ratio is None:
        return row
    factor = math.exp(drawn * math.log(row.ratio.high / row.ratio.low) / 4)
    metrics: Metrics = {name: e for name, e in row.metrics.items() if name not in _LEFT_OUT}
    metrics |= _moved(row.metrics, judged.values(row))
    metrics |= {n: e.scaled(factor) for n in TIMES if (e := row.metrics.get(n))}
    metrics |= {n: e.scaled(1 / factor) for n in _AGAINST_TIME if (e := row.metrics.get(n))}
    correct = row.correct[judged.documents]
    return replace(row, metrics=metrics, ratio=row.ratio.scaled(factor), correct=correct)


def _moved(metrics: Metrics, to: dict[str, float]) -> dict[str, Estimate]:
    """Return estimates of the same width around other values."""
    found = {}
    for name, value in to.items():
        if (old := metrics.get(name)) is not None:
            low, high = value - (old.value - old.low), value + (old.high - old.value)
            found[name] = Estimate(value=value, low=low, high=high)
    return found
