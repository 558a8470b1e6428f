"""Try it: ask a trial's artefact a question, and watch its answer come."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import data
from dashboard.text import block, safe
from dashboard.views.tried import shares_table, took_text
from tuner.errors import NotFoundError, TunerError
from tuner.service.desk import StudyInfo
from tuner.service.trying import MOST_CHARACTERS, MOST_TOKENS, Tryout

_SAID = "_tried"
_STEP = 32


@dataclass
class _Said:
    """What the last question of this session came to; it is filled while the answer comes, and shown again later."""

    of: tuple[str, int]
    text: str = ""
    took: str = ""
    problem: str = ""
    shares: list[tuple[str, float]] = field(default_factory=list)


@st.cache_resource(scope="session", max_entries=1, on_release=Tryout.end, show_spinner=False)
def _tryout(study_id: str, name: str, number: int) -> Tryout:
    """Return the trial that this session asks. Its model goes when the browser goes, or asks another trial."""
    return data.desk().tryout(name, number)


def leave() -> None:
    """End the model that this session asked: another page is shown."""
    _tryout.clear()
    st.session_state.pop(_SAID, None)


def try_box(info: StudyInfo, number: int) -> None:
    """Draw the box, and answer what was asked; a trial whose artefact is not here has a line that says so."""
    st.markdown("**Try it**")
    if data.role() != "operator":
        st.caption(":material/visibility: Asking makes this machine compute: it takes the role operator.")
        return
    try:
        tryout = _tryout(info.id, info.name, number)
    except NotFoundError as error:
        st.caption(safe(error, 400))
        return
    question, most = _form(tryout)
    spot, of = st.empty(), (info.id, number)
    if question is not None:
        st.session_state[_SAID] = said = _Said(of)
        _answer(tryout, question, most, said, spot)
    said = st.session_state.get(_SAID)
    if said is not None and said.of == of:
        _show(said, spot)


def _form(tryout: Tryout) -> tuple[str | None, int]:
    """Return the question, None where none was asked, and how long the answer may be."""
    what = "Question" if tryout.chats else "Text"
    with st.form("try_form"):
        question = st.text_area(what, max_chars=MOST_CHARACTERS, key="try_question", height=80)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            most = MOST_TOKENS
            if tryout.chats:
                most = st.number_input(
                    "Longest answer (tokens)", 1, MOST_TOKENS, 128, _STEP, key="try_most", width=200
                )
            asked = st.form_submit_button("Ask", key="try_ask", icon=":material/send:", type="primary")
    return (question if asked else None), int(most)


def _answer(tryout: Tryout, question: str, most: int, said: _Said, spot: DeltaGenerator) -> None:
    """Fill what is said, and show it as it comes.

    Whatever the viewer does meanwhile ends this run of the page, and with it the answer: `closing` ends the model.
    """
    begun = "the model is loaded first" if not tryout.alive else "reading the question"
    spot.caption(f":material/hourglass_top: Asked; {begun} …")
    said.took = "Stopped before its end."
    stop = st.empty()
    stop.button("Stop", key="try_stop", icon=":material/stop:")
    try:
        with closing(tryout.ask(question, data.role(), most)) as reply:
            for piece in reply:
                said.text += piece
                _write(spot, said.text + " ▌")
            said.took, said.shares = took_text(reply), reply.shares
    except TunerError as error:
        said.took, said.problem = "", str(error)
    stop.empty()


def _show(said: _Said, spot: DeltaGenerator) -> None:
    """Show an answer, or what came of it, and beneath it what it took."""
    with spot.container():
        if said.text:
            _write(st, said.text)
        if said.shares:
            bar = st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.1f")
            st.dataframe(
                shares_table(said.shares),
                hide_index=True,
                column_config={"Probability (%)": bar},
                alt="Labels with their probabilities",
                height="content",
                width=420,
            )
        if said.problem:
            st.warning(safe(said.problem, 600), icon=":material/info:")
        elif said.took:
            st.caption(safe(said.took, 400))


def _write(spot: DeltaGenerator, text: str) -> None:
    """Write a model's words as they are: read as markdown they might fetch a picture from anywhere."""
    spot.code(block(text), language=None, wrap_lines=True)
