"""The dashboard: pages, who may see them, and what is said when one fails. Started by `tuner dashboard`."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import data
from dashboard.components.guard import failing_softly

# An icon of ours: Streamlit would fetch one of its own names from a font server.
st.set_page_config(
    page_title="tuner",
    page_icon=str(Path(__file__).parent / "icon.png"),
    layout="wide",
    initial_sidebar_state="auto",
)

PAGES = [
    st.Page("app_pages/studies.py", title="Studies", icon=":material/view_list:", default=True,
            help="Every study with its state, best point and progress; stop, pause, resume or delete several at once."),
    st.Page("app_pages/launch.py", title="Launch", icon=":material/rocket_launch:",
            help="Describe a study as a form or as YAML, see what this machine can run, and start it."),
    st.Page("app_pages/study.py", title="Study", icon=":material/query_stats:",
            help="Watch a front grow, move your tolerance, and pick a point."),
    st.Page("app_pages/compare.py", title="Compare", icon=":material/compare_arrows:",
            help="Fronts of two to five studies over each other, and how their settings differ."),
    st.Page("app_pages/system.py", title="System", icon=":material/dns:",
            help="Workers, hosts, engines, queue and database."),
    st.Page("app_pages/trial.py", title="Trial", icon=":material/science:", visibility="hidden"),
    st.Page("app_pages/export.py", title="Export", icon=":material/download:", visibility="hidden"),
]  # fmt: skip


def _signed_in() -> bool:
    if not data.signs_in() or st.user.is_logged_in:
        return True
    st.title("tuner")
    st.write("Sign in to see the studies.")
    st.button("Sign in", type="primary", icon=":material/login:", on_click=st.login)
    return False


page = st.navigation(PAGES, position="top")
if _signed_in():
    with failing_softly(page.title):
        page.run()
