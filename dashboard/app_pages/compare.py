"""Compare: two to five studies over each other."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.compare_body import compare_body

names = [standing.name for standing in data.desk().store.standings()]
if len(names) < 2:
    st.info(
        "There must be two studies to compare.",
        title="Nothing to compare yet",
        icon=":material/compare_arrows:",
    )
else:
    kept = [name for name in st.session_state.get("studies") or [] if name in names]
    if kept != (st.session_state.get("studies") or []):
        st.session_state["studies"] = kept
    chosen = st.multiselect(
        "Two to five studies",
        names,
        key="studies",
        bind="query-params",
        max_selections=5,
        placeholder="Choose two to five studies",
    )
    if len(chosen) < 2:
        st.caption("Choose at least two.")
    else:
        infos = [data.desk().info(name) for name in chosen]
        st.fragment(compare_body, run_every="2s" if any(i.moving for i in infos) else None)(tuple(chosen))
