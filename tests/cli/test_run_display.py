"""What `tuner run` shows while it runs, and at its end."""

import io
import json

import pytest
import typer
from madeup import int8, metrics, store_study
from rich.console import Console

from tuner.cli.progress import Progress, duration
from tuner.cli.run import show_end
from tuner.errors import NoFeasibleTrialError
from tuner.service import api
from tuner.service.events import Event


def finished(number, **more):
    found, _ = metrics(12.0, 0.944)
    return Event(
        "trial-finished", "", trial=number, candidate=int8(2), metrics=found, done=3, total=9,
        seconds_left=185.0, best_speedup=14.2, hypervolume=0.512, **more,
    )  # fmt: skip


def shown(terminal, *events):
    out = io.StringIO()
    screen = Console(file=out, force_terminal=terminal, width=120, color_system=None, highlight=False)
    with Progress(screen) as progress:
        for event in events:
            progress(event)
        if progress._live:
            progress._live.refresh()
    return out.getvalue()


def test_without_a_terminal_each_trial_is_one_plain_line():
    text = shown(
        False,
        Event("stage", "fine_tune …", stage="fine_tune"),
        Event("trial-started", "trial 2", trial=2, candidate=int8(2)),
        Event("stage", "build …", stage="build", trial=2, candidate=int8(2)),
        finished(2),
        Event("trial-failed", "trial 3: build: boom", trial=3, candidate=int8(1), done=4, total=9),
    )
    lines = text.splitlines()
    assert len(lines) == 3 and "\x1b" not in text
    assert lines[1] == (
        "[3/9] trial 2  2L h-0% f-0% int8-static openvino@cpu 2x1  accuracy 94.4 ±2.0 %, 5.00 ±0.10 ms, 12.0x"
        "  (best feasible 14.2x, hypervolume 0.512, about 3 min left)"
    )
    assert lines[2].startswith("[4/9] trial 3: build: boom")


def test_on_a_terminal_the_status_names_what_runs_and_what_was_reached():
    running = Event("stage", "recover …", stage="recover", trial=4, candidate=int8(1))
    text = shown(True, finished(2), Event("trial-started", "", trial=4, candidate=int8(1)), running)
    assert "3 of 9 trials" in text and "about 3 min left" in text
    assert "trial 4  1L h-0% f-0% int8-static openvino@cpu 2x1  recover" in text
    assert "best feasible: 14.2x the baseline's speed, hypervolume 0.512" in text


def test_a_message_with_markup_is_shown_as_it_is():
    assert "[bold]x[/nothing]" in shown(False, Event("note", "[bold]x[/nothing]"))


def test_the_end_of_a_study(home, capsys):
    url = f"sqlite:///{home}/tuner.db"
    store_study(url)
    show_end(api.load("made-up"), as_json=False)
    out = capsys.readouterr().out
    assert "29.0x" in out and f"drawn: {home}/studies/made-up/front.png" in out
    show_end(api.load("made-up"), as_json=True)
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_an_interrupted_study_shows_its_front_and_ends_with_130(home, capsys):
    store_study(f"sqlite:///{home}/tuner.db", state="interrupted")
    with pytest.raises(typer.Exit) as caught:
        show_end(api.load("made-up"), as_json=True)
    out, err = capsys.readouterr()
    assert caught.value.exit_code == 130 and len(json.loads(out)) == 4 and "goes on where it stopped" in err


def test_a_study_without_a_feasible_trial_still_prints_its_empty_json(home, capsys):
    store_study(f"sqlite:///{home}/tuner.db", "strict", ["latency_ms <= 0.001"])
    with pytest.raises(NoFeasibleTrialError, match="nearest is trial 4"):
        show_end(api.load("strict"), as_json=True)
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("seconds, text", [(0, "0 s"), (89, "89 s"), (185, "3 min"), (4800, "1 h 20 min")])
def test_durations(seconds, text):
    assert duration(seconds) == text
