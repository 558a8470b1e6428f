"""Decider: for one candidate, whether to measure it untrained, train it, and judge it to the end.

It stands behind the pipeline's port `Gate`, and knows the study as it was when it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.metrics import Estimate, Metrics
from tuner.search.aware.confidence import document_order, drop_bounds
from tuner.search.aware.costs import Remaining
from tuner.search.aware.gate import NOTHING, looks_first, refused
from tuner.search.aware.history import Item
from tuner.search.aware.options import Options
from tuner.search.aware.outlook import Outlook


@dataclass(frozen=True)
class Decider:
    """`metrics` turns what a measurement found into metrics on the study's clock; `quality` is the study's metric."""

    outlook: Outlook
    item: Item
    remaining: Remaining
    options: Options
    seed: int
    metrics: Callable[[Mapping[str, Any]], Metrics]
    quality: str

    def looks_first(self) -> bool:
        """See `Gate`."""
        return looks_first(self.outlook, self.item, self.remaining, self.options)

    def refuses(self, performance: Mapping[str, Any]) -> str | None:
        """See `Gate`."""
        return refused(self.outlook, self.item, self.metrics(performance), self.options, self.seed)

    def watches(self) -> bool:
        """See `Gate`. Only accuracy is a mean over documents: of another metric all documents are asked."""
        return self.options.subsets and self.quality == "accuracy"

    def order(self, base: np.ndarray) -> np.ndarray:
        """See `Gate`."""
        return document_order(base, self.seed)

    def gives_up(
        self, performance: Mapping[str, Any], base: np.ndarray, order: np.ndarray, correct: np.ndarray
    ) -> tuple[str, Metrics] | None:
        """See `Gate`."""
        low, high = drop_bounds(base, order, correct)
        whole = float(base.mean())
        best = Estimate.exact(whole - low)
        if self.outlook.hopeful(self.item, {**self.metrics(performance), "accuracy": best}, 0.0) > NOTHING:
            return None
        reason = (
            f"beaten after {len(correct)} of {len(base)} documents: its accuracy is at most {whole - low:.4f}"
        )
        found = Estimate(value=whole - (low + high) / 2, low=whole - high, high=whole - low)
        return reason, {"accuracy": found}
