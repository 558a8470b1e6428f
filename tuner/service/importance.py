"""Importance: which fields of the candidate decide about a metric, by PED-ANOVA on the fields' own values.

Watanabe, Bansal, Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces".
All fields of a candidate are discrete, so the densities of the paper are plain shares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tuner.metrics import METRICS

FIELDS = (
    "student_layers",
    "heads",
    "ffn",
    "bits",
    "scheme",
    "group_size",
    "method",
    "kv_bits",
    "threads",
    "replicas",
    "tensor",
    "pipeline",
    "engine",
    "fixed_shape",
)
_LEAST = 8  # measured trials below which shares say nothing


def importance(frame: pd.DataFrame, metric: str, best_share: float = 0.2) -> pd.DataFrame:
    """Return `field`, `share` (they sum to 1) and `best` (the value most over-represented among the best).

    Empty where fewer than 8 trials were measured, or nothing varies.
    """
    known = frame[(frame["state"] == "complete") & frame[metric].notna()]
    empty = pd.DataFrame({"field": [], "share": [], "best": []})
    if len(known) < _LEAST:
        return empty
    best = known.sort_values(metric, ascending=METRICS[metric][1] == "minimize")
    top = best.head(max(3, round(len(best) * best_share)))
    found = [
        (name, *_divergence(known[name], top[name]))
        for name in FIELDS
        if known[name].nunique(dropna=False) > 1
    ]
    total = sum(value for _, value, _ in found)
    if not total:
        return empty
    rows = [(name, value / total, label) for name, value, label in found]
    rows.sort(key=lambda row: -row[1])
    return pd.DataFrame(rows, columns=["field", "share", "best"])


def _divergence(everywhere: pd.Series, among_best: pd.Series) -> tuple[float, str]:
    """Return Pearson's divergence of the best trials' values from all trials', and what the best have more of."""
    text_all, text_top = everywhere.map(plain), among_best.map(plain)
    values: Sequence[str] = sorted(text_all.unique())
    base = np.array([(text_all == v).mean() for v in values])
    share = np.array([(text_top == v).mean() for v in values])
    divergence = float((base * (share / base - 1) ** 2).sum()) / (len(values) - 1)
    return divergence, values[int(np.argmax(share - base))]


def plain(value: object) -> str:
    """Return a field's value as text; none where it does not exist for a candidate."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
