"""A trial can be asked: piece by piece, within limits, never against a measurement, and nothing stays behind."""

import contextlib
import json
import subprocess
import sys
import threading
import time

import psutil
import pytest

from tests import askable
from tuner.errors import InputError, NotFoundError, TunerError
from tuner.pipeline.quiet import Quiet
from tuner.runtime.loader import load_session
from tuner.service import answerers, trying_process
from tuner.service.handle import StudyHandle
from tuner.service.roles import NotAllowedError
from tuner.service.trying import MeasuringError, Tryout
from tuner.store import Store


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with an askable study, and a quiet lock of its own."""
    monkeypatch.setenv("TUNER_HOME", str(tmp_path))
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path / "quiet"))
    monkeypatch.delenv("TUNER_DB", raising=False)
    askable.store_askable(tmp_path)
    return tmp_path


@pytest.fixture
def trial(home):
    """Return what opens trial 0, with an artefact of these settings; all are ended at the end."""
    opened = []

    def open_it(**settings):
        askable.cached(home, **settings)
        with Store.open() as store:
            opened.append(Tryout.of(store, "askable", 0))
        return opened[-1]

    yield open_it
    for tryout in opened:
        tryout.end()


def children():
    """Return the processes of try-it boxes that are ours and still run."""
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found += [process] if "tuner.service.trying_child" in process.cmdline() else []
    return found


def gone(seconds=10):
    end = time.monotonic() + seconds
    while children() and time.monotonic() < end:
        time.sleep(0.02)
    return not children()


def test_an_answer_comes_piece_by_piece_and_the_model_stays_loaded(trial, home):
    tryout = trial(pause=0.05)
    assert tryout.chats and not tryout.alive
    reply = tryout.ask("who scored?", "operator", 8)
    moments, text = [], []
    for piece in reply:
        moments.append(time.monotonic())
        text.append(piece)
    assert moments[-1] - moments[0] > 0.15  # they came while it was at work, not all at its end
    assert (reply.finish, reply.tokens) == ("length", 8) and reply.prompt_tokens > 10
    assert 0.04 < reply.first_s < 5 and 1 < reply.rate < 20
    (child,) = children()
    assert "".join(tryout.ask("who scored?", "operator", 8)) and children() == [child]
    assert not [p for p in home.rglob("*") if p.is_symlink()] and not (home / "exports").exists()
    tryout.end()
    assert gone()


def test_the_answer_is_the_artefacts_own(trial, home):
    from tests.tiny_chat import TEMPLATE, tokenizer
    from tuner.runtime.template import ChatTemplate

    tryout = trial()
    assert "user" in TEMPLATE
    checkpoint = home / "cache/recover/tinycheckpoint"
    prompt = (
        tokenizer()
        .encode(
            ChatTemplate.read(checkpoint).render([{"role": "user", "content": "who?"}]),
            add_special_tokens=False,
        )
        .ids
    )
    tokens = list(load_session(home / "cache/build" / askable.KEY, 1).stream(prompt, 6))
    assert "".join(tryout.ask("who?", "operator", 6)) == tokenizer().decode(tokens)


def test_who_stops_listening_ends_the_child(trial):
    tryout = trial(pause=0.05)
    reply = tryout.ask("tell me all", "operator", 500)
    assert next(iter(reply))
    assert len(children()) == 1
    reply.close()
    assert gone() and not tryout.alive
    assert "".join(tryout.ask("and now?", "operator", 2))  # the next question starts another


def test_a_child_ends_when_nobody_holds_its_stdin(trial):
    tryout = trial(pause=0.05)
    reply = tryout.ask("tell me all", "operator", 500)
    assert next(iter(reply)) and children()
    tryout._child._process.stdin.close()  # what the kernel does when we are killed
    assert gone()


def _tired():
    raise TimeoutError


def test_while_the_machine_measures_the_answer_is_to_ask_again(trial):
    tryout = trial(pause=0.001)
    with Quiet().exclusive():
        begin = time.monotonic()
        with pytest.raises(MeasuringError, match=r"measuring.*ask again in a moment"):
            list(tryout.ask("who?", "operator"))
        assert time.monotonic() - begin < 10
    assert "".join(tryout.ask("who?", "operator", 4))
    reply = iter(tryout.ask("who?", "operator", 500))
    next(reply)
    with (
        pytest.raises(TimeoutError),
        Quiet(waiting=_tired).exclusive(),
    ):  # a measurement waits for who is at work
        pass
    assert len(list(reply)) > 10
    with Quiet().exclusive():  # and an idle child keeps nobody from measuring
        assert tryout.alive


@pytest.mark.parametrize(
    ("question", "most", "said"),
    [
        ("  \n", 8, "there is no question"),
        ("x" * 20_001, 8, "20001 characters: ask with at most 20000"),
        ("who?", 0, "between 1 and 512"),
        ("who?", 513, "between 1 and 512"),
    ],
)
def test_what_is_out_of_bounds_starts_nothing(trial, question, most, said):
    with pytest.raises(InputError, match=said):
        trial().ask(question, "operator", most)
    assert not children()


def test_more_tokens_than_the_context_holds_are_one_clear_line(trial):
    tryout = trial(context=64)
    with pytest.raises(InputError, match=r"the messages take \d+ tokens.* the model's 64: shorten") as raised:
        list(tryout.ask("xyz " * 100, "operator"))
    assert "\n" not in str(raised.value)
    reply = tryout.ask("who?", "operator", 500)  # an answer takes the room there is
    assert "".join(reply) and reply.prompt_tokens + reply.tokens == 64


def test_a_viewer_may_not_ask(trial):
    with pytest.raises(NotAllowedError, match="a viewer may not ask trials"):
        trial().ask("who?", "viewer")


def test_an_artefact_that_fails_says_so_and_its_child_ends(trial):
    tryout = trial(fail=3)
    said = []
    with pytest.raises(TunerError, match="trial 0: the artefact failed: RuntimeError: the engine ran into"):
        said.extend(tryout.ask("who?", "operator", 50))
    assert said and gone()


def test_a_child_that_is_killed_is_one_line_and_the_next_question_goes_on(trial):
    tryout = trial()
    reply = iter(tryout.ask("who?", "operator", 500))
    next(reply)
    children()[0].kill()
    with pytest.raises(TunerError, match="trial 0: the process that answers has ended"):
        list(reply)
    assert "".join(tryout.ask("who?", "operator", 2))


def test_an_answer_that_does_not_come_is_given_up(trial, monkeypatch):
    monkeypatch.setattr(trying_process, "_DEADLINE", 2.0)
    with pytest.raises(TunerError, match="did not answer within 2 s"):
        list(trial(pause=30).ask("who?", "operator", 2))
    assert gone()


def test_an_answer_ends_where_it_is_when_its_time_is_over(trial, monkeypatch):
    monkeypatch.setattr(answerers, "ANSWER_S", 0.3)
    answerer = answerers.Chatting(trial(pause=0.05)._setup)
    assert "".join(answerer.answer("who?", 100))
    assert answerer.done["finish"] == "cancelled" and 2 <= answerer.done["tokens"] < 10


def test_a_child_that_nobody_asks_ends_by_itself():
    program = "import tuner.service.trying_child as child; child.IDLE_S = 0.2; child.main()"
    command = [sys.executable, "-c", program, "{}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.wait(30) == 0  # its stdin is open all the while


def test_no_more_models_than_seats_are_loaded(trial, monkeypatch):
    monkeypatch.setattr(trying_process, "_seats", threading.BoundedSemaphore(1))
    first = trial()
    assert "".join(first.ask("who?", "operator", 2))
    with Store.open() as store:
        second = Tryout.of(store, "askable", 0)
    with pytest.raises(TunerError, match="ask again in a few minutes"):
        list(second.ask("who?", "operator", 2))
    first.end()
    assert "".join(second.ask("who?", "operator", 2))
    second.end()
    assert gone()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            1,
            "not in this machine's cache: ask it on the machine that measured it, which was .*, or export it",
        ),
        (2, "trial 2 has no artefact to ask: it is failed"),
        (7, "7"),
    ],
)
def test_what_is_not_here_is_one_clear_line(home, number, said):
    with Store.open() as store, pytest.raises(NotFoundError, match=said):
        Tryout.of(store, "askable", number)


def test_a_classifier_answers_with_the_share_of_each_label(first_steps, monkeypatch, tmp_path):
    monkeypatch.setenv("TUNER_HOME", str(first_steps))
    monkeypatch.setenv("TUNER_QUIET", str(tmp_path))
    with Store.open() as store:
        trials = StudyHandle.of(store, store.get_study("first-steps")).trials
        number = next(t.number for t in trials if t.state == "complete" and t.number)
        tryout = Tryout.of(store, "first-steps", number)
    try:
        assert not tryout.chats
        reply = tryout.ask("The striker scored twice in the last minute of the match.", "operator")
        assert list(reply) == [] and reply.first_s > 0
        labels, shares = zip(*reply.shares, strict=True)
        meta = json.loads(next((first_steps / "cache/data").glob("*/meta.json")).read_text())
        assert sorted(labels) == sorted(meta["labels"]) and sum(shares) == pytest.approx(1, abs=1e-5)
        assert list(shares) == sorted(shares, reverse=True)
    finally:
        tryout.end()
