"""History: how a study's front grew, trial by trial, as columns for a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tuner.metrics import METRICS
from tuner.search.dominance import undominated
from tuner.search.hypervolume import hypervolume
from tuner.search.objective import box, margin, told_column
from tuner.service.placing import losses_of


def history(
    frame: pd.DataFrame, objectives: Sequence[str], origin: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Return one row for each ended trial, in the order they ended.

    Columns: `number`, `finished_at`, `minutes` since the first start, `measured` (how many were by then),
    `hypervolume` (0 to 1; NaN before the baseline), and for each objective `best_NAME` so far of a feasible trial.
    All by what the search itself saw. `origin` has the baseline's values where its trial is not in the frame.
    """
    ended = frame[frame["finished_at"].notna() & frame["state"].isin(["complete", "failed", "pruned"])]
    ended = ended.sort_values(["finished_at", "number"], kind="stable")
    out = pd.DataFrame(
        {"number": ended["number"], "finished_at": pd.to_datetime(ended["finished_at"], utc=True)}
    )
    begin = pd.to_datetime(frame["started_at"], utc=True).min()
    out["minutes"] = (out["finished_at"] - begin).dt.total_seconds() / 60
    out["measured"] = np.arange(1, len(ended) + 1)
    feasible = ended["search_feasible"].to_numpy(bool)
    for name in objectives:
        values = ended[f"search_{name}"].where(feasible)
        out[f"best_{name}"] = values.cummax() if METRICS[name][1] == "maximize" else values.cummin()
        out[f"best_{name}"] = out[f"best_{name}"].ffill()
    out["hypervolume"] = _volumes(ended, objectives, feasible, origin)
    return out.reset_index(drop=True)


def _volumes(
    ended: pd.DataFrame, objectives: Sequence[str], feasible: Any, origin: Mapping[str, float] | None
) -> list[float]:
    """Return the normalised hypervolume after each trial; only one that enters the front makes it be computed anew."""
    losses = losses_of(ended, objectives, "search_")
    base = np.flatnonzero(ended["is_baseline"].to_numpy(bool))
    if not len(base) and not origin:
        return [float("nan")] * len(ended)
    first = int(base[0]) if len(base) else 0
    scaled = _scaled(losses, objectives, losses[first] if len(base) else _losses(origin or {}, objectives))
    front, volume, volumes = np.empty((0, len(objectives))), 0.0, []
    for i, row in enumerate(scaled):
        if feasible[i] and np.isfinite(row).all() and not (front <= row).all(axis=1).any():
            front = np.vstack([front, row])
            front = front[undominated(front)]
            volume = hypervolume([tuple(p) for p in front.tolist()], [1.0] * len(objectives))
        volumes.append(volume if i >= first or volume else float("nan"))
    return volumes


def _losses(values: Mapping[str, float], objectives: Sequence[str]) -> np.ndarray:
    ways = [-1.0 if METRICS[name][1] == "maximize" else 1.0 for name in objectives]
    return np.array([way * values.get(name, np.nan) for way, name in zip(ways, objectives, strict=True)])


def _scaled(losses: np.ndarray, objectives: Sequence[str], base: np.ndarray) -> np.ndarray:
    """Return losses in the box of `front.normalised_hypervolume`: 0 is the best that counts, 1 the reference.

    `base` are the baseline's.
    """
    columns = []
    for j, name in enumerate(objectives):
        sign = -1.0 if METRICS[name][1] == "maximize" else 1.0
        column = sign * told_column(name, sign * np.append(losses[:, j], base[j]))
        column, origin = column[:-1], column[-1]
        low, high = box(name, origin, margin(name))
        columns.append(np.maximum(0.0, (column - low) / (high - low)))
    return np.column_stack(columns)
