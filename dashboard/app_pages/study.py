"""Study: watch its front grow, move the limits, pick a point."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.controls import study_controls, tell
from dashboard.components.limits_bar import limits_bar
from dashboard.components.study_body import study_body
from dashboard.components.study_choice import study_choice
from dashboard.components.study_head import state_badge

tell()
with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    name = study_choice()
    if name is not None:
        info = data.desk().info(name)
        state_badge(info.state)
        st.space("stretch")
        study_controls([name], [info.state], "study")
if name is not None:
    limits = limits_bar(info)
    st.fragment(study_body, run_every="2s" if info.moving else None)(name, info.state, limits)
