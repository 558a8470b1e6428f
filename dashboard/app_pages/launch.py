"""Launch: a study as a form and as text, what to expect of it, and its start."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.controls import tell
from dashboard.components.launch_form import TEXT, launch_form, take_over
from dashboard.components.launch_outlook import launch_outlook
from dashboard.components.launch_start import start_text
from dashboard.text import safe
from tuner.service.drafts import MAX_BYTES, check

tell()
start_text()
found = check(st.session_state[TEXT])
if st.session_state.pop("launched", False) and found.spec is not None:
    st.switch_page("app_pages/study.py", query_params={"study": found.spec.name})
take_over(found)
left, right = st.columns([1.15, 1], gap="large")
with left:
    launch_form(found)
with right:
    st.text_area("Study file (YAML)", key=TEXT, height=560, max_chars=MAX_BYTES)
    for problem in found.problems[:8]:
        st.caption(
            f":red[:material/error: line {problem.line}: {safe(problem.field)} {safe(problem.message, 300)}]"
        )
    if not found.problems:
        st.caption(":green[:material/check_circle: Complete and consistent]")
launch_outlook(found, st.session_state[TEXT])
if data.role() != "operator":
    st.caption(":material/visibility: View only: an operator launches studies.")
