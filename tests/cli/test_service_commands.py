"""The commands of the service, as a user meets them: one line each, the right exit code, JSON alone where asked for."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from madeup import store_study

from tests.service.rowed import candidate, claim, complete, failed, queue, sign_on, silent, spec, stored
from tuner.cli.main import app
from tuner.store import Store

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "no worker is alive; start one: tuner worker"


@pytest.fixture
def store(home):
    with Store.open(f"sqlite:///{home}/tuner.db") as opened:
        yield opened


@pytest.fixture
def file(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "texts.csv").write_text("text,label\na,b\n")
    path = tmp_path / "mine.yaml"
    plain = {
        "name": "mine",
        "model": {"source": "model"},
        "data": {"source": "texts.csv"},
        "budget": {"trials": 6},
    }
    path.write_text(yaml.safe_dump(plain))
    return path


# -- help


def test_the_help_has_groups_of_one_line_each(tuner):
    code, out, err = tuner("--help")
    assert (code, err) == (0, "")
    groups = {}
    for line in out.splitlines():
        if match := re.fullmatch(r"(\w[\w ]*):", line):
            groups[match[1]] = found = {}
        elif match := re.fullmatch(r"  (\w+)  +(\S.*)", line):
            found[match[1]] = match[2]
    assert list(groups) == ["Options", "Commands", "Service", "Studies and trials", "This host"]
    assert list(groups["Service"])[:3] == ["submit", "worker", "status"]
    assert list(groups["Studies and trials"]) == [
        "pause", "resume", "stop", "cancel", "retry", "discard", "delete",
    ]  # fmt: skip
    shown = {name for title, commands in groups.items() if title != "Options" for name in commands}
    assert shown == {command.name for command in app.registered_commands} | {"db"}
    assert not [text for commands in groups.values() for text in commands.values() if text.endswith("...")]


@pytest.mark.parametrize("name", [command.name for command in app.registered_commands])
def test_each_command_explains_itself(tuner, name):
    code, out, err = tuner(name, "--help")
    assert (
        (code, err) == (0, "")
        and f"Usage: tuner {name}" in out
        and ("--json" in out or name in ("worker", "dashboard", "serve"))
    )


# -- submit and steer


def test_submit(tuner, home, file):
    code, out, err = tuner(
        "submit", file, "--trials", "9", "--timeout", "90s", "--seed", "3", "--set", "tags=[a]"
    )
    assert (code, out, err) == (0, f"study mine: submitted (9 candidates or 1.5 minutes); {NOBODY}\n", "")
    code, out, _ = tuner("submit", file, "--trials", "10", "--seed", "3", "--json")
    plain = json.loads(out)
    assert code == 0 and plain["state"] == "queued" and "goes on after 0 candidates" in plain["message"]
    code, out, err = tuner("submit", file)
    assert (code, out) == (2, "") and "exists and differs in seed" in err and err.count("\n") == 1


def test_submit_places_a_problem_in_the_file(tuner, home, file):
    file.write_text(file.read_text().replace("model:", "modle:"))
    code, out, err = tuner("submit", file)
    assert (code, out) == (2, "") and f"{file}:" in err and "did you mean 'model'" in err


def test_pause_resume_stop_cancel(tuner, store):
    study = stored(store)
    trial = claim(store, queue(store, study, candidate(3)))
    said = [tuner(verb, "s")[1] for verb in ("pause", "resume", "stop", "resume", "cancel")]
    assert [line.split("; ")[0].split(". ")[0] for line in said] == [
        "study s: paused", "study s: running", "study s: stopping", "study s: running",
        "study s: cancelled with 1 trial queued or at work",
    ]  # fmt: skip
    assert all(line.count("\n") == 1 for line in said)
    assert store.trial(study, trial.number).state == "cancelled"
    code, out, err = tuner("cancel", "s")
    assert (code, out, err) == (2, "", "study 's' is cancelled and cannot be cancelled\n")


def test_retry_and_discard(tuner, store):
    study = stored(store)
    complete(store, study, candidate(6, "torch"))
    failed(store, study, candidate(2))
    code, out, _ = tuner("retry", "s", 1, "--json")
    assert code == 0 and json.loads(out)["trial"] == 2
    code, out, err = tuner("retry", "s", 0)
    assert (code, out) == (2, "") and "only a failed one is tried again" in err
    code, out, err = tuner("discard", "s", 1)
    assert (code, out) == (2, "") and "--why" in err and err.count("\n") == 1
    code, out, err = tuner("discard", "s", 0, "--why", "x")
    assert (code, out) == (2, "") and "is the baseline" in err and err.count("\n") == 1
    code, out, err = tuner("discard", "s", 1, "--why", "a neighbour compiled")
    assert code == 0 and "trial 1 is discarded (a neighbour compiled)" in out


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "cancel", "delete", "status"])
def test_a_study_that_is_not_there(tuner, store, verb):
    stored(store)
    code, out, err = tuner(verb, "x" if verb != "status" else "sss", *(["--yes"] if verb == "delete" else []))
    assert (code, out) == (4, "") and "no study named" in err and err.count("\n") == 1


def test_delete_asks_only_a_person(tuner, store):
    complete(store, study := stored(store), candidate(3))
    code, out, err = tuner("delete", "s")
    assert (code, out) == (2, "") and "say --yes" in err and err.count("\n") == 1
    trial = claim(store, queue(store, study, candidate(2)))
    code, out, err = tuner("delete", "s", "--yes")
    assert (code, out) == (2, "") and "tuner cancel s" in err
    store.fail_trial(trial, "error", "x")
    code, out, err = tuner("delete", "s", "--yes")
    assert (code, out) == (
        0,
        "study s: deleted with 2 trials; what it left in the cache goes with: tuner gc\n",
    )
    assert json.loads(tuner("list", "--json")[1]) == []


def on_a_terminal(home, *arguments, keys=(), columns=160):
    """Run the command on a terminal, send each of the keys once its text was shown; return exit code and output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(
            TUNER_HOME=str(home), COLUMNS=str(columns), TERM="xterm", NO_COLOR="1", PYTHONPATH=str(ROOT)
        )
        os.environ.pop("TUNER_DB", None)
        # Tests in the background of a shell inherit that it is ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, "-m", "tuner.cli.main", *arguments])
    shown, waiting, end = "", list(keys), time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            shown += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # its end is closed
            break
        if waiting and waiting[0][0] in shown:
            os.write(terminal, waiting.pop(0)[1].encode())
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


