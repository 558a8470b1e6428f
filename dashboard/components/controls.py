"""Controls: pause, resume, stop, cancel, delete, for one study or several. Who may only look sees none."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data
from dashboard.text import safe
from dashboard.views.numbers import plural
from tuner.errors import TunerError

_OPEN = ("queued", "running", "stopping", "confirming", "paused")
_BUTTONS = {
    "pause": (
        "Pause",
        ":material/pause:",
        ("queued", "running"),
        "Hand out no more trials; what runs comes to its end.",
    ),
    "resume": (
        "Resume",
        ":material/play_arrow:",
        ("paused", "interrupted", "cancelled", "failed", "stopping"),
        "Go on where it stopped.",
    ),
    "stop": (
        "Stop",
        ":material/stop:",
        ("queued", "running", "paused", "confirming"),
        "Let the trial at hand finish, then end.",
    ),
}


def study_controls(names: Sequence[str], states: Sequence[str], key: str) -> None:
    """Draw the buttons that make sense for these states."""
    if data.role() != "operator":
        st.caption(":material/visibility: View only")
        return
    for verb, (label, icon, sensible, what) in _BUTTONS.items():
        if any(state in sensible for state in states):
            st.button(
                label, key=f"{key}_{verb}", icon=icon, help=what, on_click=_steer, args=(verb, list(names))
            )
    if any(state in _OPEN for state in states):
        if st.button(
            "Cancel",
            key=f"{key}_cancel",
            icon=":material/cancel:",
            help="End it now, with the trial at hand.",
        ):
            _confirm("cancel", list(names))
    elif st.button(
        "Delete", key=f"{key}_delete", icon=":material/delete:", help="Remove it with all its trials."
    ):
        _confirm("delete", list(names))


def _steer(verb: str, names: list[str]) -> None:
    try:
        found = data.desk().steer(verb, names, data.role())
    except TunerError as error:
        st.session_state["told"] = [(False, str(error))]
        return
    st.session_state["told"] = [
        *((True, line) for line in found.done),
        *((False, line) for line in found.refused),
    ]


def tell() -> None:
    """Say what became of the last order; once."""
    for fine, line in st.session_state.pop("told", [])[:6]:
        st.toast(safe(line, 400), icon=":material/check:" if fine else ":material/error:")


@st.dialog("Are you sure?")
def _confirm(verb: str, names: list[str]) -> None:
    what = safe(names[0]) if len(names) == 1 else plural(len(names), "study", "studies")
    ends = (
        "All its trials and measurements are removed for good."
        if verb == "delete"
        else "Trials at hand are given up; what was measured is kept."
    )
    st.write(f"**{verb.capitalize()} {what}?** {ends}")
    with st.container(horizontal=True):
        if st.button(f"{verb.capitalize()}", type="primary", key=f"sure_{verb}"):
            _steer(verb, names)
            st.rerun()
        if st.button("Keep", key=f"sure_not_{verb}"):
            st.rerun()
