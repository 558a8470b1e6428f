"""The front: chart, its choices (metrics, axes, intervals), and what a click on a point does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.offers import pick
from dashboard.components.picking import picking_table
from dashboard.text import safe, table_height
from dashboard.views.ended_chart import ended_alt, ended_data, ended_spec, lanes_of
from dashboard.views.front_chart import PICK, drawn_for, front_alt, front_spec, occurring, role_legend, zoomed
from dashboard.views.front_data import front_data, told_metrics
from dashboard.views.numbers import SHOWN, plural
from dashboard.views.tables import failures_table
from tuner.service.desk import StudyInfo
from tuner.spec.wording import drawn_across, drawn_quality, generates, loaded

_CHART, _STRIP = "front_chart", "ended_chart"


def front_panel(
    info: StudyInfo, frame: pd.DataFrame, offers: Mapping[str, int | None], picked: int | None
) -> None:
    """Draw the choices and the chart."""
    x, y, logs, zoom, intervals, failed = _choices(info, frame)
    told_of = (*loaded(info.spec["scenario"]), *told_metrics(frame, generates(info.metric)))
    apart = info.spec.get("hosts") == "each"
    points, left_out = front_data(frame, x, y, offers, picked, failed, apart, told_of)
    if points.empty:
        st.caption("No point has both of these metrics yet.")
    else:
        domain = zoomed(points, y) if zoom else None
        spec = front_spec(x, y, data.palette(), *occurring(points), logs, domain, intervals, told_of)
        told = front_alt(points, x, y)
        st.vega_lite_chart(
            points,
            drawn_for(spec, len(points)),
            key=_CHART,
            on_select=lambda: _picked(_CHART),
            selection_mode=PICK,
            alt=told,
        )
        st.caption(_legend(points, left_out, domain is not None))
    if failed:
        _ended(frame, x, y, picked)


def _ended(frame: pd.DataFrame, x: str, y: str, picked: int | None) -> None:
    """Draw what has no place among the points: as crosses by trial number, and as a table with the reasons."""
    crosses = ended_data(frame, x, y, picked)
    if len(crosses):
        engines = tuple(sorted(set(crosses["engine"])))
        spec = ended_spec(data.palette(), engines, lanes_of(crosses), PICK)
        told = ended_alt(crosses)
        select = {"key": _STRIP, "on_select": lambda: _picked(_STRIP), "selection_mode": PICK}
        st.vega_lite_chart(crosses, spec, alt=told, **select)
    table = failures_table(frame)
    told = "Failed and pruned trials with their reasons"
    picking_table(table, list(table["Trial"]), "failures", picked, told, table_height(len(table), 8))


def _choices(info: StudyInfo, frame: pd.DataFrame) -> tuple[str, str, tuple[bool, bool], bool, bool, bool]:
    known = [name for name in SHOWN if frame[name].notna().any()]
    speed = drawn_across(info.objectives, info.spec["scenario"])
    across = [n for n in (speed, "latency_ms", *known) if n in known or n == speed]
    quality = drawn_quality(info.metric)
    up = [n for n in (quality, *known) if n in known or n == quality]
    unsuccessful = int(frame["state"].isin(["failed", "pruned"]).sum())
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        x = st.selectbox(
            "Across", list(dict.fromkeys(across)), format_func=_label, key="x", bind="query-params", width=210
        )
        y = st.selectbox(
            "Up", list(dict.fromkeys(up)), format_func=_label, key="y", bind="query-params", width=210
        )
        log_x = st.toggle("Log axis", value=True, key="log", bind="query-params")
        zoom = st.toggle("Zoom to the front", value=True, key="zoom", bind="query-params")
        intervals = st.toggle("Intervals", value=True, key="intervals", bind="query-params")
        failed = st.toggle(
            f"Failed and pruned ({unsuccessful})",
            key="failed",
            bind="query-params",
            disabled=not unsuccessful,
        )
    log_y = log_x and SHOWN[y].unit not in ("%", "pt")
    return x, y, (log_x and SHOWN[x].unit not in ("%", "pt"), log_y), zoom, intervals, failed


def _label(name: str) -> str:
    return SHOWN[name].title


def _picked(key: str) -> None:
    """Take the clicked point over; a click beside all points keeps what was picked."""
    event: Any = st.session_state.get(key) or {}
    chosen = event.get("selection", {}).get(PICK) or []
    if chosen and chosen[0].get("trial") is not None:
        pick(int(chosen[0]["trial"]))


def _legend(points: pd.DataFrame, left_out: int, zoom: bool) -> str:
    text = f"{role_legend(points)} · lines: 95 % intervals · ring: picked"
    if zoom and (points["role"] != "front").any():
        text += " · points on the lower edge lie below it"
    if left_out:
        text += f" · {plural(left_out, 'pale point')} left out for clarity"
    return safe(text, 500)
