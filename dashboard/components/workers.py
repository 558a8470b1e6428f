"""Workers: who is there, and a way to start one where nobody is."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.text import safe
from tuner.errors import TunerError
from tuner.service.lines import OPEN, Overview
from tuner.service.local import start_worker


def no_worker_note(overview: Overview, always: bool = False) -> None:
    """Say that nobody works, where somebody should, and offer to start a worker on this machine."""
    waiting = any(study.state in OPEN and study.state != "paused" for study in overview.studies)
    if overview.alive or not (waiting or always):
        for note in overview.notes[:3] if overview.alive else ():
            st.warning(safe(note.message, 400), icon=":material/warning:")
        return
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.markdown(
            ":material/engineering: **No worker is alive.** Studies wait until one is started here "
            "or on another host with `tuner worker`.",
            width="content",
        )
        if data.role() == "operator":
            st.button(
                "Start a worker here",
                key="start_worker",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_start,
            )


def _start() -> None:
    try:
        pid = start_worker(data.role())
        told = [(True, f"A worker starts as process {pid}; it shows here in some seconds.")]
    except TunerError as error:
        told = [(False, str(error))]
    st.session_state["told"] = told
