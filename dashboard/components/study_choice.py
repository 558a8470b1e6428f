"""Which study a page is about: chosen from a list, named in the address."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.text import safe


def study_choice(label: str = "Study") -> str | None:
    """Draw the choice and return a study's name; None where there is no study at all, which is said."""
    names = [line.name for line in data.desk().store.standings()]
    if not names:
        st.info(
            "Describe one on the Launch page: a model, its data, and how long to search.",
            title="No study yet",
            icon=":material/info:",
        )
        st.page_link("app_pages/launch.py", label="Launch a study", icon=":material/rocket_launch:")
        return None
    wanted = st.query_params.get("study")
    if wanted is not None and wanted not in names:
        st.warning(safe(wanted, 100), title="There is no study of this name", icon=":material/search_off:")
    if st.session_state.get("study", wanted) not in names:
        st.session_state["study"] = names[0]
        st.query_params["study"] = names[0]
    # Without a value of its own, for the address leaves out what a widget begins with: a link must name its study.
    options = {"index": None, "bind": "query-params", "label_visibility": "collapsed", "width": 340}
    return str(st.selectbox(label, names, key="study", **options))
