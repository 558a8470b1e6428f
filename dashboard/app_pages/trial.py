"""Trial: one candidate with all that was measured of it."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.study_choice import study_choice
from dashboard.components.trial_body import trial_head, trial_made, trial_measured
from dashboard.components.trial_choice import trial_choice
from dashboard.components.try_box import try_box
from dashboard.views.cards import row_of
from tuner.service.detail import detail

with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    name = study_choice()
    number = trial_choice(name)
if name is not None and number is not None:
    info, frame = data.study(name)
    st.subheader(f"Trial {number}", anchor=False)
    trial_head(info, frame, number)
    row = row_of(frame, number)
    box = st.container(key="try")  # filled last: the rest of the page need not wait for an answer
    found = detail(data.desk().store, name, number)
    trial_measured(found, row)
    trial_made(found, row)
    if row["state"] == "complete":
        with box:
            try_box(info, number)
