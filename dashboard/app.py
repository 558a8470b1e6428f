"""The dashboard: pages, who may see them, and what is said when one fails. Started by `tuner dashboard`."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from dashboard import data
from dashboard.components.guard import failing_softly
from dashboard.components.try_box import leave
from dashboard.components.ways import travel
from dashboard.text import LONGEST, safe

_NUMBER = re.compile(r"\d{1,9}")

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


def _who() -> None:
    """Say at the end of each page who is signed in, with which role, and let them leave."""
    if not data.signs_in():
        return
    with st.container(horizontal=True, vertical_alignment="center", key="who"):
        name = st.user.get("email") or st.user.get("name") or "somebody"
        role = "may change things" if data.role() == "operator" else "may look"
        st.caption(f":material/person: Signed in as {safe(name, 80)}, who {role}.", width="content")
        st.button("Sign out", key="sign_out", icon=":material/logout:", type="tertiary", on_click=st.logout)


def _clean_address() -> None:
    """Drop from the address what no link of ours holds: some of it would make a widget fail before we see it."""
    wrong = []
    for key in list(st.query_params):
        values = st.query_params.get_all(key)
        if any(len(value) > LONGEST for value in values) or (
            key == "trial" and not _NUMBER.fullmatch(values[-1])
        ):
            wrong.append(key)
    for key in wrong:
        del st.query_params[key]
    if wrong:
        st.rerun()


_clean_address()
page = st.navigation(PAGES, position="top")
travel()
if page.title != "Trial":
    leave()
if _signed_in():
    with failing_softly(page.title):
        page.run()
    _who()
