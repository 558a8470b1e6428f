"""Choosing: the points that a person within some limits is offered: the fastest, the knee, the most accurate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tuner.metrics import METRICS
from tuner.search.dominance import undominated
from tuner.search.objective import told_column
from tuner.search.pick import order_of
from tuner.service.placing import losses_of, shown

Limits = Mapping[str, float]
#: The offers, in the order they are shown.
OFFERS = ("recommended", "knee", "most accurate")


def within(frame: pd.DataFrame, limits: Limits) -> pd.Series:
    """Say of each trial if it is feasible and its values are at most these; one that was not measured is not."""
    kept = frame["feasible"].astype(bool)
    for name, bound in limits.items():
        kept &= frame[name] <= bound
    return kept


def choose(
    frame: pd.DataFrame, objectives: Sequence[str], metric: str, limits: Limits
) -> dict[str, int | None]:
    """Return the trial number of each of `OFFERS` within the limits; None where there is none.

    The rules are those of `search.pick`: lowest latency (the cheapest, where a study asks for few cores), farthest
    towards the ideal (Das 1999), highest `metric`.
    """
    best = "cheapest" if "cores" in objectives else "fastest"
    kept = frame[within(frame, limits) & shown(frame)]
    return {
        "recommended": _first(kept, order_of(best, objectives, metric)),
        "knee": _knee(kept, objectives),
        "most accurate": _first(kept, order_of("most-accurate", objectives, metric)),
    }


def _first(frame: pd.DataFrame, order: Sequence[str]) -> int | None:
    known = frame.dropna(subset=list(order))
    if known.empty:
        return None
    ascending = [METRICS[name][1] == "minimize" for name in order]
    return int(known.sort_values([*order, "number"], ascending=[*ascending, True])["number"].iloc[0])


def _knee(frame: pd.DataFrame, objectives: Sequence[str]) -> int | None:
    known = frame.dropna(subset=list(objectives))
    losses = losses_of(known, objectives)
    if not len(losses):
        return None
    front = np.flatnonzero(undominated(losses))
    table = losses[front]
    for j, name in enumerate(objectives):
        sign = -1.0 if METRICS[name][1] == "maximize" else 1.0
        table[:, j] = sign * told_column(name, sign * table[:, j])
    span = np.ptp(table, axis=0)
    scaled = np.where(span > 0, (table - table.min(axis=0)) / np.where(span > 0, span, 1.0), 0.0)
    order = np.lexsort([table[:, j] for j in range(table.shape[1])])  # ties: the first in the front's order
    best = order[int(np.argmin(np.round(scaled.sum(axis=1), 12)[order]))]
    return int(known["number"].iloc[front[best]])
