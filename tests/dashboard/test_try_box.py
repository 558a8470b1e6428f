"""The try-it box on the trial page: it streams, says what it took, keeps to its bounds, and leaves no process."""

from itertools import pairwise

import psutil
import pytest
from streamlit.runtime.scriptrunner_utils.exceptions import StopException

from dashboard.components import try_box
from dashboard.views.tried import shares_table, took_text
from tests import askable
from tests.dashboard.conftest import HOSTILE
from tests.dashboard.test_pages import fine, page, words
from tuner.pipeline.quiet import Quiet
from tuner.service.trying import Reply


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tuner's home with a trial that can be asked, one that was measured elsewhere, and one that failed."""
    home = tmp_path_factory.mktemp("askable")
    askable.cached(home)
    askable.store_askable(home)
    return home


@pytest.fixture
def asking(served, monkeypatch, tmp_path):
    """The trial's page."""
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path))
    return fine(page("trial", study="askable", trial="0"))


def ask(at, question, most=8):
    at.text_area(key="try_question").set_value(question)
    at.number_input(key="try_most").set_value(most)
    return fine(at.button(key="try_ask").click().run())


def children():
    """Return the processes of try-it boxes that are ours and still run."""
    return [p for p in psutil.Process().children() if _tries(p)]


def _tries(process):
    try:
        return "tuner.service.trying_child" in process.cmdline()
    except psutil.Error:  # a dead one that nobody has buried yet
        return False


def test_an_answer_grows_and_is_shown_with_what_it_took(asking, monkeypatch):
    written, write = [], try_box._write

    def watched(spot, text):
        written.append(text)
        write(spot, text)

    monkeypatch.setattr(try_box, "_write", watched)
    before = len(asking.code)
    at = ask(asking, "who scored?", 12)
    *growing, last = written
    assert len(growing) > 3 and all(b.startswith(a[:-2]) for a, b in pairwise(growing))
    assert at.code[0].value == last and len(at.code) == before + 1
    said = words(at)
    assert "12 tokens to a prompt of" in said and "first token after" in said
    assert "tokens a second" in said and "no measurement" in said
    assert not [b for b in at.button if b.label == "Stop"]
    assert fine(at.run()).code[0].value == last  # it stays while the page is looked at


def test_a_models_words_are_shown_as_they_are(asking, monkeypatch):
    monkeypatch.setattr(try_box.Tryout, "ask", lambda *_: Reply((piece for piece in [HOSTILE]), "stop"))
    at = ask(asking, "who?")
    assert at.code[0].value == HOSTILE and HOSTILE not in words(at)


def test_who_goes_away_midway_ends_the_model(asking, monkeypatch):
    def gone(spot, text):
        assert children()
        raise StopException  # as Streamlit does at the next call when the viewer is gone, or does something else

    with monkeypatch.context() as while_answering:
        while_answering.setattr(try_box, "_write", gone)
        ask(asking, "who?", 200)
    assert not children()
    assert "Stopped before its end" in words(fine(asking.run()))


def test_another_page_or_trial_ends_the_model(asking):
    at = ask(asking, "who?")
    assert len(children()) == 1
    at.switch_page("app_pages/studies.py")
    fine(at.run())
    assert not children()


def test_a_machine_that_measures_is_left_alone(asking):
    with Quiet().exclusive():
        at = ask(asking, "who?")
    assert "this machine is measuring" in words(at).replace("\\", "")
    assert not [b for b in at.button if b.label == "Stop"]


def test_no_question_is_a_hint(asking):
    assert "there is no question" in words(ask(asking, "  "))
    assert not children()


@pytest.mark.parametrize(("number", "said"), [("1", "in this machine's cache"), ("2", None)])
def test_a_trial_that_is_not_here_has_no_box(asking, number, said):
    at = fine(page("trial", study="askable", trial=number))
    assert not at.text_area
    text = words(at).replace("\\", "")
    assert said in text if said else "Try it" not in text


def test_a_viewer_is_told_who_may_ask(asking, monkeypatch):
    monkeypatch.setenv("TUNER_DASHBOARD_ROLE", "viewer")
    at = fine(page("trial", study="askable", trial="0"))
    assert not at.text_area and "role operator" in words(at)


def test_words_and_shares():
    reply = Reply(iter(()), "stop", 20, 1, 0.0123)
    assert took_text(reply).startswith(
        "1 token to a prompt of 20, the model ended it · first token after 12.3"
    )
    assert "a second" not in took_text(reply)
    assert took_text(Reply(iter(()), "stop", 20, 0)) == "No token: the model ended it."
    reply = Reply(iter(()), first_s=0.002, shares=[("sport", 0.75), ("world", 0.25)])
    assert took_text(reply).startswith("Answered in 2")
    table = shares_table(reply.shares)
    assert list(table["Label"]) == ["sport", "world"] and list(table["Probability (%)"]) == [75.0, 25.0]
