"""The comparison itself: numbers, fronts, growth, settings."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.guard import failing_softly
from dashboard.text import table_height
from dashboard.views.compare import (
    front_rows,
    fronts_chart,
    growth_chart,
    growth_rows,
    settings_table,
    summary_table,
)
from dashboard.views.numbers import SHOWN, plural


def compare_body(names: tuple[str, ...]) -> None:
    """Draw it; looked at again while one of the studies runs."""
    with failing_softly("Compare"):
        found = {name: data.study(name) for name in names}
        frames = {name: frame for name, (_, frame) in found.items()}
        infos = [info for info, _ in found.values()]
        metric = infos[0].metric
        volumes = [info.summary.get("hypervolume") for info in infos]
        table = summary_table(frames, metric, volumes, [info.host for info in infos])
        config = {"Hypervolume (%)": st.column_config.NumberColumn(format="%.1f")}
        st.dataframe(
            table, hide_index=True, column_config=config, alt="The studies' main numbers", height="content"
        )
        if len({info.host for info in infos}) > 1:
            st.caption(
                ":material/info: These ran on different hosts: compare speedups rather than milliseconds."
            )
        _charts(found, frames, metric)
        _settings({info.name: info.spec for info in infos})


def _charts(found: dict, frames: dict[str, pd.DataFrame], metric: str) -> None:  # type: ignore[type-arg]
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        known = [
            n
            for n in ("latency_ms", "speedup", "throughput", "memory_mb", "size_mb")
            if any(f[n].notna().any() for f in frames.values())
        ]
        x = st.segmented_control(
            "Across",
            known or ["latency_ms"],
            format_func=lambda n: SHOWN[n].label,
            default="latency_ms",
            required=True,
            key="cx",
            bind="query-params",
            label_visibility="collapsed",
        )
        rows = front_rows(frames, x, metric)
        if rows.empty:
            st.caption("None of them has a front yet.")
        else:
            st.altair_chart(
                fronts_chart(rows, x, metric, data.palette()),
                key="fronts",
                alt=f"Fronts of {plural(len(frames), 'study', 'studies')} over each other",
            )
    with right:
        st.markdown("**How the fronts grew**")
        grown = growth_rows({name: data.study_history(info, frame) for name, (info, frame) in found.items()})
        if grown.empty:
            st.caption("Nothing to show before the baselines were measured.")
        else:
            st.altair_chart(
                growth_chart(grown, data.palette()),
                key="growths",
                alt="Hypervolume over candidates, one line a study",
            )


def _settings(specs: dict) -> None:  # type: ignore[type-arg]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown("**Settings**", width="content")
        only = st.toggle("Only differences", value=True, key="differences", bind="query-params")
    table = settings_table(specs, only)
    if table.empty:
        st.caption("They are set alike.")
    else:
        st.dataframe(table, hide_index=True, alt="Settings side by side", height=table_height(len(table), 15))
