"""The comparison itself: numbers, fronts, growth, settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import data
from dashboard.components.guard import failing_softly
from dashboard.text import cut, table_height
from dashboard.views.compare import (
    front_rows,
    fronts_chart,
    growth_chart,
    growth_rows,
    settings_table,
    summary_table,
    verdict_lines,
    with_host,
)
from dashboard.views.numbers import SHOWN
from tuner.metrics import COSTS
from tuner.service.contenders import Contender, Subject
from tuner.spec.wording import drawn_quality


def compare_body(subjects: Mapping[str, Subject]) -> None:
    """Draw it; looked at again while one of the studies runs."""
    with failing_softly("Compare"):
        found = {name: data.compared(subject) for name, subject in subjects.items()}
        table = summary_table(found)
        config = {"Hypervolume (%)": st.column_config.NumberColumn(format="%.1f")}
        st.dataframe(
            table,
            hide_index=True,
            column_config=config,
            alt="The main numbers side by side",
            height="content",
        )
        if table["Host"].nunique() > 1:
            st.caption(
                ":material/info: These were measured on different hosts: a speedup is against fp32 PyTorch eager on "
                "the same host."
            )
        st.markdown("\n".join(f"- {line}" for line in verdict_lines(found)))
        _charts(found)
        hosts = {host.fingerprint: host for host in data.desk().store.hosts()}
        _settings({name: with_host(each, hosts) for name, each in found.items()})


def _charts(found: Mapping[str, Contender]) -> None:
    frames = {name: each.frame for name, each in found.items()}
    metric = drawn_quality(next(iter(found.values())).info.metric)
    left, right = st.columns([1.5, 1], gap="large")
    with left:
        known = [
            n
            for n in (
                "latency_ms",
                "speedup",
                "throughput",
                "ttft_ms",
                "tokens_per_s",
                "energy_j",
                *COSTS,
                "memory_mb",
                "size_mb",
            )
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
                alt=f"{len(frames)} fronts over each other: {', '.join(cut(name, 60) for name in frames)}",
            )
    with right:
        st.markdown("**How the fronts grew**")
        grown = growth_rows({name: each.grown for name, each in found.items()})
        if grown.empty:
            st.caption("Nothing to show before the baselines were measured.")
        else:
            st.altair_chart(
                growth_chart(grown, data.palette()),
                key="growths",
                alt="Hypervolume over candidates, one line each",
            )


def _settings(specs: Mapping[str, Mapping[str, Any]]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown("**Settings**", width="content")
        only = st.toggle("Only differences", value=True, key="differences", bind="query-params")
    table = settings_table(specs, only)
    if table.empty:
        st.caption("They are set alike.")
    else:
        st.dataframe(table, hide_index=True, alt="Settings side by side", height=table_height(len(table), 15))
