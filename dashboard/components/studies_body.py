"""The list of studies: filter, table, and what to do with the chosen ones."""

from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.controls import study_controls
from dashboard.components.guard import failing_softly
from dashboard.components.workers import no_worker_note
from dashboard.text import safe, table_height
from dashboard.views.numbers import plural
from dashboard.views.study_list import MOVING, filtered, study_table


def is_moving() -> bool:
    """Say whether some study may change by itself."""
    return any(standing.state in MOVING for standing in data.desk().store.standings())


def studies_body(moving: bool) -> None:
    """Draw the list; look again every two seconds while something moves."""
    with failing_softly("Studies"):
        if is_moving() != moving:
            st.rerun()
        overview = data.desk().overview()
        table = study_table(data.desk().infos(), overview, data.zone(), data.now())
        if table.empty:
            _welcome()
            return
        no_worker_note(overview)
        _list(_filter(table))


def _welcome() -> None:
    with st.container(border=True, horizontal_alignment="left", gap="medium"):
        st.subheader("Find the fastest form of your model")
        st.write(
            "A study searches pruning, quantization, distillation, parallelism and engine together, "
            "measures every candidate, and shows what each millisecond costs. The first one takes about two minutes."
        )
        if st.button("Launch the first study", type="primary", icon=":material/rocket_launch:", key="first"):
            st.switch_page("app_pages/launch.py")


def _filter(table: pd.DataFrame) -> pd.DataFrame:
    states = sorted(table["State"].unique())
    tags = sorted({tag for found in table["Tags"] for tag in found})
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        text = st.text_input(
            "Search",
            key="q",
            bind="query-params",
            placeholder="Name or model",
            icon=":material/search:",
            label_visibility="collapsed",
            width=260,
            max_chars=100,
        )
        chosen = (
            st.pills(
                "State",
                states,
                selection_mode="multi",
                key="state",
                bind="query-params",
                label_visibility="collapsed",
            )
            if len(states) > 1
            else []
        )
        wanted = (
            st.multiselect(
                "Tags",
                tags,
                key="tag",
                bind="query-params",
                placeholder="Tags",
                label_visibility="collapsed",
                width=260,
                format_func=safe,
            )
            if tags
            else []
        )
        kept = filtered(table, text or "", chosen, wanted)
        st.caption(plural(len(kept), "study", "studies"), width="content")
    return kept


def _list(table: pd.DataFrame) -> None:
    # A selection is a list of positions: it must not outlive the order that it was made in.
    order = hashlib.sha256("\n".join(table["name"]).encode()).hexdigest()[:8]
    place = st.container(horizontal=True, vertical_alignment="center", gap="small")
    event = st.dataframe(
        table,
        hide_index=True,
        key=f"studies_{order}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config=_columns(),
        height=table_height(len(table), 17),
        placeholder="–",
        alt=f"{plural(len(table), 'study', 'studies')} with state, progress and best point",
    )
    rows = [row for row in event["selection"].get("rows") or [] if row < len(table)]
    with place:
        _actions(table.iloc[rows])


def _actions(chosen: pd.DataFrame) -> None:
    names = list(chosen["name"])
    if not names:
        st.caption("Choose rows to open, compare, pause, stop or delete studies; a name opens its study.")
        return
    if len(names) == 1 and st.button("Open", type="primary", icon=":material/query_stats:", key="open"):
        st.switch_page("app_pages/study.py", query_params={"study": names[0]})
    if len(names) == 1 and st.button("Clone", icon=":material/content_copy:", key="clone"):
        st.switch_page("app_pages/launch.py", query_params={"clone": names[0]})
    if 2 <= len(names) <= 5 and st.button(
        "Compare", type="primary", icon=":material/compare_arrows:", key="compare"
    ):
        st.switch_page("app_pages/compare.py", query_params={"studies": names})
    study_controls(names, list(chosen["state"]), "list")


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "Study": column.LinkColumn(display_text=r"study=(.+)$", pinned=True, width=140),
        "State": column.TextColumn(width=85),
        "Best against the baseline": column.TextColumn(
            width=165, help="Fastest feasible point of the front against the untouched model"
        ),
        "Done": column.ProgressColumn(format="%.0f %%", min_value=0, max_value=100, width=85),
        "Candidates": column.TextColumn(width=140),
        "Time left": column.TextColumn(width=70),
        "Hypervolume": column.NumberColumn(
            "Hypervolume (%)",
            format="%.1f",
            width=112,
            help="Share of what can be hoped for that the front covers",
        ),
        "Growth": column.AreaChartColumn(width=80, y_min=0, help="Hypervolume over trials"),
        "Model": column.TextColumn(width=165),
        "Task": column.TextColumn(width=115),
        "Host": column.TextColumn(width=60),
        "Heartbeat": column.TextColumn(width=80),
        "Tags": column.ListColumn(width=120),
        "name": None,
        "state": None,
    }
