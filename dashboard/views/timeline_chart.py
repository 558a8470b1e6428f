"""Where the time went: trials as bars on a clock, by worker, and what the stages took together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

import altair as alt
import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import span_text
from dashboard.views.palette import Palette

MOST = 300
_STATES = ("complete", "running", "failed", "pruned", "cancelled")


def timeline_data(frame: pd.DataFrame, now: datetime, zone: tzinfo, last: int = MOST) -> pd.DataFrame:
    """Return the last trials that were started, the running ones up to now, in the viewer's zone."""
    begun = (
        frame[frame["started_at"].notna() & frame["state"].isin(_STATES)].sort_values("started_at").tail(last)
    )
    start = pd.to_datetime(begun["started_at"], utc=True)
    end = pd.to_datetime(begun["finished_at"], utc=True).fillna(pd.Timestamp(now))
    return pd.DataFrame(
        {
            "trial": begun["number"].astype(int),
            "id": begun["id"],
            # Vega draws in the browser's zone; wall time of the viewer's zone without one is the same everywhere.
            "start": start.dt.tz_convert(zone).dt.tz_localize(None),
            "end": end.dt.tz_convert(zone).dt.tz_localize(None),
            "took": [span_text(s) for s in (end - start).dt.total_seconds()],
            "state": begun["state"],
            "worker": [
                cut(w or h or "unknown", 40) for w, h in zip(begun["worker"], begun["host_name"], strict=True)
            ],
            "label": [cut(label, 120) for label in begun["label"]],
        }
    ).reset_index(drop=True)


def timeline_chart(
    data: pd.DataFrame, palette: Palette, picked: int | None, selection: str
) -> alt.LayerChart:
    """Return bars on a clock, one lane a worker."""
    data = data.assign(picked=data["trial"] == picked)
    colours = [palette.accent, palette.several[2], palette.bad, palette.several[1], palette.grey]
    y = alt.Y("worker:N", title=None, axis=alt.Axis(labelLimit=180))
    x = alt.X(
        "start:T", title="Time of day", axis=alt.Axis(format="%H:%M:%S", tickCount=8, labelOverlap=True)
    )
    told = [
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("label:N", title="Candidate"),
        alt.Tooltip("state:N", title="State"),
        alt.Tooltip("took:N", title="Took"),
        alt.Tooltip("start:T", title="Start", format="%H:%M:%S"),
        alt.Tooltip("worker:N", title="Worker"),
    ]
    pick = alt.selection_point(selection, fields=["trial"], on="click", clear=False, toggle=False)
    colour = alt.Color(
        "state:N",
        scale=alt.Scale(domain=list(_STATES), range=colours),
        legend=alt.Legend(title="Trial", orient="top"),
    )
    base = alt.Chart(data)
    bars = base.mark_bar(
        height={"band": 0.55}, cornerRadius=2, cursor="pointer", stroke=palette.ground, strokeWidth=0.6
    )
    bars = bars.encode(x=x, x2="end:T", y=y, color=colour, tooltip=told).add_params(pick)
    ring = base.transform_filter("datum.picked").mark_bar(
        height={"band": 0.75}, filled=False, stroke=palette.ink, strokeWidth=2
    )
    lanes = max(data["worker"].nunique(), 1)
    return alt.layer(bars, ring.encode(x=x, x2="end:T", y=y)).properties(
        height=150 + 52 * lanes, background="transparent"
    )


def stage_data(costs: Sequence[tuple[str, int, float, int, float]]) -> pd.DataFrame:
    """Return one row a stage: seconds run, runs, hits, and the seconds that hits saved at the mean cost of a run."""
    rows = []
    for name, runs, run_seconds, hits, _ in costs:
        mean = run_seconds / runs if runs else 0.0
        rows.append(
            {
                "stage": name,
                "seconds": run_seconds,
                "runs": runs,
                "hits": hits,
                "saved": mean * hits,
                "mean": mean,
            }
        )
    return pd.DataFrame(rows, columns=["stage", "seconds", "runs", "hits", "saved", "mean"])


def stage_chart(data: pd.DataFrame, palette: Palette) -> alt.Chart:
    """Return what the stages took together, and what the cache saved."""
    long = pd.concat(
        [
            data.assign(what="ran", minutes=data["seconds"] / 60),
            data.assign(what="saved by the cache", minutes=data["saved"] / 60),
        ]
    )
    long["told"] = [
        f"{r.runs} runs of {span_text(r.mean)} on average, {r.hits} found in the cache"
        for r in long.itertuples()
    ]
    colours = alt.Scale(domain=["ran", "saved by the cache"], range=[palette.accent, palette.grey])
    y = alt.Y(
        "stage:N",
        sort=list(data["stage"]),
        title=None,
        axis=alt.Axis(labelLimit=160, labelOverlap=False, ticks=False, domain=False, labelPadding=8),
    )
    told = [
        alt.Tooltip("stage:N", title="Stage"),
        alt.Tooltip("minutes:Q", title="Minutes", format=".2f"),
        alt.Tooltip("told:N", title="How often"),
    ]
    bars = (
        alt.Chart(long)
        .mark_bar(height={"band": 0.62}, cornerRadiusEnd=2)
        .encode(
            x=alt.X("minutes:Q", title="Minutes", axis=alt.Axis(tickCount=8)),
            y=y,
            tooltip=told,
            color=alt.Color("what:N", scale=colours, legend=alt.Legend(title=None, orient="top")),
        )
    )
    return bars.properties(height=110 + 30 * len(data), background="transparent")
