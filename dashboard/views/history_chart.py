"""How the front grew: hypervolume and the best so far, over trials or over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.views.numbers import SHOWN
from dashboard.views.palette import Palette

OVER = {"Trials": ("measured", "Candidates ended"), "Time": ("minutes", "Minutes since the start")}


def volume_chart(grown: pd.DataFrame, over: str, palette: Palette, picked: int | None) -> alt.LayerChart:
    """Return the hypervolume in per cent of what can be hoped for."""
    data = grown.assign(value=grown["hypervolume"] * 100, picked=grown["number"] == picked)
    title = "Hypervolume (% of the hoped-for)"
    return _stairs(data, over, title, palette, palette.accent, alt.Scale(domainMin=0, nice=True)).properties(
        height=260
    )


def best_chart(
    grown: pd.DataFrame, name: str, over: str, palette: Palette, picked: int | None
) -> alt.LayerChart:
    """Return the best feasible value so far of one objective."""
    shown = SHOWN[name]
    data = grown.assign(value=grown[f"best_{name}"] * shown.scale, picked=grown["number"] == picked)
    log = shown.unit not in ("%", "pt")
    scale = alt.Scale(type="log", nice=True) if log else _around(data["value"])
    return _stairs(
        data, over, f"Best {shown.title[0].lower()}{shown.title[1:]}", palette, palette.ink, scale
    ).properties(height=260)


def _around(values: pd.Series) -> alt.Scale:
    """Return a range of at least a point, so that a flat line is not read as a mountain."""
    low, high = values.min(), values.max()
    if pd.isna(low):
        return alt.Scale(zero=False)
    spare = max((high - low) * 0.1, 0.5)
    return alt.Scale(
        domain=[math.floor((low - spare) * 2) / 2, math.ceil((high + spare) * 2) / 2], nice=False
    )


def _stairs(
    data: pd.DataFrame, over: str, title: str, palette: Palette, colour: str, scale: alt.Scale
) -> alt.LayerChart:
    column, label = OVER[over]
    base = alt.Chart(data[["number", "measured", "minutes", "value", "picked"]].dropna(subset=["value"]))
    x = alt.X(f"{column}:Q", title=label, axis=alt.Axis(tickMinStep=1 if over == "Trials" else 0.1))
    y = alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, format="~r"))
    told = [
        alt.Tooltip("number:Q", title="Trial"),
        alt.Tooltip("minutes:Q", title="Minutes", format=".1f"),
        alt.Tooltip("value:Q", title=title, format=".3~r"),
    ]
    line = base.mark_line(interpolate="step-after", color=colour, strokeWidth=2).encode(x=x, y=y)
    dots = base.mark_point(color=colour, filled=True, size=28, opacity=0.9).encode(x=x, y=y, tooltip=told)
    ring = base.transform_filter("datum.picked").mark_point(
        size=260, stroke=palette.accent, strokeWidth=2.4, filled=False
    )
    return alt.layer(line, dots, ring.encode(x=x, y=y)).properties(background="transparent")


def growth_alt(grown: pd.DataFrame, objectives: Sequence[str]) -> str:
    """Return the growth in one sentence."""
    known = grown["hypervolume"].dropna()
    if known.empty:
        return "Hypervolume over trials; nothing to show before the baseline was measured."
    changes = grown.loc[known.diff().fillna(known) > 0, "measured"]
    last = int(changes.iloc[-1]) if len(changes) else 0
    return f"Hypervolume reached {known.iloc[-1]:.1%} after {len(grown)} candidates; it last grew with the {last}th."
