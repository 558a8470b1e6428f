"""Which trial a page is about, and the ways from there."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.ways import go


def trial_choice(name: str | None, complete: bool = False) -> int | None:
    """Draw the choice of a trial and links to its study and export; None where there is none such, which is said."""
    if name is None:
        return None
    _, frame = data.study(name)
    last = int(frame["number"].max()) if len(frame) else 0
    chosen = st.number_input(
        "Trial", min_value=0, max_value=max(last, 1), value=None, step=1, key="trial", bind="query-params",
        placeholder="trial number", label_visibility="collapsed", width=160,
    )  # fmt: skip
    number = None if chosen is None else int(chosen)
    if st.button("Study", icon=":material/query_stats:", key="to_study"):
        go("app_pages/study.py", name, number)
    here = frame[frame["number"] == number] if number is not None else frame.iloc[:0]
    measured = len(here) > 0 and here["state"].iloc[0] == "complete"
    if complete:
        if measured and st.button("Details", icon=":material/science:", key="to_trial"):
            go("app_pages/trial.py", name, number)
    elif measured and st.button("Export", icon=":material/download:", key="to_export", type="primary"):
        go("app_pages/export.py", name, number)
    if number is None:
        st.caption("Type the number of a trial; its study's page shows them all.")
        return None
    if here.empty or (complete and not measured):
        st.caption(
            "That trial was not measured: there is nothing to export."
            if complete and len(here)
            else "There is no such trial."
        )
        return None
    return number
