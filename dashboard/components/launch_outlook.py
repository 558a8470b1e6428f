"""Before launch: how many candidates, how long, what can run here and what not, and the button."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import data
from dashboard.components.workers import awaited_worker
from dashboard.text import cut, safe
from dashboard.views.numbers import plural
from dashboard.views.outlook import basis_text, stages_table, time_text
from tuner.errors import TunerError
from tuner.service.drafts import Checked
from tuner.service.outlook import Abilities, Outlook, abilities, outlook
from tuner.spec.wording import format_text


def launch_outlook(found: Checked, text: str) -> None:
    """Draw what to expect of the study, and launch it."""
    awaited_worker()
    able = _abilities()
    expected = (
        outlook(data.desk().store, found.spec, able) if found.spec is not None and able is not None else None
    )
    with st.container(
        border=True,
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        key="outlook",
    ):
        with st.container(horizontal=True, gap="large", width="content"):
            _expected(found, expected)
        ready = found.spec is not None and (expected is None or expected.problem is None)
        viewer = data.role() != "operator"
        why = "A viewer may not launch" if viewer else None if ready else "First mend what is marked"
        st.button(
            "Launch",
            type="primary",
            icon=":material/rocket_launch:",
            key="launch",
            disabled=not ready or viewer,
            help=why,
            on_click=_launch,
            args=(text,),
        )
    if expected is not None and expected.problem:
        st.error(safe(expected.problem, 800), title="Nothing of it can run here", icon=":material/block:")
    if expected is not None and expected.problem is None:
        _time(expected)
    if able is not None:
        _machine(able, expected)


@st.cache_data(ttl=30, max_entries=1, show_spinner="Asking the engines what this machine can run …")
def _cached_abilities() -> Abilities:
    return abilities(data.desk().store)


def _abilities() -> Abilities | None:
    try:
        return _cached_abilities()
    except TunerError as error:
        st.warning(safe(error, 400), icon=":material/warning:")
        return None


def _expected(found: Checked, expected: Outlook | None) -> None:
    if expected is None:
        st.caption(
            f"{plural(len(found.problems), 'problem')} to mend first."
            if found.problems
            else "Not known yet.",
            width="content",
        )
        return
    size = "unknown" if expected.candidates is None else f"{expected.candidates:,}".replace(",", "\u202f")
    st.metric("Distinct candidates", size, width="content", help="What the axes and the engines here allow")
    tried = (
        min(n for n in (expected.trials, expected.candidates) if n is not None)
        if expected.trials or expected.candidates
        else None
    )
    st.metric("To be tried", "until time is up" if expected.trials is None else str(tried), width="content")
    st.metric("Estimated time", time_text(expected), width="content", help=basis_text(expected))


def _time(expected: Outlook) -> None:
    """Say what the estimated time is made of."""
    table = stages_table(expected)
    if table.empty:
        st.caption(basis_text(expected))
        return
    with st.expander(f"What takes the time: {time_text(expected)}", icon=":material/timer:"):
        st.caption(basis_text(expected))
        st.dataframe(
            table, hide_index=True, alt="Stages with their expected runs and costs", height="content"
        )


def _machine(able: Abilities, expected: Outlook | None) -> None:
    runs = sum(offer.available for _, offer in able.offers)
    with st.expander(
        f"What {able.of} can run: {runs} of {plural(len(able.offers), 'combination')}, on {plural(able.cores, 'core')}",
        icon=":material/memory:",
    ):
        rows = [
            {
                "Engine": engine,
                "Device": o.device,
                "Task": o.task.removeprefix("text-"),
                "Format": format_text(o.bits, o.scheme),
                "Fixed shape": o.fixed_shape,
                "Runs": o.available,
                "Why not": cut(" ".join(o.reason.split()), 200),
            }
            for engine, o in able.offers
        ]
        st.dataframe(
            pd.DataFrame(rows),
            hide_index=True,
            alt="Engines and number formats, and why some do not run",
            height="content",
        )
        if expected and expected.notes:
            st.caption(
                "Left out of this study  \n" + "  \n".join(safe(note, 300) for note in expected.notes[:20])
            )


def _launch(text: str) -> None:
    try:
        message = data.desk().submit(text, data.role())
    except TunerError as error:
        st.session_state["told"] = [(False, str(error))]
        return
    st.session_state["told"] = [(True, message)]
    st.session_state["launched"] = True
