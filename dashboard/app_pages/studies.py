"""Studies: all of them at a glance, and controls for several at once."""

from __future__ import annotations

import streamlit as st

from dashboard.components.controls import tell
from dashboard.components.studies_body import is_moving, studies_body

tell()
st.fragment(studies_body, run_every="2s" if is_moving() else None)(is_moving())