@pytest.mark.parametrize(
    "answer, code, says", [("n", 1, "nothing was removed"), ("y", 0, "deleted with 1 trial")]
)
def test_delete_asks_on_a_terminal(home, store, answer, code, says):
    complete(store, stored(store), candidate(3))
    found, shown = on_a_terminal(home, "delete", "s", keys=[("for good?", f"{answer}\n")])
    assert found == code and "Remove study s with 1 trial for good?" in shown and says in shown


# -- status and list


def test_status_without_anything(tuner, home):
    assert tuner("status") == (0, "no study yet; submit one: tuner submit studies/quickstart.yaml\n", "")
    assert json.loads(tuner("status", "--json")[1]) == {"workers": [], "studies": [], "notes": []}


def test_status_shows_workers_studies_and_what_waits(tuner, store):
    study = stored(store)
    complete(store, study, candidate(6, "torch"))
    claim(store, queue(store, study, candidate(2)), worker="w1")
    queue(store, study, candidate(3))
    store.create_study(spec("wide", requires={"cores": 4096}).to_plain())
    sign_on(store, "w1")
    for name in ("w2", "w3", "w4"):
        sign_on(store, name)
    silent(store, "w2", 300)
    store.sign_off(store.find_worker("w3"))
    store.sign_off(store.find_worker("w4"))
    silent(store, "w4", 4000)
    code, out, err = tuner("status")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert re.match(r"w1 +alive +\S+ +s trial 1 +(now|\d+ s ago)$", rows["w1"])
    assert re.match(r"w2 +lost +\S+ +– +5 min ago$", rows["w2"]) and "gone" in rows["w3"] and "w4" not in rows
    assert re.match(r"s +running +1 of 6 +1 +1 +0 +0 +–", rows["s"]) and "queued" in rows["wide"]
    assert out.splitlines()[-1] == "study wide: no live worker has 4096 cores (it was not begun)"
    _, out, _ = tuner("status", "s")
    assert "wide" not in out and "w1" in out and "w2" not in out


def test_status_shows_the_last_that_are_over_and_counts_the_others(tuner, store):
    for i in range(13):
        stored(store, spec(f"over-{i:02}"), "finished")
    stored(store, spec("open"), "paused")
    _, out, _ = tuner("status")
    names = [line.split()[0] for line in out.splitlines()[1:]]
    assert names[:11] == ["open", *(f"over-{i:02}" for i in range(12, 2, -1))]
    assert out.splitlines()[-1] == "and 3 more that are over: tuner list"
    assert len(json.loads(tuner("status", "--json")[1])["studies"]) == 14
    assert tuner("list")[1].count("over-") == 13


