"""The bar of limits: how slow, how inaccurate, how large is still good enough. Its state is in the page's address."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.views.limits import ANY, drop_steps, latency_steps, limits_of, size_steps
from tuner.service.desk import StudyInfo


def limits_bar(info: StudyInfo) -> dict[str, float]:
    """Draw the four sliders and return the limits that are set, by metric."""
    drop = f"{info.metric}_drop"
    with st.container(border=True, key="limits"):
        columns = st.columns(4, gap="medium")
        steps = {
            "latency_ms": _slider(columns[0], "Latency at most", "latency", latency_steps(info.baseline_ms)),
            drop: _slider(columns[1], f"{_quality(info.metric)} drop at most", "drop", drop_steps()),
            "memory_mb": _slider(columns[2], "Memory at most", "memory", size_steps()),
            "size_mb": _slider(columns[3], "Size on disk at most", "size", size_steps()),
        }
    return limits_of(steps)


def _slider(place: DeltaGenerator, label: str, key: str, steps: list[str]) -> str:
    if st.session_state.get(key) not in steps:
        st.session_state.pop(key, None)
    return place.select_slider(label, steps, value=ANY, key=key, bind="query-params")


def _quality(metric: str) -> str:
    return {"accuracy": "Accuracy", "f1_macro": "Macro F1"}.get(metric, metric.replace("_", " "))
