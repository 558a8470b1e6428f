"""Comparing studies: their fronts over each other, how each grew, and where their settings differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from dashboard.text import cut, safe
from dashboard.views.front_chart import grows_down
from dashboard.views.numbers import SHOWN, metric_text
from dashboard.views.palette import Palette
from tuner.metrics import COSTS
from tuner.service.beside import ASKED, Best, best_by, currency, offered
from tuner.service.contenders import Contender
from tuner.service.placing import shown
from tuner.store.records import HostRecord


def front_rows(named: Mapping[str, pd.DataFrame], x: str, y: str) -> pd.DataFrame:
    """Return the fronts' points of some studies; a study on several hosts gives a line for each."""
    parts = []
    for name, frame in named.items():
        front = frame[frame["on_front"] & frame[x].notna() & frame[y].notna()]
        several = front["host_name"].nunique() > 1
        out = pd.DataFrame(
            {"x": front[x] * SHOWN[x].scale, "y": front[y] * SHOWN[y].scale, "trial": front["number"]}
        )
        hosts = [f" on {cut(h or 'unknown', 30)}" if several else "" for h in front["host_name"]]
        out["study"] = [cut(name, 60) + h for h in hosts]
        out["Candidate"] = [cut(label, 120) for label in front["label"]]
        for axis, metric in (("X", x), ("Y", y)):
            out[axis] = [metric_text(metric, v) for v in front[metric]]
        parts.append(out)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def fronts_chart(rows: pd.DataFrame, x: str, y: str, palette: Palette) -> alt.LayerChart:
    """Return the fronts as lines with points, one colour a study."""
    names = list(dict.fromkeys(rows["study"]))
    colours = [palette.several[i % len(palette.several)] for i in range(len(names))]
    colour = alt.Color(
        "study:N",
        scale=alt.Scale(domain=names, range=colours),
        legend=alt.Legend(title=None, orient="top", labelLimit=240),
    )
    legend = alt.Legend(title=None, orient="top", labelLimit=240)
    shape = alt.Shape("study:N", scale=alt.Scale(domain=names), legend=legend)
    log = SHOWN[x].unit not in ("%", "pt")
    axis = alt.Axis(format="~g", tickCount=8, gridOpacity=0.4)
    ex = alt.X(
        "x:Q",
        title=SHOWN[x].title + (", log scale" if log else ""),
        scale=alt.Scale(type="log", nice=False, padding=24) if log else alt.Scale(zero=False, padding=24),
        axis=axis,
    )
    ey = alt.Y(
        "y:Q",
        title=SHOWN[y].title,
        scale=alt.Scale(zero=False, padding=24, **({"reverse": True} if grows_down(y) else {})),
        axis=alt.Axis(tickCount=7),
    )
    told = [
        alt.Tooltip("study:N", title="Study"),
        alt.Tooltip("trial:Q", title="Trial"),
        alt.Tooltip("Candidate:N"),
        alt.Tooltip("X:N", title=SHOWN[x].label),
        alt.Tooltip("Y:N", title=SHOWN[y].label),
    ]
    way = "step-after" if SHOWN[x].lower_is_better else "step-before"
    base = alt.Chart(rows)
    line = base.mark_line(interpolate=way, strokeWidth=2, opacity=0.7).encode(
        x=ex, y=ey, color=colour, order="x:Q"
    )
    dots = base.mark_point(filled=True, size=110, opacity=0.95).encode(
        x=ex, y=ey, color=colour, shape=shape, tooltip=told
    )
    return alt.layer(line, dots).properties(height=420, background="transparent")


