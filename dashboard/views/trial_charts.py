"""One trial's measurements as charts: how latency is spread, how the reference drifted, what is mistaken."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import metric_text
from dashboard.views.palette import Palette

_BINS, _DRIFT = 60, 400


def percentiles(samples: Sequence[float]) -> dict[str, float]:
    """Return the percentiles that a person asks for, in ms."""
    values = np.asarray(samples, float)
    return {f"{q}th" if q != 50 else "Median": float(np.percentile(values, q)) for q in (50, 90, 95, 99)}


def spread_chart(own: Sequence[float], reference: Sequence[float], palette: Palette) -> alt.LayerChart:
    """Return both distributions over a logarithmic axis, each as shares of its own calls, with medians."""
    names = ("This trial", "Reference beside it")
    parts = [(n, np.asarray(v, float)) for n, v in zip(names, (own, reference), strict=True) if len(v)]
    low = min(np.percentile(v, 0.2) for _, v in parts)
    high = max(np.percentile(v, 99.5) for _, v in parts)
    edges = np.geomspace(low, max(high, low * 1.05), _BINS)
    rows = []
    for name, values in parts:
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        rows += [
            (name, a, b, 100 * c / len(values))
            for a, b, c in zip(edges, edges[1:], counts, strict=False)
            if c
        ]
    data = pd.DataFrame(rows, columns=["what", "from", "to", "share"])
    data["zero"] = 0
    marks = pd.DataFrame({"what": [n for n, _ in parts], "median": [float(np.median(v)) for _, v in parts]})
    marks["label"] = [f"median {metric_text('latency_ms', m)}" for m in marks["median"]]
    tails = pd.DataFrame(
        [
            (names[0], value, f"{name} percentile {metric_text('latency_ms', value)}", name)
            for name, value in percentiles(own).items()
            if name != "Median"
        ],
        columns=["what", "at", "label", "name"],
    )
    scale = alt.Scale(type="log", nice=False, domain=[edges[0] * 0.9, edges[-1] * 1.1])
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=list(names), range=[palette.accent, palette.grey]),
        legend=alt.Legend(title=None, orient="top"),
    )
    told = [
        alt.Tooltip("what:N", title="Of"),
        alt.Tooltip("from:Q", title="From (ms)", format=".3g"),
        alt.Tooltip("to:Q", title="To (ms)", format=".3g"),
        alt.Tooltip("share:Q", title="Share of calls (%)", format=".1f"),
    ]
    axis = alt.Axis(format="~g", tickCount=8, gridOpacity=0.4)
    x = alt.X("from:Q", title="Latency of one call (ms), log scale", scale=scale, axis=axis)
    bars = (
        alt.Chart(data)
        .mark_bar(opacity=0.75)
        .encode(
            x=x,
            x2="to:Q",
            y=alt.Y("share:Q", title="Share of calls (%)", stack=None),
            y2="zero:Q",
            color=colour,
            tooltip=told,
        )
    )
    lines = (
        alt.Chart(marks)
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("median:Q", scale=scale, title="Latency of one call (ms), log scale", axis=axis),
            color=colour,
            tooltip=[alt.Tooltip("label:N", title="Median")],
        )
    )
    tail = alt.Chart(tails).encode(
        x=alt.X("at:Q", scale=scale, axis=axis),
        color=colour,
        tooltip=[alt.Tooltip("label:N", title="Of this trial")],
    )
    rules = tail.mark_rule(strokeWidth=1.2, strokeDash=[4, 3])
    texts = tail.mark_text(align="left", dx=3, baseline="top", fontSize=11).encode(
        y=alt.value(0), text="name:N"
    )
    return alt.layer(bars, lines, rules, texts).properties(height=280, background="transparent")


def drift_chart(own: Sequence[float], reference: Sequence[float], palette: Palette) -> alt.Chart:
    """Return both in the order they were taken, each against its own median: what drifts together is the machine."""
    rows = []
    for name, values in (("This trial", own), ("Reference beside it", reference)):
        taken = np.asarray(values, float)
        if not len(taken):
            continue
        blocks = np.array_split(taken, min(_DRIFT // 4, len(taken)))
        centre = float(np.median(taken))
        rows += [
            (name, 100 * (i + 0.5) / len(blocks), (float(np.median(b)) / centre - 1) * 100)
            for i, b in enumerate(blocks)
        ]
    data = pd.DataFrame(rows, columns=["what", "progress", "off"])
    colour = alt.Color(
        "what:N",
        scale=alt.Scale(domain=["This trial", "Reference beside it"], range=[palette.accent, palette.grey]),
        legend=alt.Legend(title=None, orient="top"),
    )
    chart = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.8, interpolate="monotone")
        .encode(
            x=alt.X("progress:Q", title="Progress of the measurement (%)", scale=alt.Scale(domain=[0, 100])),
            y=alt.Y("off:Q", title="Off its own median (%)", axis=alt.Axis(tickCount=6)),
            color=colour,
            tooltip=[
                alt.Tooltip("what:N", title="Of"),
                alt.Tooltip("off:Q", title="Off its median (%)", format="+.1f"),
            ],
        )
    )
    return chart.properties(height=280, background="transparent")


def confusion_chart(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], palette: Palette
) -> alt.LayerChart:
    """Return truth by answers; a cell's shade is its share of the row."""
    names = [cut(label, 24) for label in labels]
    rows = [
        (names[i], names[j], int(count), count / max(sum(row), 1) * 100, i == j)
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
    ]
    data = pd.DataFrame(rows, columns=["truth", "answer", "count", "share", "right"])
    x = alt.X(
        "answer:N",
        sort=names,
        title="Answered",
        axis=alt.Axis(labelAngle=0, labelLimit=110, ticks=False, domain=False),
    )
    y = alt.Y("truth:N", sort=names, title="Truth", axis=alt.Axis(labelLimit=130, ticks=False, domain=False))
    told = [
        alt.Tooltip("truth:N", title="Truth"),
        alt.Tooltip("answer:N", title="Answered"),
        alt.Tooltip("count:Q", title="Documents"),
        alt.Tooltip("share:Q", title="Share of the class (%)", format=".1f"),
    ]
    colours = ["#182230", "#2F7FBF"] if palette.dark else ["#F2F6FA", "#0B63B0"]
    cells = (
        alt.Chart(data)
        .mark_rect(cornerRadius=3, stroke=palette.ground, strokeWidth=2)
        .encode(
            x=x,
            y=y,
            tooltip=told,
            color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 100], range=colours), legend=None),
        )
    )
    few = "#E8EAED" if palette.dark else "#1F2933"
    texts = (
        alt.Chart(data)
        .mark_text(fontSize=13)
        .encode(
            x=x,
            y=y,
            text="count:Q",
            color=alt.condition("datum.share > 55", alt.value("#FFFFFF"), alt.value(few)),
        )
    )
    return alt.layer(cells, texts).properties(height=110 + 42 * len(names), background="transparent")


def stages_of(stages: Sequence[tuple[str, bool, float]]) -> pd.DataFrame:
    """Return a trial's stages as a table."""
    return pd.DataFrame(
        {
            "Stage": [n for n, _, _ in stages],
            "From the cache": [h for _, h, _ in stages],
            "Took (s)": [s for _, _, s in stages],
        }
    )


def changes_table(changes: Sequence[tuple[str, object, object]]) -> pd.DataFrame:
    """Return what differs from the baseline as text."""
    from dashboard.views.importance_chart import FIELDS

    def said(name: str, value: object) -> str:
        if value is None or value == "none":
            return "none"
        if isinstance(value, bool):
            return "yes" if value else "no"
        return (
            f"{value:.0%}" if name in ("heads", "ffn") and isinstance(value, float | int) else cut(value, 60)
        )

    return pd.DataFrame(
        {
            "Field": [FIELDS.get(n, n) for n, _, _ in changes],
            "Baseline": [said(n, b) for n, b, _ in changes],
            "This trial": [said(n, o) for n, _, o in changes],
        }
    )