def test_a_worker_that_prepares_or_confirms_says_so(tuner, store):
    from tests.store.claims import coordinate

    sign_on(store, "w1")
    coordinate(store, store.create_study(spec("fresh").to_plain()), "w1")
    assert "prepares fresh" in tuner("status")[1]
    coordinate(store, stored(store, spec("late"), "confirming"), "w1")
    assert "confirms late, prepares fresh" in tuner("status")[1]


def test_list_of_a_study_of_an_earlier_tuner(tuner, home):
    store_study(f"sqlite:///{home}/tuner.db")
    (line,) = json.loads(tuner("list", "--json")[1])
    assert (line["on_front"], line["confirmed"], line["measured"], line["done"]) == (4, True, 6, 7)


def test_watching_prints_once_per_change_and_ends_with_the_study(home, store):
    study = stored(store)
    sign_on(store, "w1")
    command = [sys.executable, "-m", "tuner.cli.main", "status", "--watch", "--json", "s"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    watcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    guard = threading.Timer(60, watcher.kill)
    guard.start()
    states = [json.loads(watcher.stdout.readline())["studies"][0]["state"]]
    store.pause(study)
    states.append(json.loads(watcher.stdout.readline())["studies"][0]["state"])
    time.sleep(2.5)  # nothing changes: nothing is printed
    store.set_study_state(study, "finished")
    rest = [json.loads(line)["studies"][0]["state"] for line in watcher.stdout]
    guard.cancel()
    assert (states, rest, watcher.wait()) == (["running", "paused"], ["finished"], 0)


def test_watching_without_a_terminal_prints_tables(tuner, store):
    stored(store, state="finished")
    code, out, _ = tuner("status", "--watch", "s")
    assert code == 0 and re.match(r"\d\d:\d\d:\d\d\nstudy ", out) and "finished" in out


def test_watching_on_a_terminal_redraws_until_ctrl_c(home, store):
    stored(store)
    code, shown = on_a_terminal(
        home, "status", "--watch", keys=[("Ctrl-C leaves", ""), ("Ctrl-C leaves", "\x03")]
    )
    assert (
        code == 130
        and NOBODY in shown
        and "Traceback" not in shown
        and re.search(r"s +running +0 of 6", shown)
    )


def test_a_narrow_terminal_leaves_columns_out_while_watching(home, store):
    stored(store)
    _, shown = on_a_terminal(home, "status", "--watch", keys=[("Ctrl-C leaves", "\x03")], columns=60)
    assert "coordinator" not in shown and re.search(r"s +running +0 of 6", shown)


# -- gc and doctor


@pytest.mark.parametrize(
    "text, value", [("500", 500), ("500MB", 5e8), ("10GB", 1e10), ("1.5 tb", 1.5e12), ("2k", 2000)]
)
def test_sizes(text, value):
    from tuner.cli.keep import size

    assert size(text) == value


def test_gc_says_what_and_how_much(tuner, home):
    from tuner.pipeline.cache import Cache

    assert tuner("gc")[:2] == (
        0,
        "0 entries removed, 0.0 MB\n0 entries stay, 0.0 MB; stored studies refer to 0.0 MB of them\n",
    )
    entry = Cache(home / "cache").get(
        "shape", {"x": 1}, lambda out: (out / "w").write_bytes(b"x" * 3_000_000) and {}
    )
    os.utime(entry.path / "entry.json", (time.time() - 9000,) * 2)
    code, out, _ = tuner("gc", "--dry-run")
    assert code == 0 and "1 entries would be removed, 3.0 MB" in out and "0 entries would stay" in out
    assert entry.path.exists()
    assert "0 entries removed" in tuner("gc", "--keep", "10MB")[1] and entry.path.exists()
    plain = json.loads(tuner("gc", "--json")[1])
    assert [piece["kind"] for piece in plain["removed"]] == ["shape"] and not entry.path.exists()
    code, out, err = tuner("gc", "--keep", "much")
    assert (code, out) == (2, "") and "'much' is no size" in err and err.count("\n") == 1


def test_doctor_ends_with_1_where_something_essential_is_missing(tuner, home, monkeypatch):
    code, out, _ = tuner("doctor")
    assert code == 0 and out.splitlines()[-1] == "tuning works here" and "engine torch " in out
    monkeypatch.setenv("TUNER_DB", "postgresql://nobody@127.0.0.1:1/none")
    code, out, err = tuner("doctor")
    assert (code, err) == (1, "") and out.splitlines()[-1] == "tuning cannot work here for want of: database"
    code, out, _ = tuner("doctor", "--json")
    plain = json.loads(out)
    assert code == 1 and plain["works"] is False
    assert [finding["what"] for finding in plain["findings"] if finding["state"] == "missing"] == ["database"]
