"""One filter for all tabs: engines, number formats, feasible only. Its state is in the page's address."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.text import safe
from dashboard.views.filters import choices, filtered
from dashboard.views.numbers import plural


def filter_bar(frame: pd.DataFrame) -> pd.DataFrame:
    """Draw the filter and return the trials that pass it; without a choice all do."""
    engines, formats = choices(frame)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", width="content"):
        chosen = (
            st.pills(
                "Engines",
                engines,
                selection_mode="multi",
                key="engine",
                bind="query-params",
                format_func=safe,
                label_visibility="collapsed",
            )
            if len(engines) > 1
            else []
        )
        bits = (
            st.pills(
                "Number formats",
                formats,
                selection_mode="multi",
                key="format",
                bind="query-params",
                label_visibility="collapsed",
            )
            if len(formats) > 1
            else []
        )
        only = st.toggle("Feasible only", key="feasible", bind="query-params")
        kept = filtered(frame, chosen, bits, only)
        if len(kept) < len(frame):
            st.caption(f"{len(kept)} of {plural(len(frame), 'trial')}")
    return kept
