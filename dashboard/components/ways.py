"""Ways from one page to another about the same study and trial."""

from __future__ import annotations

import streamlit as st

_LEAVING, _ARRIVING = "_leaving", "_arriving"


def go(page: str, study: str, trial: int | None) -> None:
    """Open a page of the app about a trial.

    The address cannot be given to `switch_page`: study and trial are bound to widgets of the page that is left, and
    Streamlit refuses to set what is bound. And from within a fragment it would not let go of the widgets outside.
    """
    st.session_state[_LEAVING] = page, {"study": study} | ({} if trial is None else {"trial": trial})
    st.rerun()


def travel() -> None:
    """Leave for where `go` wants to, or arrive there: the widgets to come are set, and they set the address."""
    if _LEAVING in st.session_state:
        page, st.session_state[_ARRIVING] = st.session_state.pop(_LEAVING)
        st.switch_page(page, query_params={})
    for key, value in st.session_state.pop(_ARRIVING, {}).items():
        st.session_state[key] = value