def growth_rows(grown: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return hypervolumes over trials of some studies."""
    parts = [
        pd.DataFrame({"study": cut(n, 60), "measured": g["measured"], "volume": g["hypervolume"] * 100})
        for n, g in grown.items()
    ]
    return pd.concat(parts, ignore_index=True).dropna() if parts else pd.DataFrame()


def growth_chart(rows: pd.DataFrame, palette: Palette) -> alt.Chart:
    """Return hypervolume over trials, one line a study."""
    names = list(dict.fromkeys(rows["study"]))
    colours = [palette.several[i % len(palette.several)] for i in range(len(names))]
    colour = alt.Color(
        "study:N",
        scale=alt.Scale(domain=names, range=colours),
        legend=alt.Legend(title=None, orient="top", labelLimit=240),
    )
    told = [
        alt.Tooltip("study:N", title="Study"),
        alt.Tooltip("measured:Q", title="Candidates"),
        alt.Tooltip("volume:Q", title="Hypervolume (%)", format=".1f"),
    ]
    chart = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", strokeWidth=2, point=alt.OverlayMarkDef(size=24))
        .encode(
            x=alt.X("measured:Q", title="Candidates ended", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("volume:Q", title="Hypervolume (% of the hoped-for)", scale=alt.Scale(domainMin=0)),
            color=colour,
            tooltip=told,
        )
    )
    return chart.properties(height=300, background="transparent")


def settings_table(specs: Mapping[str, Mapping[str, Any]], only_differences: bool) -> pd.DataFrame:
    """Return the settings of some studies side by side, a row for each field that one of them has."""
    flat = {name: _flat(spec) for name, spec in specs.items()}
    fields = list(dict.fromkeys(field for found in flat.values() for field in found))
    rows = []
    for field in fields:
        found = [flat[name].get(field, "–") for name in specs]
        if field in ("base", "name") or (only_differences and len(set(found)) == 1):
            continue
        rows.append([field, *found])
    return pd.DataFrame(rows, columns=["Field", *(cut(name, 60) for name in specs)])


def _flat(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and value:
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = cut(
                "–" if value is None else value if isinstance(value, str) else json.dumps(value), 200
            )
    return out


def with_host(found: Contender, hosts: Mapping[str, HostRecord]) -> dict[str, Any]:
    """Return the settings of a study, and the machine where only one measured what is compared."""
    measured = set(found.frame["host"].dropna())
    host = hosts.get(next(iter(measured))) if len(measured) == 1 else None
    if host is None:
        return dict(found.info.spec)
    facts = {
        "name": host.name,
        "processor": host.data.get("cpu"),
        "cores": len(host.data.get("cores", ())),
        "memory (GB)": round((host.data.get("memory_mb") or 0) / 1000, 1),
        "power meter": list(host.data.get("meters") or ()) or host.data.get("unmetered") or "none",
        "instructions": list(host.data.get("flags") or ()),
    }
    return {**found.info.spec, "host": facts}


#: What is spent on a request, of which the least is shown.
_SPENT = ("energy_j", *COSTS)


def summary_table(found: Mapping[str, Contender]) -> pd.DataFrame:
    """Return one row each: its baseline, its fastest and its best point, and its hypervolume."""
    return pd.DataFrame([_summary(name, each) for name, each in found.items()])


def _summary(name: str, found: Contender) -> dict[str, Any]:
    frame, metric = found.frame, found.info.metric
    front = frame[frame["on_front"]]
    fastest, rows = front.sort_values("latency_ms").head(1), frame[frame["feasible"] & shown(frame)]
    volume = found.hypervolume
    hosts = sorted(set(frame["host_name"].dropna()))
    return {
        "Study": cut(name, 60),
        "Host": cut(", ".join(hosts) or "–", 60),
        "Measured": int((frame["state"] == "complete").sum()),
        "On the front": len(front),
        "Tied": int((frame["standing"] == "tied").sum()),
        "Baseline": metric_text("latency_ms", found.baseline_ms),
        "Fastest": metric_text("latency_ms", _first(fastest, "latency_ms")),
        "Speedup": metric_text("speedup", _first(fastest, "speedup")),
        SHOWN[metric].label: metric_text(metric, _first(fastest, metric)),
        **{
            f"Least {SHOWN[name].label.lower()}": metric_text(name, _least(rows, name))
            for name in _SPENT
            if frame[name].notna().any()
        },
        "Hypervolume (%)": None if volume is None else volume * 100,
    }


def _least(rows: pd.DataFrame, name: str) -> float | None:
    return None if rows[name].isna().all() else float(rows[name].min())


def verdict_lines(found: Mapping[str, Contender]) -> list[str]:
    """Return which of them is fastest, cheapest and so on: a line for each metric that two of them have."""
    money = currency(found)
    return [_verdict(best, money) for best in best_by(offered(found), money)]


def _verdict(best: Best, money: str) -> str:
    value = metric_text(best.metric, best.estimate.value)
    value += f" {money} for a million requests" if best.metric in COSTS else ""
    said = f"**{ASKED[best.metric].capitalize()}**: {safe(best.contender)}, {value} (trial {best.trial})"
    if best.tied:
        return f"{said}; within the noise as good: {safe(', '.join(best.tied))}"
    more = "less" if SHOWN[best.metric].lower_is_better else "more"
    return said + (f", {best.times:.3g}× {more} than the next" if best.times else "")


def _first(frame: pd.DataFrame, name: str) -> float | None:
    return None if frame.empty else float(frame[name].iloc[0])
