"""Parallel coordinates: every candidate as a line through its fields and its numbers, coloured by front rank."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.views.importance_chart import SHORT
from dashboard.views.numbers import SHOWN, significant
from dashboard.views.palette import Palette

MOST = 300  # lines beyond which nobody sees one
_RANKS = ("on the front", "rank 2", "rank 3 and 4", "rank 5 and worse", "infeasible")


def chosen_rows(
    frame: pd.DataFrame, share: float, picked: int | None, infeasible: bool = True
) -> pd.DataFrame:
    """Return the best `share` (0 to 1) of measured trials by front rank, at most `MOST`, and the picked one."""
    measured = frame[(frame["state"] == "complete") & ~frame["discarded"]]
    known = measured if infeasible or not measured["feasible"].any() else measured[measured["feasible"]]
    order = known.sort_values(["rank", "latency_ms"], na_position="last")
    kept = order.head(min(MOST, max(1, round(len(order) * share))))
    also = measured[(measured["number"] == picked) & ~measured["number"].isin(kept["number"])]
    return pd.concat([kept, also]).iloc[::-1]  # the best are drawn last, on top


def parallel_data(rows: pd.DataFrame, metrics: Sequence[str], log: bool, picked: int | None) -> pd.DataFrame:
    """Return one row for each trial and axis: its height on the axis from 0 to 1, and what stands there."""
    parts = [_axis(rows, name, SHORT[name], rows[name], False) for name in SHORT if _varies(rows[name])]
    for name in metrics:
        if rows[name].notna().any():
            parts.append(
                _axis(
                    rows,
                    name,
                    SHOWN[name].title,
                    rows[name] * SHOWN[name].scale,
                    log and (rows[name] > 0).all(),
                )
            )
    if not parts:
        return pd.DataFrame()
    data = pd.concat(parts, ignore_index=True)
    data["picked"] = data["trial"] == picked
    return data


def _varies(values: pd.Series) -> bool:
    return values.nunique(dropna=False) > 1


def _axis(rows: pd.DataFrame, name: str, title: str, values: pd.Series, log: bool) -> pd.DataFrame:
    texts = [_said(name, v) for v in values]
    if name in SHOWN:
        numbers = np.log(values.astype(float)) if log else values.astype(float)
        span = numbers.max() - numbers.min()
        height = (numbers - numbers.min()) / span if span else numbers * 0 + 0.5
    else:  # fields are few values in even steps: `none` below all others
        order = sorted(set(values.map(_key)), key=lambda k: (k[0], k[1]))
        place = {key: i / max(len(order) - 1, 1) for i, key in enumerate(order)}
        height = values.map(lambda v: place[_key(v)])
    return pd.DataFrame(
        {
            "trial": rows["number"].astype(int),
            "axis": title,
            "height": height.to_numpy(float),
            "value": texts,
            "rank": [_rank(r) for r in rows["rank"]],
            "label": rows["label"],
        }
    )


def _key(value: object) -> tuple[int, float, str]:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return (0, 0.0, "")
    if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def _said(name: str, value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "none"
    if name in ("heads", "ffn"):
        return f"{float(value):.0%}"  # type: ignore[arg-type]
    if name == "fixed_shape":
        return "yes" if value else "no"
    if name in SHOWN:
        return significant(float(value))  # type: ignore[arg-type]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rank(rank: float) -> str:
    if np.isnan(rank):
        return _RANKS[4]
    return _RANKS[0] if rank <= 1 else _RANKS[1] if rank <= 2 else _RANKS[2] if rank <= 4 else _RANKS[3]


def parallel_chart(data: pd.DataFrame, palette: Palette, selection: str) -> alt.LayerChart:
    """Return the chart; a click on a line picks its trial."""
    axes = list(dict.fromkeys(data["axis"]))
    parts = "split(datum.label, ' (')"
    two_lines = f"{parts}[1] ? [{parts}[0], '(' + {parts}[1]] : datum.label"
    labels = alt.Axis(
        labelAngle=0,
        labelLimit=120,
        labelPadding=14,
        labelExpr=two_lines,
        labelOverlap=False,
        labelFontSize=11.5,
        ticks=False,
        domain=False,
        grid=True,
        gridOpacity=0.9,
    )
    x = alt.X("axis:N", sort=axes, title=None, axis=labels, scale=alt.Scale(padding=0.35))
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.02, 1.02]))
    colours = [palette.accent, palette.several[2], palette.several[1], palette.grey, palette.grey]
    scale = alt.Scale(domain=list(_RANKS), range=colours)
    colour = alt.Color(
        "rank:N", scale=scale, legend=alt.Legend(title="Front rank", orient="top", symbolOpacity=1)
    )
    strengths = alt.Scale(type="ordinal", domain=list(_RANKS), range=[0.95, 0.55, 0.4, 0.3, 0.15])
    strength = alt.StrokeOpacity("rank:O", sort=list(_RANKS), scale=strengths, legend=None)
    pick = alt.selection_point(selection, fields=["trial"], on="click", clear=False, toggle=False)
    base = alt.Chart(data)
    told = [
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("label:N", title="Candidate"),
        alt.Tooltip("axis:N", title="Axis"),
        alt.Tooltip("value:N", title="Value"),
    ]
    lines = base.mark_line(strokeWidth=1.6).encode(
        x=x, y=y, detail="trial:N", color=colour, strokeOpacity=strength
    )
    dots = (
        base.mark_point(filled=True, size=46, cursor="pointer", opacity=0.75)
        .encode(x=x, y=y, color=colour, tooltip=told)
        .add_params(pick)
    )
    ring = (
        base.transform_filter("datum.picked")
        .mark_line(strokeWidth=3.4, color=palette.ink)
        .encode(x=x, y=y, detail="trial:N")
    )
    texts = _ticks(data, x, y, palette)
    return alt.layer(lines, ring, dots, texts).properties(height=400, background="transparent")


def _ticks(data: pd.DataFrame, x: alt.X, y: alt.Y, palette: Palette) -> alt.LayerChart:
    """Name the values of fields, and both ends of metrics."""
    known = data.drop_duplicates(["axis", "value"])
    metric = known["axis"].isin([shown.title for shown in SHOWN.values()])
    ends = known["height"].isin([0.0, 1.0])
    few = known[~metric | ends].drop_duplicates(["axis", "height"])
    base = alt.Chart(few).encode(x=x, y=y, text="value:N")
    place = {"align": "left", "dx": 9, "dy": -1, "fontSize": 11}
    # Lines run through the words: each has a rim in the colour of the ground.
    rim = base.mark_text(
        color=palette.ground, stroke=palette.ground, strokeWidth=4, strokeJoin="round", **place
    )
    return alt.layer(rim, base.mark_text(color=palette.ink, **place))
