"""What a person sees when something fails: one clear line, never a traceback."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import streamlit as st

from dashboard.text import safe
from tuner.errors import TunerError


@contextlib.contextmanager
def failing_softly(what: str) -> Iterator[None]:
    """Show an error of ours as its line, and any other as a hint to the server's log.

    Streamlit steers by exceptions that are no `Exception`: they pass.
    """
    try:
        yield
    except TunerError as error:
        st.error(safe(error, 600), title="This did not work", icon=":material/error:")
    except Exception:
        logging.getLogger(__name__).exception("%s failed", what)
        st.error(
            "The server's log says what happened.",
            title="Something failed inside the dashboard",
            icon=":material/error:",
        )
