"""System: workers, hosts, engines, queue, database and disk."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.controls import tell
from dashboard.components.system_body import system_body

tell()
overview = data.desk().overview()
lively = overview.alive > 0 or any(s.is_open for s in overview.studies)
st.fragment(system_body, run_every="2s" if lively else None)()
