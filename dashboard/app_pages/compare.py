"""Compare: two to five studies over each other, or the hosts that measured one study."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.compare_body import compare_body

subjects = data.desk().subjects()
names = list(subjects)
if len(names) < 2:
    st.info(
        "There must be two studies to compare, or one that two hosts measured.",
        title="Nothing to compare yet",
        icon=":material/compare_arrows:",
    )
else:
    kept = [name for name in st.session_state.get("studies") or [] if name in names]
    if kept != (st.session_state.get("studies") or []):
        st.session_state["studies"] = kept
    chosen = st.multiselect(
        "Two to five studies, or hosts of a study",
        names,
        key="studies",
        bind="query-params",
        max_selections=5,
        placeholder="Choose two to five studies or hosts",
    )
    if len(chosen) < 2:
        st.caption("Choose at least two.")
    else:
        moving = any(data.desk().info(subjects[name].study).moving for name in chosen)
        st.fragment(compare_body, run_every="2s" if moving else None)({n: subjects[n] for n in chosen})
