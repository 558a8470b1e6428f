"""Trials without a measurement: a strip of crosses below the front, by trial number, with the reason in the hover.

They failed or were given up before their latency or quality was known, so they have no place among the points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import plural
from dashboard.views.palette import CROSS, Palette

LANES = ("failed", "pruned")
#: Beyond so many crosses the strip is a black bar: the last ones are drawn.
MOST = 2000


def ended_data(frame: pd.DataFrame, x: str, y: str, picked: int | None) -> pd.DataFrame:
    """Return failed and pruned trials that the chart of these two metrics has no place for."""
    ended = frame[frame["state"].isin(LANES)]
    placed = (ended["state"] == "pruned") & ended[x].notna() & ended[y].notna()
    ended = ended[~placed].sort_values("number").tail(MOST)
    return pd.DataFrame(
        {
            "trial": ended["number"].astype(int),
            "state": ended["state"],
            "engine": [cut(name, 40) for name in ended["engine"]],
            "Candidate": [cut(label, 120) for label in ended["label"]],
            "Kind": [cut(kind or "unknown", 40) for kind in ended["kind"]],
            "Reason": [cut(reason or "none given", 240) for reason in ended["reason"].fillna("")],
            "picked": ended["number"] == picked,
        }
    ).reset_index(drop=True)


@lru_cache(maxsize=32)
def ended_spec(
    palette: Palette, engines: tuple[str, ...], lanes: tuple[str, ...], pick: str
) -> dict[str, Any]:
    """Return the strip as a Vega-Lite spec without data; a click on a cross picks its trial."""
    base = alt.Chart(alt.NamedData("rows"))
    x = alt.X(
        "trial:Q",
        title="Trial number",
        axis=alt.Axis(tickMinStep=1, tickCount=8, format="d"),
        scale=alt.Scale(zero=False, nice=False, padding=24),
    )
    y = alt.Y(
        "state:N",
        title=None,
        axis=alt.Axis(ticks=False, domain=False, grid=True, gridOpacity=0.4),
        scale=alt.Scale(domain=list(lanes)),
    )
    names, colours = palette.engines(engines)
    colour = alt.Color("engine:N", scale=alt.Scale(domain=names, range=colours), legend=None)
    told = [
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("state:N", title="State"),
        alt.Tooltip("Kind:N"),
        alt.Tooltip("Reason:N"),
        alt.Tooltip("Candidate:N"),
        alt.Tooltip("engine:N", title="Engine"),
    ]
    chosen = alt.selection_point(pick, fields=["trial"], on="click", clear=False, toggle=False)
    crosses = base.mark_point(shape=CROSS, size=90, strokeWidth=2, cursor="pointer", opacity=0.9)
    ring = base.transform_filter("datum.picked").mark_point(
        shape="circle", size=420, filled=False, stroke=palette.accent, strokeWidth=2.6, opacity=1
    )
    layers = [
        crosses.encode(x=x, y=y, color=colour, tooltip=told).add_params(chosen),
        ring.encode(x=x, y=y),
    ]
    shape = {"height": 80 + 40 * len(lanes), "background": "transparent"}
    spec: dict[str, Any] = alt.layer(*layers).properties(**shape).to_dict()
    del spec["data"]
    return spec


def lanes_of(data: pd.DataFrame) -> tuple[str, ...]:
    """Return the states that occur, in a fixed order."""
    return tuple(name for name in LANES if name in set(data["state"]))


def ended_alt(data: pd.DataFrame) -> str:
    """Return the strip in one sentence."""
    counts: Sequence[str] = [f"{(data['state'] == name).sum()} {name}" for name in lanes_of(data)]
    most = data["Kind"].value_counts()
    return f"{plural(len(data), 'trial')} without a point: {', '.join(counts)}; most often of kind {most.index[0]}."
