"""The picked point, beside whatever is shown: what it is, what it costs, and where to go with it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.ways import go
from dashboard.text import safe
from dashboard.views.cards import baseline_of, candidate_text, figure, figure_names, row_of
from dashboard.views.verdict import verdict_text
from tuner.errors import TunerError
from tuner.metrics import LOSS, is_share
from tuner.service.desk import StudyInfo
from tuner.spec.wording import loaded


def picked_number(frame: pd.DataFrame) -> int | None:
    """Return the picked trial, from the address or the last click; None where there is none such."""
    number = st.session_state.get("trial")
    return int(number) if number is not None and (frame["number"] == number).any() else None


def picked_panel(info: StudyInfo, frame: pd.DataFrame) -> None:
    """Draw the panel."""
    last = int(frame["number"].max()) if len(frame) else 0
    st.number_input(
        "Picked trial", min_value=0, max_value=max(last, 1), value=None, step=1, key="trial", bind="query-params",
        placeholder="click a point, or type its number",
    )  # fmt: skip
    number = picked_number(frame)
    if number is None:
        st.caption("Pick a point in a chart or table: its numbers stand here, and all charts mark it.")
        return
    row, base = row_of(frame, number), baseline_of(frame)
    st.caption(f"**{safe(verdict_text(info, frame, number), 300)}**  \n{safe(candidate_text(row))}")
    if row["discarded"]:
        st.caption(f"Discarded: {safe(row['discard_reason'], 300)}")
    if row["reason"]:
        st.caption(f":red[{safe(row['reason'], 300)}]")
    left_out = {LOSS[info.metric]} if is_share(info.metric) else set[str]()
    names = figure_names(info.metric, loaded(info.spec["scenario"]))
    figures = [figure(name, row, base) for name in names if name not in left_out]
    known = [f for f in figures if f.value != "–"]
    if known:
        lines = [
            {"": f.label, "Value": f.value, "Change": f.change, "95 % interval": f.interval or "exact"}
            for f in known
        ]
        table = pd.DataFrame(lines).set_index("")
        st.table(table, border="horizontal", alt=f"Numbers of trial {number}")
    _ways(info, row)


def _ways(info: StudyInfo, row: pd.Series) -> None:
    number = int(row["number"])
    with st.container(horizontal=True, gap="small"):
        if st.button("Details", icon=":material/science:", key="to_trial"):
            go("app_pages/trial.py", info.name, number)
        if row["state"] == "complete" and st.button(
            "Export", icon=":material/download:", key="to_export", type="primary"
        ):
            go("app_pages/export.py", info.name, number)
        if data.role() == "operator":
            _change(info, row, number)


def _change(info: StudyInfo, row: pd.Series, number: int) -> None:
    if row["state"] in ("failed", "pruned", "cancelled"):
        st.button(
            "Try again", icon=":material/replay:", key="retry", on_click=_retry, args=(info.name, number)
        )
        return
    may_go = row["state"] == "complete" and not row["discarded"] and not row["is_baseline"]
    help_text = "Take it out of the front, with a reason"
    if may_go and st.button("Discard", icon=":material/block:", key="discard", help=help_text):
        _discard(info.name, number)


def _retry(name: str, number: int) -> None:
    try:
        st.session_state["told"] = [(True, data.desk().retry(name, number, data.role()))]
    except TunerError as error:
        st.session_state["told"] = [(False, str(error))]


@st.dialog("Discard a trial")
def _discard(name: str, number: int) -> None:
    st.write(
        f"Trial {number} leaves the front and the search forgets it. It stays on record, with your reason."
    )
    why = st.text_input("Why", max_chars=200, placeholder="the machine swapped", key="discard_why")
    if st.button("Discard", type="primary", disabled=not why.strip(), key="discard_sure"):
        try:
            st.session_state["told"] = [(True, data.desk().discard(name, number, why, data.role()))]
        except TunerError as error:
            st.session_state["told"] = [(False, str(error))]
        st.rerun()
