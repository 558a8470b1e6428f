"""The bar of limits: how slow, how inaccurate, how large is still good enough. Its state is in the page's address."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.views.limits import ANY, drop_steps, increase_steps, latency_steps, limits_of, size_steps
from tuner.metrics import LOSS
from tuner.service.desk import StudyInfo
from tuner.spec.wording import generates, serves

_FIRST = 0.05  # of the baseline's whole answer, about, is its first token: where the slider's steps lie


def limits_bar(info: StudyInfo) -> dict[str, float]:
    """Draw the sliders and return the limits that are set, by metric."""
    sliders = _loaded(info) | (_chat(info) if generates(info.metric) else _classifier(info))
    with st.container(border=True, key="limits"):
        columns = st.columns(len(sliders), gap="medium")
        steps = {m: _slider(column, *s) for column, (m, s) in zip(columns, sliders.items(), strict=True)}
    return limits_of(steps)


def _classifier(info: StudyInfo) -> dict[str, tuple[str, str, list[str]]]:
    """Return each metric's label, key in the address, and steps."""
    return {
        "latency_ms": ("Latency at most", "latency", latency_steps(info.baseline_ms)),
        LOSS[info.metric]: (f"{_quality(info.metric)} drop at most", "drop", drop_steps()),
        "memory_mb": ("Memory at most", "memory", size_steps()),
        "size_mb": ("Size on disk at most", "size", size_steps()),
    }


def _loaded(info: StudyInfo) -> dict[str, tuple[str, str, list[str]]]:
    """Return the same of what the server scenario adds: the percentile under load, around the study's own bound."""
    scenario = info.spec["scenario"]
    if not serves(scenario):
        return {}
    return {"server_p99_ms": ("99th percentile under load at most", "p99", latency_steps(scenario["p99_ms"]))}


def _chat(info: StudyInfo) -> dict[str, tuple[str, str, list[str]]]:
    """Return the same for a language model: what who waits for an answer notices."""
    return {
        "ttft_ms": ("First token within", "ttft", latency_steps((info.baseline_ms or 0) * _FIRST)),
        "latency_ms": ("Whole answer within", "latency", latency_steps(info.baseline_ms)),
        LOSS[info.metric]: ("Perplexity at most", "increase", increase_steps()),
        "memory_mb": ("Memory at most", "memory", size_steps()),
    }


def _slider(place: DeltaGenerator, label: str, key: str, steps: list[str]) -> str:
    if st.session_state.get(key) not in steps:
        st.session_state.pop(key, None)
    return place.select_slider(label, steps, value=ANY, key=key, bind="query-params")


def _quality(metric: str) -> str:
    return {"accuracy": "Accuracy", "f1_macro": "Macro F1"}.get(metric, metric.replace("_", " "))
