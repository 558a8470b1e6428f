"""The form beside the text: both show the same study, and each change goes into the text at once."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.text import safe
from dashboard.views.launch_form import (
    BITS,
    ENGINES,
    OF_A_TASK,
    PLACES,
    SAMPLERS,
    SHARES,
    TASKS,
    changed,
    task_of,
    values,
)
from tuner.errors import InputError
from tuner.service.drafts import Checked, check, dumped, with_value
from tuner.spec.model import GENERATION

TEXT = "yaml"


def take_over(found: Checked) -> None:
    """Set the form's widgets to what the text says."""
    for key, value in values(found.data, ENGINES).items():
        st.session_state[key] = value


def _edited(key: str) -> None:
    """Put one widget's value into the text."""
    text = st.session_state[TEXT]
    place, value = changed(key, st.session_state[key], check(text).data)
    try:
        for other in OF_A_TASK if key == "f_task" else ():
            text = with_value(text, other, None)
        st.session_state[TEXT] = with_value(text, place, value)
    except InputError:  # the text is no YAML at the moment: the form begins a new one
        st.session_state[TEXT] = dumped({place[0]: value} if len(place) == 1 else {})


def launch_form(found: Checked) -> None:
    """Draw the form; below each field what is wrong with it."""
    chat = task_of(found.data) == GENERATION
    left, right = st.columns(2, gap="medium")
    with left:
        _field(found, "f_name", lambda o: st.text_input("Name", placeholder="my-study", max_chars=100, **o))
        _field(found, "f_task", lambda o: st.selectbox("Task", TASKS, format_func=_words, **o))
        scratch = isinstance(found.data.get("model"), dict) and "config" in found.data["model"]
        note = "trained from `model.config`" if scratch else "pkg://package/path, or a Hub id"
        _field(
            found,
            "f_model",
            lambda o: st.text_input("Model", placeholder=note, max_chars=500, disabled=scratch, **o),
        )
        _field(
            found,
            "f_data",
            lambda o: st.text_input(
                "Data", placeholder="pkg://package/path, or a Hub dataset", max_chars=500, **o
            ),
        )
        _field(
            found,
            "f_bits",
            lambda o: st.pills(
                "Number formats", list(BITS), format_func=BITS.__getitem__, selection_mode="multi", **o
            ),
        )
    with right:
        a, b = st.columns(2, gap="small")
        with a:
            _field(
                found,
                "f_trials",
                lambda o: st.number_input(
                    "Candidates", min_value=1, step=1, value=None, placeholder="no limit", **o
                ),
            )
            _field(
                found,
                "f_drop",
                lambda o: st.number_input(
                    "Perplexity increase at most (%)" if chat else "Accuracy drop at most (pt)",
                    min_value=0.0,
                    step=0.1,
                    value=None,
                    placeholder="any",
                    format="%g",
                    **o,
                ),
            )
            if chat:
                _bound(found, "f_ttft", "First token within (ms)")
                _whole(found, "f_answer", "Tokens answered", "64", 2)
            else:
                _whole(found, "f_batch", "Batch", "1")
        with b:
            _field(
                found,
                "f_minutes",
                lambda o: st.number_input(
                    "Minutes", min_value=0.1, step=1.0, value=None, placeholder="no limit", format="%g", **o
                ),
            )
            _bound(found, "f_latency", "Whole answer within (ms)" if chat else "Latency at most (ms)")
            if chat:
                _whole(found, "f_prompt", "Tokens asked", "64", 8)
                _whole(found, "f_clients", "Clients", "1")
            else:
                _whole(found, "f_length", "Tokens", "128")
        _field(
            found,
            "f_layers",
            lambda o: st.text_input("Layers kept", placeholder="all depths; or 1, 2, 3", max_chars=100, **o),
        )
        _field(
            found,
            "f_heads",
            lambda o: st.pills(
                "Heads removed", SHARES, format_func="{:.0%}".format, selection_mode="multi", **o
            ),
        )
        _field(
            found,
            "f_ffn",
            lambda o: st.pills(
                "FFN neurons removed", SHARES, format_func="{:.0%}".format, selection_mode="multi", **o
            ),
        )
    _field(
        found,
        "f_engines",
        lambda o: st.pills("Engines (none: all that run)", ENGINES, selection_mode="multi", **o),
    )
    a, b = st.columns(2, gap="medium")
    with a:
        _field(found, "f_sampler", lambda o: st.selectbox("Sampler", SAMPLERS, **o))
    with b:
        _field(
            found,
            "f_tags",
            lambda o: st.text_input("Tags", placeholder="separated by commas", max_chars=300, **o),
        )


def _words(task: str) -> str:
    return task.replace("-", " ")


def _bound(found: Checked, key: str, label: str) -> None:
    def draw(options: Any) -> None:
        st.number_input(
            label, min_value=0.001, step=1.0, value=None, placeholder="any", format="%g", **options
        )

    _field(found, key, draw)


def _whole(found: Checked, key: str, label: str, usual: str, least: int = 1) -> None:
    def draw(options: Any) -> None:
        st.number_input(label, min_value=least, step=1, value=None, placeholder=usual, **options)

    _field(found, key, draw)


def _field(found: Checked, key: str, draw: Any) -> None:
    draw({"key": key, "on_change": _edited, "args": (key,)})
    wrong = found.at(".".join(PLACES[key]))
    if wrong and (PLACES[key] != ("constraints",) or key == "f_drop"):
        st.caption(f":red[:material/error: {safe(wrong, 300)}]")
