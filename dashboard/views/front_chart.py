"""The front as a chart: every measured point, the front's line, the baseline, intervals, and what is offered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd

from dashboard.views.front_data import TOLD
from dashboard.views.numbers import SHOWN
from dashboard.views.palette import CROSS, FORMAT_SHAPES, Palette
from dashboard.views.verdict import MEANINGS
from tuner.metrics import LOSS
from tuner.spec.wording import FORMATS

_TOLD_FIRST = (
    "trial",
    "Verdict",
    "Candidate",
    "Layers",
    "Heads removed",
    "FFN removed",
    "Number format",
    "Group size",
    "Threads × replicas",
)
PICK = "pick"
#: How a point is drawn by its verdict: how full, how strong its rim, how large; and the sign that is like it in a text.
_LOOKS = {
    "front": (0.95, 1.0, 170, "■"),
    "tied": (0.3, 1.0, 130, "▣"),
    "dominated": (0.3, 0.35, 60, "▪"),
    "unplaced": (0.3, 0.35, 60, "▪"),
    "infeasible": (0.0, 0.75, 50, "□"),
    "discarded": (0.0, 0.75, 50, "□"),
    "pruned": (0.0, 0.35, 50, "×"),
}
_HEIGHT = 460
_MOST_SVG = 500


@lru_cache(maxsize=64)
def front_spec(
    x: str,
    y: str,
    palette: Palette,
    engines: tuple[str, ...],
    formats: tuple[str, ...],
    logs: tuple[bool, bool] = (True, False),
    domain: tuple[float, float] | None = None,
    intervals: bool = True,
    told: tuple[str, ...] = TOLD,
) -> dict[str, Any]:
    """Return the chart of `front_data` as a Vega-Lite spec without any data: a live refresh changes rows only.

    Making and checking it takes longer than all else, so each is made once. `domain` limits the vertical axis (points
    beyond sit on its edge), see `zoomed`; `engines` and `formats` are those that occur. A quality that is better the
    smaller it is grows downwards: better is up.
    """
    scales = _scale(logs[0], None), _scale(logs[1], domain, grows_down(y))
    base = alt.Chart(alt.NamedData("rows"))
    colours = _engines(palette, engines)
    ex = alt.X("x:Q", title=_title(x, logs[0]), scale=scales[0], axis=_axis(logs[0], "x"))
    ey = alt.Y("y:Q", title=_title(y, logs[1]), scale=scales[1], axis=_axis(logs[1], "y"))
    layers = [_line(base, ex, ey, x, palette), *_baseline(base, ex, ey, palette)]
    if intervals:
        low_x = alt.X("x_low:Q", title=_title(x, logs[0]), scale=scales[0], axis=_axis(logs[0], "x"))
        low_y = alt.Y("y_low:Q", title=_title(y, logs[1]), scale=scales[1], axis=_axis(logs[1], "y"))
        layers += _intervals(base, (ex, low_x), (ey, low_y), _colour(colours))
    layers += [_points(base, ex, ey, palette, colours, formats, told), *_marks(base, ex, ey, palette)]
    spec: dict[str, Any] = alt.layer(*layers).properties(height=_HEIGHT, background="transparent").to_dict()
    del spec["data"]
    return spec


def drawn_for(spec: dict[str, Any], points: int) -> dict[str, Any]:
    """Return the spec for so many points: beyond some hundreds a canvas is drawn sooner than an SVG."""
    return spec if points <= _MOST_SVG else {**spec, "usermeta": {"embedOptions": {"renderer": "canvas"}}}


def occurring(data: pd.DataFrame) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the engines and number formats that occur, in a fixed order."""
    formats = set(data["format"])
    return tuple(sorted(set(data["engine"]))), tuple(name for name in FORMATS if name in formats)


def role_legend(data: pd.DataFrame) -> str:
    """Return what the looks of these points mean, a sign like each beside its words."""
    found = set(data["role"])
    return " · ".join(f"{look[3]} {MEANINGS[role]}" for role, look in _LOOKS.items() if role in found)


