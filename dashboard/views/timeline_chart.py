"""Where the time went: trials as bars on a clock, by worker, and what the stages took together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

import altair as alt
import pandas as pd

from dashboard.text import cut
from dashboard.views.numbers import plural, span_text
from dashboard.views.palette import Palette
from dashboard.views.stage_bars import OTHER, stage_names

#: How many trials may be looked at, the last ones.
LASTS = (30, 100, 300, 1000)
_STATES = ("complete", "running", "failed", "pruned", "cancelled")


def timeline_data(frame: pd.DataFrame, now: datetime, zone: tzinfo, last: int = LASTS[1]) -> pd.DataFrame:
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
    data: pd.DataFrame, stages: pd.DataFrame, palette: Palette, picked: int | None, selection: str
) -> alt.LayerChart:
    """Return trials as bars on a clock, one lane a worker; inside them their stages, and ticks for cache hits."""
    data = data.assign(picked=data["trial"] == picked)
    y = alt.Y("worker:N", title=None, axis=alt.Axis(labelLimit=180))
    axis = alt.Axis(format="%H:%M:%S", tickCount=8, labelOverlap=True)
    x = alt.X("start:T", title="Time of day", axis=axis)
    base = alt.Chart(data)
    inside = len(stages) > 0
    states = [state for state in _STATES if state in set(data["state"])]
    bars = _trial_bars(base, x, y, palette, states, selection, inside)
    ring = base.transform_filter("datum.picked").mark_bar(
        height={"band": 0.86}, filled=False, stroke=palette.ink, strokeWidth=2.2
    )
    layers = [bars, *(_stage_layers(stages, x, y, palette) if inside else [])]
    lanes = max(data["worker"].nunique(), 1)
    return alt.layer(*layers, ring.encode(x=x, x2="end:T", y=y)).properties(
        height=190 + 76 * lanes if inside else 150 + 76 * lanes, background="transparent"
    )


def _trial_bars(
    base: alt.Chart, x: alt.X, y: alt.Y, palette: Palette, states: list[str], selection: str, inside: bool
) -> alt.Chart:
    colours = dict(
        zip(
            _STATES,
            (palette.accent, palette.ink, palette.bad, *palette.several[1:2], palette.grey),
            strict=True,
        )
    )
    scale = alt.Scale(domain=states, range=[colours[state] for state in states])
    told = [
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("label:N", title="Candidate"),
        alt.Tooltip("state:N", title="State"),
        alt.Tooltip("took:N", title="Took"),
        alt.Tooltip("start:T", title="Start", format="%H:%M:%S"),
        alt.Tooltip("worker:N", title="Worker"),
    ]
    pick = alt.selection_point(selection, fields=["trial"], on="click", clear=False, toggle=False)
    legend = alt.Legend(title="Trial", orient="top")
    shown = alt.Stroke("state:N", scale=scale, legend=legend)
    fill = alt.Fill("state:N", scale=scale, legend=legend)
    bars = base.mark_bar(
        height={"band": 0.76},
        cornerRadius=2,
        cursor="pointer",
        strokeWidth=1,
        fillOpacity=0.3 if inside else 0.9,
    )
    encoded = bars.encode(x=x, x2="end:T", y=y, fill=fill, stroke=shown, tooltip=told)
    return encoded.add_params(pick)


def _stage_layers(stages: pd.DataFrame, x: alt.X, y: alt.Y, palette: Palette) -> list[alt.Chart]:
    """Draw what ran as bars in the stage's colour, and what the cache had as ticks above them."""
    names = stage_names(stages)
    colours = [palette.grey if n == OTHER else palette.stage(i) for i, n in enumerate(names)]
    colour = alt.Color(
        "stage:N",
        scale=alt.Scale(domain=names, range=colours),
        legend=alt.Legend(title="Stage", orient="bottom", columns=5),
    )
    told = [
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("stage:N", title="Stage"),
        alt.Tooltip("took:N", title="Took"),
        alt.Tooltip("label:N", title="Candidate"),
    ]
    ran = alt.Chart(stages[~stages["hit"]]).mark_bar(
        height={"band": 0.46}, stroke=palette.ground, strokeWidth=0.4
    )
    hits = alt.Chart(stages[stages["hit"]]).mark_point(
        shape="triangle-down", filled=True, size=34, opacity=1, yOffset=-26
    )
    return [
        layer.encode(x=x, y=y, color=colour, tooltip=told, **more)
        for layer, more in ((ran, {"x2": "end:T"}), (hits, {}))
    ]


def timeline_alt(data: pd.DataFrame, stages: pd.DataFrame) -> str:
    """Return the timeline in one sentence."""
    running = int((data["state"] == "running").sum())
    text = f"When the last {plural(len(data), 'trial')} ran, on {plural(data['worker'].nunique(), 'worker')}"
    text += f"; {running} of them still {'runs' if running == 1 else 'run'}" if running else ""
    return text + (f"; {int(stages['hit'].sum())} stages came from the cache." if len(stages) else ".")


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
    return bars.properties(height=150 + 30 * len(data), background="transparent")
