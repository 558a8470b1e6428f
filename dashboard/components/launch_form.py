"""The form beside the text: both show the same study, and each change goes into the text at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard.text import safe
from dashboard.views.launch_form import (
    BITS,
    ENGINES,
    MODES,
    OUTDATED,
    PLACES,
    SAMPLERS,
    SHARES,
    TASKS,
    at,
    changed,
    task_of,
    values,
)
from tuner.errors import InputError
from tuner.service.drafts import Checked, check, dumped, with_value
from tuner.spec.model import GENERATION

TEXT = "yaml"
#: The least value of a field with numbers that are no counts, and its step.
_STEPS = {"f_drop": (0.0, 0.1), "f_minutes": (0.1, 1.0)}


def take_over(found: Checked) -> None:
    """Set the form's widgets to what the text says."""
    for key, value in values(found.data, ENGINES).items():
        st.session_state[key] = value


def _edited(key: str) -> None:
    """Put one widget's value into the text."""
    text = st.session_state[TEXT]
    place, value = changed(key, st.session_state[key], check(text).data)
    try:
        for other in OUTDATED.get(key, ()):
            text = with_value(text, other, None)
        st.session_state[TEXT] = with_value(text, place, value)
    except InputError:  # the text is no YAML at the moment: the form begins a new one
        st.session_state[TEXT] = dumped({place[0]: value} if len(place) == 1 else {})


def launch_form(found: Checked) -> None:
    """Draw the form; below each field what is wrong with it."""
    chat = task_of(found.data) == GENERATION
    left, right = st.columns(2, gap="medium")
    with left:
        _what(found)
        _pills(found, "f_bits", "Number formats", list(BITS), BITS.__getitem__)
        if not chat:
            _requests(found)
    with right:
        _limits(found, chat)
        _text(found, "f_layers", "Layers kept", "all depths; or 1, 2, 3")
        _pills(found, "f_heads", "Heads removed", SHARES, "{:.0%}".format)
        _pills(found, "f_ffn", "FFN neurons removed", SHARES, "{:.0%}".format)
    _pills(found, "f_engines", "Engines (none: all that run)", ENGINES, str)
    left, right = st.columns(2, gap="medium")
    with left:
        _choice(found, "f_sampler", "Sampler", SAMPLERS, str)
    with right:
        _text(found, "f_tags", "Tags", "separated by commas", 300)


def _what(found: Checked) -> None:
    scratch = isinstance(found.data.get("model"), dict) and "config" in found.data["model"]
    note = "trained from `model.config`" if scratch else "pkg://package/path, or a Hub id"
    _text(found, "f_name", "Name", "my-study")
    _choice(found, "f_task", "Task", TASKS, lambda task: task.replace("-", " "))
    _text(found, "f_model", "Model", note, 500, disabled=scratch)
    _text(found, "f_data", "Data", "pkg://package/path, or a Hub dataset", 500)


def _requests(found: Checked) -> None:
    """Draw how requests come, and in the server scenario how many and how long one may take."""
    _choice(found, "f_mode", "Requests come", list(MODES), MODES.__getitem__)
    if at(found.data, PLACES["f_mode"]) == "server":
        left, right = st.columns(2, gap="small")
        with left:
            _text(found, "f_rate", "Requests a second", "50, or max")
        with right:
            _number(found, "f_p99", "99 of 100 within (ms)", "30")


def _limits(found: Checked, chat: bool) -> None:
    """Draw when the study ends, what a candidate may lose and take, and what a request is."""
    left, right = st.columns(2, gap="small")
    with left:
        _whole(found, "f_trials", "Candidates", "no limit")
        _number(found, "f_drop", "Perplexity increase at most (%)" if chat else "Accuracy drop at most (pt)")
        if chat:
            _number(found, "f_ttft", "First token within (ms)")
            _whole(found, "f_answer", "Tokens answered", "64", 2)
        else:
            _whole(found, "f_batch", "Batch", "1")
    with right:
        _number(found, "f_minutes", "Minutes", "no limit")
        _number(found, "f_latency", "Whole answer within (ms)" if chat else "Latency at most (ms)")
        if chat:
            _whole(found, "f_prompt", "Tokens asked", "64", 8)
            _whole(found, "f_clients", "Clients", "1")
        else:
            _whole(found, "f_length", "Tokens", "128")


def _text(
    found: Checked, key: str, label: str, hint: str, most: int = 100, *, disabled: bool = False
) -> None:
    def draw(options: Any) -> None:
        st.text_input(label, placeholder=hint, max_chars=most, disabled=disabled, **options)

    _field(found, key, draw)


def _choice(found: Checked, key: str, label: str, among: Sequence[str], words: Callable[[str], str]) -> None:
    _field(found, key, lambda options: st.selectbox(label, among, format_func=words, **options))


def _pills(found: Checked, key: str, label: str, among: Sequence[Any], words: Callable[[Any], str]) -> None:
    def draw(options: Any) -> None:
        st.pills(label, among, format_func=words, selection_mode="multi", **options)

    _field(found, key, draw)


def _number(found: Checked, key: str, label: str, usual: str = "any") -> None:
    least, step = _STEPS.get(key, (0.001, 1.0))

    def draw(options: Any) -> None:
        st.number_input(
            label, min_value=least, step=step, value=None, placeholder=usual, format="%g", **options
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