def zoomed(data: pd.DataFrame, y: str) -> tuple[float, float] | None:
    """Return a vertical range around the front and the baseline, in steps, so that it seldom changes."""
    wanted, tied = data[(data["role"] == "front") | data["baseline"]], data[data["role"] == "tied"]
    if wanted.empty or SHOWN[y].unit not in ("%", "pt") or len(data) < 4:
        return None
    low, high = pd.concat([wanted["y_low"], tied["y"]]).min(), pd.concat([wanted["y_high"], tied["y"]]).max()
    spare = max(high - low, 1.0) * 0.18
    step = 0.5 if high - low < 10 else 2.0
    bottom = max(math.floor((low - spare) / step) * step, data["y_low"].min() - step)
    top = math.ceil((high + spare) / step) * step
    is_share = SHOWN[y].unit == "%" and not SHOWN[y].lower_is_better
    return math.floor(bottom / step) * step, min(top, 100.5) if is_share else top


def grows_down(metric: str) -> bool:
    """Say whether less of a quality is drawn above more of it, so that better is up."""
    return metric in ("perplexity", LOSS["perplexity"])


def _scale(log: bool, domain: tuple[float, float] | None, down: bool = False) -> alt.Scale:
    way = {"reverse": True} if down else {}
    if domain is not None and not log:
        return alt.Scale(domain=list(domain), clamp=True, nice=False, zero=False, **way)
    return (
        alt.Scale(type="log", nice=False, padding=24, **way)
        if log
        else alt.Scale(zero=False, padding=24, nice=False, **way)
    )


def _axis(log: bool, scale: str) -> alt.Axis:
    """Label a logarithmic axis at 1, 2 and 5 only, for all else overlaps; a narrow one may hold none of these."""
    if not log:
        return alt.Axis(tickCount=7, gridOpacity=0.5)
    leading = "round(datum.value / pow(10, floor(log(datum.value) / LN10 + 1e-9)) * 100) / 100"
    wanted = f"domain('{scale}')[1] < 4 * domain('{scale}')[0] || indexof([1, 2, 5], {leading}) >= 0"
    labelled = f"{wanted} ? format(datum.value, '~r') : ''"
    return alt.Axis(
        labelExpr=labelled, gridOpacity=0.35, tickCount=24, labelOverlap="greedy", labelSeparation=6
    )


def _title(name: str, log: bool) -> str:
    return SHOWN[name].title + (", log scale" if log else "")


def _line(base: alt.Chart, ex: alt.X, ey: alt.Y, x: str, palette: Palette) -> alt.Chart:
    way = "step-after" if SHOWN[x].lower_is_better else "step-before"
    line = base.transform_filter("datum.step").mark_line(
        interpolate=way, color=palette.ink, strokeWidth=1.6, opacity=0.65, clip=True
    )
    return line.encode(x=ex, y=ey, detail="line:N", order=alt.Order("x:Q"))


def _baseline(base: alt.Chart, ex: alt.X, ey: alt.Y, palette: Palette) -> list[alt.Chart]:
    only = base.transform_filter("datum.baseline")
    dashed = {"strokeDash": [2, 4], "color": palette.grey, "opacity": 0.9, "clip": True}
    return [only.mark_rule(**dashed).encode(x=ex), only.mark_rule(**dashed).encode(y=ey)]


def _intervals(
    base: alt.Chart, x: tuple[alt.X, alt.X], y: tuple[alt.Y, alt.Y], colour: alt.Color
) -> list[alt.Chart]:
    strong = base.transform_filter("datum.spread")
    style = {"strokeWidth": 1.3, "clip": True}
    shade = alt.condition("datum.role === 'tied'", alt.value(0.3), alt.value(0.6))
    across = strong.mark_rule(**style).encode(x=x[1], x2="x_high:Q", y=y[0], color=colour, opacity=shade)
    up = strong.mark_rule(**style).encode(x=x[0], y=y[1], y2="y_high:Q", color=colour, opacity=shade)
    return [across, up]


def _colour(colours: alt.Scale) -> alt.Color:
    return alt.Color("engine:N", scale=colours, legend=_engine_legend())


def _engine_legend() -> alt.Legend:
    return alt.Legend(title="Engine", orient="top", symbolType="circle", symbolOpacity=1)


