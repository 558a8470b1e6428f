"""Noise: a recorded table as another day would have recorded it, so that no search is judged by one day's luck."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tuner.metrics import Estimate, Metrics
from tuner.replay.table import Row, Table

_WITH_TIME = ("latency_ms",)
_AGAINST_TIME = ("speedup", "throughput")


def redrawn(table: Table, seed: int) -> Table:
    """Return the table with each latency drawn anew within its interval, and all judged on documents drawn anew.

    The documents are a bootstrap sample (Efron 1979), the same for all rows: what two of them answer alike stays alike.
    F1 cannot be told from which answers were right, and is left out.
    """
    rng = np.random.default_rng(seed)
    documents = rng.integers(0, len(table.baseline.correct), len(table.baseline.correct))
    base = float(table.baseline.correct[documents].mean())
    rows = {key: _redrawn(row, documents, base, rng) for key, row in table.rows.items()}
    return replace(table, rows=rows)


def _redrawn(row: Row, documents: np.ndarray, base: float, rng: np.random.Generator) -> Row:
    drawn = float(
        rng.standard_normal()
    )  # also where it is not used: each row has its own place in the stream
    if row.failure is not None or row.ratio is None:
        return row
    factor = math.exp(drawn * math.log(row.ratio.high / row.ratio.low) / 4)
    correct = row.correct[documents]
    accuracy = float(correct.mean())
    metrics: dict[str, Any] = {name: e for name, e in row.metrics.items() if not name.startswith("f1")}
    metrics |= _moved(row.metrics, {"accuracy": accuracy, "accuracy_drop": base - accuracy})
    metrics |= {n: e.scaled(factor) for n in _WITH_TIME if (e := row.metrics.get(n))}
    metrics |= {n: e.scaled(1 / factor) for n in _AGAINST_TIME if (e := row.metrics.get(n))}
    return replace(row, metrics=metrics, ratio=row.ratio.scaled(factor), correct=correct)


def _moved(metrics: Metrics, to: dict[str, float]) -> dict[str, Estimate]:
    """Return estimates of the same width around other values."""
    found = {}
    for name, value in to.items():
        if (old := metrics.get(name)) is not None:
            low, high = value - (old.value - old.low), value + (old.high - old.value)
            found[name] = Estimate(value=value, low=low, high=high)
    return found
