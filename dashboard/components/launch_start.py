"""What the launch page begins with: a template, or a stored study to be changed."""

from __future__ import annotations

import streamlit as st

from dashboard import data
from dashboard.components.launch_form import TEXT
from dashboard.text import safe
from tuner.errors import TunerError
from tuner.service.drafts import study_text, templates

_EMPTY = (
    "name: my-study\nmodel:\n  source: owner/model\ndata:\n  source: owner/dataset\nbudget:\n  trials: 20\n"
)


def start_text() -> None:
    """Draw the choice of a beginning, and see to it that there is a text."""
    known = templates()
    if TEXT not in st.session_state:
        st.session_state[TEXT] = known.get("quickstart", _EMPTY)
    cloned = st.query_params.get("clone")
    if cloned and st.session_state.get("cloned") != cloned:
        _clone(cloned)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Begin with", width="content")
        for name, text in known.items():
            st.button(
                safe(name),
                key=f"template_{name}",
                icon=":material/description:",
                on_click=_take,
                args=(text,),
            )
        names = [line.name for line in data.desk().store.standings()][:200]
        if names:
            chosen = st.selectbox(
                "Clone a study",
                names,
                index=None,
                placeholder="or clone a study",
                key="clone_from",
                label_visibility="collapsed",
                width=240,
            )
            if chosen and st.button("Clone", icon=":material/content_copy:", key="clone_now"):
                _clone(chosen)


def _take(text: str) -> None:
    st.session_state[TEXT] = text


def _clone(name: str) -> None:
    st.session_state["cloned"] = name
    try:
        info = data.desk().info(name)
        st.session_state[TEXT] = study_text(info.spec, f"{name[:90]}-copy")
    except TunerError as error:
        st.warning(safe(error, 300), icon=":material/warning:")
