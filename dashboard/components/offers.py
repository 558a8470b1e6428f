"""Three cards side by side: what is offered within the limits, with its costs and intervals."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.text import safe
from dashboard.views.cards import Figure, Offer


def offer_cards(found: Sequence[Offer], limited: bool) -> None:
    """Draw the cards side by side; the button of each picks its point."""
    for column, offer in zip(st.columns(3, gap="small"), found, strict=False):
        key = f"offer_{offer.name.replace(' ', '_')}"
        with column.container(border=True, key=key, gap="xsmall", height="stretch"):
            _card(offer, limited)


def _card(offer: Offer, limited: bool) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="xsmall"
    ):
        st.markdown(f"**{offer.title}** :small[:gray[{offer.what}]]", width="content")
        if offer.trial is not None:
            st.button(
                f"Trial {offer.trial}",
                key=f"pick_{offer.name.replace(' ', '_')}",
                type="tertiary",
                icon=":material/my_location:",
                help="Mark this point everywhere on the page",
                on_click=pick,
                args=(offer.trial,),
            )
    if offer.trial is None:
        st.caption("Nothing meets your limits: move a slider." if limited else "No feasible point yet.")
        return
    for column, figure in zip(st.columns(2, gap="small"), offer.figures[:2], strict=True):
        with column:
            _figure(figure)
    spread = " · ".join(safe(f.interval) for f in offer.figures[:2] if f.interval)
    small = " · ".join(
        safe(f.value) + (f" ({safe(f.change)})" if f.change else "") for f in offer.figures[2:]
    )
    lines = [f"95 % intervals {spread}" if spread else "", f"Memory, disk {small}", safe(offer.candidate)]
    st.caption("  \n".join(line for line in lines if line))


def _figure(figure: Figure) -> None:
    colour = "off" if figure.better is None else "green" if figure.better else "red"
    st.metric(
        figure.label,
        figure.value,
        figure.change or None,
        delta_color=colour,
        delta_arrow="off",
        delta_description="latency" if figure.label == "Latency" else figure.label.lower(),
        label_visibility="collapsed",
        width="content",
    )


def pick(trial: int) -> None:
    """Mark a trial everywhere; it is part of the page's address."""
    st.session_state["trial"] = trial