def _engines(palette: Palette, engines: Sequence[str]) -> alt.Scale:
    names, colours = palette.engines(engines)
    return alt.Scale(domain=names, range=colours)


def _points(
    base: alt.Chart,
    ex: alt.X,
    ey: alt.Y,
    palette: Palette,
    colours: alt.Scale,
    formats: Sequence[str],
    metrics: Sequence[str],
) -> alt.Chart:
    shapes = alt.Scale(domain=list(formats), range=[FORMAT_SHAPES[name] for name in formats])
    legend = alt.Legend(
        title="Number format", orient="top", symbolFillColor=palette.grey, symbolStrokeColor=palette.grey
    )
    told = [
        alt.Tooltip("trial:Q", title="Trial"),
        *(alt.Tooltip(f"{n}:N") for n in _TOLD_FIRST[1:]),
        alt.Tooltip("engine:N", title="Engine"),
        alt.Tooltip("Fixed shape:N"),
        alt.Tooltip("Host:N"),
    ]
    told += [alt.Tooltip(f"{SHOWN[name].label}:N") for name in metrics]
    pick = alt.selection_point(PICK, fields=["trial"], on="click", clear=False, toggle=False)
    return (
        base.mark_point(strokeWidth=1.4, clip=False, cursor="pointer")
        .encode(
            x=ex,
            y=ey,
            color=_colour(colours),
            fill=alt.Fill("engine:N", scale=colours, legend=_engine_legend()),
            shape=alt.Shape("format:N", scale=shapes, legend=legend),
            fillOpacity=alt.FillOpacity("role:O", sort=list(_LOOKS), scale=_looks(0), legend=None),
            strokeOpacity=alt.StrokeOpacity("role:O", sort=list(_LOOKS), scale=_looks(1), legend=None),
            size=alt.Size("role:O", sort=list(_LOOKS), scale=_looks(2), legend=None),
            tooltip=told,
        )
        .add_params(pick)
    )


def _looks(part: int) -> alt.Scale:
    return alt.Scale(type="ordinal", domain=list(_LOOKS), range=[look[part] for look in _LOOKS.values()])


def _marks(base: alt.Chart, ex: alt.X, ey: alt.Y, palette: Palette) -> list[alt.Chart]:
    """Draw the ring of the picked point, the baseline's circle, crosses on the pruned, and the offers' names."""
    ring = base.transform_filter("datum.picked").mark_point(
        shape="circle", size=520, filled=False, stroke=palette.accent, strokeWidth=2.6, opacity=1
    )
    circle = base.transform_filter("datum.baseline").mark_point(
        shape="circle", size=380, filled=False, stroke=palette.ink, strokeWidth=1.2, opacity=0.9
    )
    text = {"fontSize": 12, "fontWeight": 600, "color": palette.ink}
    named = base.transform_filter("datum.offer !== ''").mark_text(dy=-19, **text).encode(text="offer:N")
    below = (
        base.transform_filter("datum.baseline").mark_text(dy=23, **text).encode(text=alt.value("baseline"))
    )
    crossed = base.transform_filter("datum.role === 'pruned'").mark_point(
        shape=CROSS, size=60, strokeWidth=1.6, stroke=palette.bad, opacity=0.85
    )
    return [layer.encode(x=ex, y=ey) for layer in (crossed, ring, circle, named, below)]


def front_alt(data: pd.DataFrame, x: str, y: str) -> str:
    """Return the chart in one sentence, for who does not see it."""
    front = data[data["role"] == "front"]
    if front.empty:
        return (
            f"{SHOWN[y].label} against {SHOWN[x].label.lower()} of {len(data)} trials; none is feasible yet."
        )
    lead = front.sort_values("x").iloc[0]
    span = f"from {front['x'].min():.3g} to {front['x'].max():.3g} {SHOWN[x].unit}"
    tied = int((data["role"] == "tied").sum())
    more = f", {tied} more are tied with it" if tied else ""
    return (
        f"{SHOWN[y].label} against {SHOWN[x].label.lower()} of {len(data)} trials; the front has {len(front)} points "
        f"{span}{more}; the first is trial {lead['trial']} with {lead['y']:.4g} {SHOWN[y].unit}."
    )
