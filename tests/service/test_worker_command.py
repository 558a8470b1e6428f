"""`tuner worker` as a process: names, signals, exit codes and logs. The pipeline is a stub: it is not the point."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from tests.service import crew
from tests.service.stub import stub_study
from tuner.service.overview import read_overview
from tuner.store import Store


def _command(arguments, settings, seconds, log):
    """Be the real command in a forked process; only what evaluates a candidate is exchanged."""
    from tests.service.stub import StubPipeline
    from tuner.cli.main import main
    from tuner.runtime.orphans import die_with_parent
    from tuner.service import working

    die_with_parent(os.getppid())
    os.setsid()
    os.environ.update(settings)
    for descriptor, name in ((1, f"{log}.out"), (2, log)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    working.Works = lambda host, stage: StubPipeline(seconds)
    sys.exit(main(["worker", *arguments]))


class Home:
    """A database and a home of its own, and workers of it."""

    def __init__(self, url, folder):
        self.url, self.folder, self.started = url, folder, []

    def start(self, *arguments, seconds=0.0, form="json"):
        settings = {"TUNER_DB": self.url, "TUNER_HOME": str(self.folder), "TUNER_LEASE": "5", "NO_COLOR": "1"}
        log = self.folder.parent / f"{len(self.started)}.log"
        given = (["--log-format", form, *arguments], settings, seconds, str(log))
        member = crew.Member("worker", log, crew.context.Process(target=_command, args=given))
        self.started.append(member)
        return member

    def run(self, *arguments, **options):
        return ended(self.start(*arguments, **options))

    def until(self, condition, seconds=60):
        with Store.open(self.url) as store:
            return crew.until(lambda: condition(store), "what the test waits for", seconds)

    def at_work(self):
        """Wait until a trial runs."""
        self.until(lambda store: store.running())

    def close(self):
        for member in self.started:
            member.send(signal.SIGKILL)
            member.ended()


def ended(member, seconds=60):
    """Return exit code, stdout and stderr."""
    code = member.ended(seconds)
    return code, Path(f"{member.log}.out").read_text(), member.said()


def lines(err):
    return [json.loads(line) for line in err.splitlines()]


@pytest.fixture
def home(url, tmp_path):
    made = Home(url, tmp_path / "home")
    with Store.open(url):
        pass
    yield made
    made.close()


@pytest.fixture
def small(tmp_path):
    """A home on SQLite, for what has nothing to do with the database."""
    made = Home(f"sqlite:///{tmp_path}/t.db", tmp_path / "home")
    yield made
    made.close()


def submit(home, trials=3, **changes):
    axes = {
        "distillation": {"student_layers": [1, 2, 3, 6]},
        "quantization": {"bits": [32, 8], "schemes": ["dynamic"]},
        "backend": {"engines": ["torch", "onnxruntime"], "fixed_shape": [False]},
    }
    with Store.open(home.url) as store:
        store.create_study(stub_study(trials=trials, axes=axes, **changes))


def test_draining_does_all_there_is_and_leaves(home):
    submit(home)
    code, out, err = home.run("--drain")
    assert (code, out) == (0, ""), err
    said = lines(err)
    assert all({"worker", "study", "trial", "level", "time", "message", "kind"} <= set(line) for line in said)
    assert {line["worker"] for line in said} == {socket.gethostname()}
    ends = [line for line in said if line["kind"] == "trial-finished"]
    assert [(line["study"], line["trial"], line["total"]) for line in ends] == [
        ("stub", i, 3) for i in range(3)
    ]
    assert all(line["speedup"] > 0 and line["latency_ms"] > 0 for line in ends)
    with Store.open(home.url) as store:
        (study,) = read_overview(store).studies
        (worker,) = read_overview(store).workers
    assert (study.state, study.done, worker.state) == ("finished", 3, "gone")


def test_once_leaves_after_one_trial(small):
    submit(small)
    code, _, err = small.run("--once")
    assert code == 0 and [line["kind"] for line in lines(err)].count("trial-finished") == 1
    with Store.open(small.url) as store:
        assert store.counts(store.get_study("stub"))["complete"] == 1


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_one_signal_finishes_the_trial_at_hand(small, number, code):
    submit(small)
    worker = small.start(seconds=2.0)
    small.at_work()
    worker.send(number)
    found, _, err = ended(worker)
    assert found == code, err
    said = lines(err)
    assert "draining: the trial at hand is finished first; a second signal gives it back" in [
        x["message"] for x in said
    ]
    assert said[-1]["message"] == f"worker {socket.gethostname()} leaves"
    with Store.open(small.url) as store:
        counts = store.counts(store.get_study("stub"))
        assert counts["complete"] == 1 and "running" not in counts
        assert read_overview(store).workers[0].state == "gone"


def test_an_idle_worker_leaves_at_once(small):
    worker = small.start()
    small.until(lambda store: store.workers())
    begin = time.monotonic()
    worker.send(signal.SIGTERM)
    assert ended(worker)[0] == 0 and time.monotonic() - begin < 10


def test_a_second_signal_gives_the_trial_back(home):
    submit(home)
    worker = home.start(seconds=120.0)
    home.at_work()
    worker.send(signal.SIGTERM)
    crew.until(lambda: "draining" in worker.said(), "the first signal is heard")
    worker.send(signal.SIGTERM)
    code, _, err = ended(worker)
    assert code == 130, err
    said = lines(err)
    assert [line["message"] for line in said][-1] == "told twice: leaves at once"
    (back,) = [line for line in said if "was given back" in line["message"]]
    assert back["trial"] == 0
    with Store.open(home.url) as store:
        trial = store.trial(store.get_study("stub"), 0)
        assert (trial.state, trial.attempt, trial.worker) == ("queued", 0, None)


def test_a_killed_worker_gets_its_name_and_its_trial_back(home):
    submit(home, trials=1)
    worker = home.start(seconds=120.0)
    home.at_work()
    worker.send(signal.SIGKILL)
    ended(worker)
    code, _, err = home.run("--drain")
    assert code == 0, err
    said = lines(err)
    assert any("taken back from an earlier process" in line["message"] for line in said)
    assert {line["worker"] for line in said} == {socket.gethostname()}
    with Store.open(home.url) as store:
        (trial,) = store.trials(store.get_study("stub"))
        assert (trial.state, trial.attempt) == ("complete", 2)


def test_workers_that_start_at_once_have_names_of_their_own(home):
    workers = [home.start() for _ in range(3)]
    found = home.until(lambda store: (w := store.workers()) and len(w) == 3 and w)
    host = socket.gethostname()
    assert sorted(worker.name for worker in found) == [host, f"{host}-2", f"{host}-3"]
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [ended(worker)[0] for worker in workers] == [0, 0, 0]


def test_a_name_that_is_at_work_is_refused_in_one_line(small):
    small.start("--name", "mine")
    small.until(lambda store: store.workers())
    code, _, err = small.run("--name", "mine", form="text")
    (line,) = err.splitlines()[1:]
    assert code == 2 and "a worker named 'mine' is at work" in line and "choose another name" in line
    assert " error " in line and "worker=mine" in line


def test_labels_and_what_a_worker_offers_are_signed_on(small):
    worker = small.start("--name", "mine", "--label", "rack=a3", "--label", "zone=b=c", form="text")
    (found,) = small.until(lambda store: read_overview(store).workers)
    assert dict(found.labels) == {"rack": "a3", "zone": "b=c"} and "torch@cpu" in found.engines
    assert found.host == socket.gethostname()
    worker.send(signal.SIGTERM)
    err = ended(worker)[2]
    first, *_ = err.splitlines()
    assert (
        first.split(" ", 2)[1:]
        and "worker mine starts on" in first
        and "worker=mine study=- trial=-" in first
    )


@pytest.mark.parametrize(
    "arguments, says",
    [(["--label", "rack"], "--label"), (["--name", "a b"], "'a b'"), (["--name", "x" * 101], "1 to 100")],
)
def test_bad_options_are_one_line(small, arguments, says):
    code, out, err = small.run(*arguments)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
