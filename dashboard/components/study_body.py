"""All of a study below its controls: looked at again every two seconds while something may change."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from dashboard import data
from dashboard.components import tabs
from dashboard.components.front_panel import front_panel
from dashboard.components.guard import failing_softly
from dashboard.components.offers import offer_cards
from dashboard.components.picked_panel import picked_number, picked_panel
from dashboard.components.study_head import study_head
from dashboard.views.cards import offers
from tuner.service.choosing import choose
from tuner.spec.wording import loaded

#: Their names stand in the page's address.
TABS = ("Front", "Growth", "Importance", "Parallel", "Trials", "Timeline", "Health", "Log")


def study_body(name: str, state: str, limits: Mapping[str, float]) -> None:
    """Draw it, or why it cannot be drawn now: a refresh may come while the database is away."""
    with failing_softly("Study"):
        _body(name, state, limits)


def _body(name: str, state: str, limits: Mapping[str, float]) -> None:
    info, everything = data.study(name)
    if info.state != state:  # the controls above are for another state by now
        st.rerun()
    _, frame = study_head(info, everything)
    if everything.empty:
        return
    chosen = choose(frame, info.objectives, info.metric, limits)
    feasible = int(everything["feasible"].sum())
    with st.container():
        if feasible:  # of a single point all three would be the same
            offer_cards(
                offers(frame, chosen, info.metric, loaded(info.spec["scenario"]))[
                    : 1 if feasible == 1 else 3
                ],
                bool(limits),
            )
    left, right = st.columns([2.75, 1], gap="medium")
    with right:
        picked_panel(info, everything)
    picked = picked_number(everything)
    with left:
        opened = st.tabs(list(TABS), key="tab", bind="query-params")
        draw = (
            lambda: front_panel(info, frame, chosen, picked),
            lambda: tabs.growth_tab(info, frame, picked),
            lambda: tabs.importance_tab(info, frame),
            lambda: tabs.parallel_tab(info, frame, picked),
            lambda: tabs.table_tab(info, frame, picked),
            lambda: tabs.timeline_tab(info, frame, picked),
            lambda: tabs.health_tab(info, frame, everything),
            lambda: tabs.log_tab(info, frame, picked),
        )
        for tab, body in zip(opened, draw, strict=True):
            if tab.open:
                with tab:
                    body()
