"""Placing: rank and standing of trials over columns: the places that `points` gives, for thousands of rows.

Once the front was confirmed, only confirmed trials are on it: what was measured in another run on other documents is
not held against them. All others are held against what the search measured of all, as `confirm.finalists` does, so
that `tied` is said of those that another confirmation would measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from tuner.metrics import LOSS
from tuner.search.dominance import Losses
from tuner.search.objective import directions
from tuner.search.standing import WORDS, Spread
from tuner.service.ranks import front_ranks

_STUDENT = ["student_layers", "heads", "ffn", "semi_structured"]


def place(frame: pd.DataFrame, objectives: Sequence[str], apart: bool) -> None:
    """Set `rank`, `standing` and `on_front`; with `apart` one front a host.

    `rank` is 1 for the front that is shown, then by what is behind it; `standing` front, tied or dominated. Both are
    missing for what has no place: infeasible, or without a value for an objective.
    """
    ranks, words = np.full(len(frame), np.nan), np.full(len(frame), None, dtype=object)
    for shown, rest, searched in _parts(frame, objectives, apart):
        ranks[shown] = front_ranks(losses_of(frame.iloc[shown], objectives))
        ranks[rest] = front_ranks(losses_of(frame.iloc[rest], objectives)) + 1
        if len(shown):
            words[shown] = _spread(frame.iloc[shown], objectives).words()
        if len(rest):
            found = _spread(frame.iloc[searched], objectives, "search_").words()[np.isin(searched, rest)]
            words[rest] = np.where(found == "front", "tied", found)
    frame["rank"], frame["standing"] = ranks, words
    frame["on_front"] = words == "front"


def rivals(frame: pd.DataFrame, objectives: Sequence[str], apart: bool, number: int) -> list[int]:
    """Return the trials, fastest first, that may beat this one in everything; none for a dominated one."""
    at = int(np.flatnonzero(frame["number"] == number)[0])
    contends = frame["standing"].isin(WORDS[:2]).to_numpy()
    for shown, rest, searched in _parts(frame, objectives, apart):
        if not contends[at] or at not in (*shown, *rest):
            continue
        rows, prefix = (shown[contends[shown]], "") if at in shown else (searched, "search_")
        may = _spread(frame.iloc[rows], objectives, prefix).rivals(int(np.flatnonzero(rows == at)[0]))
        found = frame.iloc[rows[may]]
        order = np.lexsort(losses_of(found, objectives, prefix).T)
        return [int(n) for n in found["number"].iloc[order]]
    return []


def decisive(objectives: Sequence[str]) -> list[str]:
    """Return the metrics whose intervals decide how a trial stands."""
    paired = [LOSS[name] for name in objectives if name in LOSS]
    return list(dict.fromkeys([*objectives, *paired]))


def shown(frame: pd.DataFrame) -> pd.Series:
    """Say which trials may be on the front: the confirmed ones, or before the confirmation all that were measured."""
    measured = (frame["state"] == "complete") & ~frame["discarded"]
    confirmed = measured & frame["confirmed"]
    return confirmed if confirmed.any() else measured


def losses_of(frame: pd.DataFrame, objectives: Sequence[str], prefix: str = "") -> Losses:
    """Return the objectives (n, objectives) as numbers to minimise, NaN where one was not measured."""
    signs = [-1.0 if way == "maximize" else 1.0 for way in directions(objectives)]
    return np.column_stack(
        [s * frame[prefix + n].to_numpy(float) for n, s in zip(objectives, signs, strict=True)]
    )


def _parts(
    frame: pd.DataFrame, objectives: Sequence[str], apart: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for each front, the positions of the trials that may be on it, of the others that have a place, and of all
    that had one when the search saw them.
    """
    placed, searched = (
        frame[f"{prefix}feasible"].to_numpy(bool)
        & np.isfinite(losses_of(frame, objectives, prefix)).all(axis=1)
        for prefix in ("", "search_")
    )
    hosts = frame["host"].fillna("").to_numpy() if apart else np.zeros(len(frame))
    may = shown(frame).to_numpy(bool)
    for host in pd.unique(hosts):
        here = hosts == host
        first, behind = np.flatnonzero(here & placed & may), np.flatnonzero(here & placed & ~may)
        yield first, behind, np.flatnonzero(here & searched)


def _spread(frame: pd.DataFrame, objectives: Sequence[str], prefix: str = "") -> Spread:
    students = frame.groupby(_STUDENT, sort=False, dropna=False).ngroup().to_numpy()
    return Spread.of(objectives, lambda name, end: frame[f"{prefix}{name}{end}"].to_numpy(float), students)
