"""One filter for all tabs: engines, number formats, feasible only. Its state is in the page's address."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.text import safe
from dashboard.views.filters import choices, filtered, hosts_in
from dashboard.views.numbers import plural


def filter_bar(frame: pd.DataFrame) -> pd.DataFrame:
    """Draw the filter and return the trials that pass it; without a choice all do."""
    engines, formats = choices(frame)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", width="content"):
        first, second, third = (st.container(width="content") for _ in range(3))
        chosen = _pills(first, "Engines", "engine", engines)
        bits = _pills(second, "Number formats", "format", formats)
        hosts = _pills(third, "Hosts", "host", hosts_in(frame))
        only = st.toggle("Feasible only", key="feasible", bind="query-params")
        kept = filtered(frame, chosen, bits, only, hosts)
        if len(kept) < len(frame):
            st.caption(f"{len(kept)} of {plural(len(frame), 'trial')}", width="content")
    return kept


def _pills(place: DeltaGenerator, label: str, key: str, options: list[str]) -> list[str]:
    if len(options) < 2:
        return []
    shape = {"selection_mode": "multi", "bind": "query-params", "label_visibility": "collapsed"}
    return place.pills(label, options, key=key, format_func=safe, **shape)
