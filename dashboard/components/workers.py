"""Workers: who is there, and a way to start one where nobody is."""

from __future__ import annotations

import time

import streamlit as st

from dashboard import data
from dashboard.text import safe
from tuner.errors import TunerError
from tuner.service.lines import OPEN, Overview
from tuner.service.local import start_worker

_STARTED, _PATIENCE = "worker_started", 60.0  # seconds


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


def awaited_worker() -> None:
    """Draw the same, looked at again for a minute after a worker was started from here: it takes a while to sign on."""
    started = st.session_state.get(_STARTED)
    waits = started is not None and time.monotonic() - started < _PATIENCE
    st.fragment(_look, run_every="2s" if waits else None)(waits)


def _look(waits: bool) -> None:
    overview = data.desk().overview()
    if waits and overview.alive:
        st.session_state.pop(_STARTED, None)
        st.rerun()
    no_worker_note(overview, always=True)
    if waits and not overview.alive:
        st.caption(":material/hourglass_top: A worker was started here; it signs on in some seconds.")


def _start() -> None:
    try:
        pid = start_worker(data.role())
        st.session_state[_STARTED] = time.monotonic()
        told = [(True, f"A worker starts as process {pid}; it shows here in some seconds.")]
    except TunerError as error:
        told = [(False, str(error))]
    st.session_state["told"] = told
