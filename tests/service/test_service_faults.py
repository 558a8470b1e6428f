"""What a search survives: each fault is a row of the table below, played on both databases.

Workers are processes that fail at a named point (`TUNER_FAULT`), are killed, frozen or told to end; after each of them
another one finishes the study, and everything must add up.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests.databases import Server, find_binaries
from tests.service.crew import Crew, Member, until
from tests.service.stub import stub_study
from tests.service.whole import assert_whole, left_of, noted
from tuner.store import Store, Study, Trial
from tuner.store.optuna_storage import open_optuna_storage

_BESIDE = 4  # faults played at a time: most of their time they wait for leases to end
_BOTH = ("sqlite", "postgresql")
_migrating = threading.Lock()  # alembic is not made for several threads


class Scene:
    """A study on a database of its own, and its workers."""

    def __init__(self, url: str, folder: Path, server: Server | None) -> None:
        self.url, self.server, self.crew = url, server, Crew(url, folder)
        self.start = self.crew.start

    @functools.cached_property
    def store(self) -> Store:
        with _migrating:
            return Store.open(self.url)

    def submit(self, trials: int = 5) -> None:
        self.store.create_study(stub_study("s", trials=trials))

    @property
    def study(self) -> Study:
        return self.store.get_study("s")

    def trials(self, *states: str) -> list[Trial]:
        return self.store.trials(self.study, states or None)

    def running(self) -> Trial:
        """Wait until a trial runs and return it."""
        return until(lambda: self.trials("running"), "a running trial")[0]

    def whole(self, lost: int | None = 0, alive: Sequence[Member] = ()) -> list[Trial]:
        """Check that nothing was lost or done twice, and that no process is left but those that still live."""
        found = assert_whole(self.store, "s", lost)
        assert left_of(m.pid for m in self.crew.members if m not in alive) == []
        return found

    def sql(self, *statements: str) -> None:
        engine = create_engine(
            make_url(self.url).set(drivername="postgresql+psycopg" if self.server else "sqlite")
        )
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()


Play = Callable[[Scene], str]


@dataclass(frozen=True)
class Fault:
    """A row: what happens, how it is played, and on which databases. `play` returns what was seen."""

    name: str
    play: Play
    on: tuple[str, ...] = _BOTH


# --- kill -9


def _one_runs(scene: Scene) -> bool:
    return [t.worker for t in scene.trials("running")] == ["A"]


def _one_untold(scene: Scene) -> bool:
    return not scene.trials("running") and [t.told for t in scene.trials("complete")].count(False) == 1


def _one_asked(scene: Scene) -> bool:
    import optuna

    study = optuna.load_study(study_name=scene.study.optuna_name, storage=open_optuna_storage(scene.store))
    stored = {t.optuna_number for t in scene.trials()}
    return len([t for t in study.trials if t.state.name == "RUNNING" and t.number not in stored]) == 1


def _none_confirmed(scene: Scene) -> bool:
    return scene.study.state == "confirming" and not any(t.confirmed for t in scene.trials())


def killed(fault: str, leaves: Callable[[Scene], bool], lost: int, heir: str = "B") -> Play:
    """A worker is killed at a point; `heir` goes on, another one, or a new process of the same name."""

    def play(scene: Scene) -> str:
        scene.submit()
        assert scene.start("A", fault).ended() == -signal.SIGKILL
        assert leaves(scene)
        successor = scene.start(heir)
        assert successor.ended() == 0, successor.said()
        scene.whole(lost)
        how = "at once, under its name" if heir == "A" else "after the lease"
        return f"taken over {how}; attempts counted: {lost}"

    return play


def poisoned(scene: Scene) -> str:
    """A candidate that kills whoever runs it."""
    scene.submit()
    for count in (2, 1, 1):
        assert scene.start("A", f"in_build:kill,{count}").ended() == -signal.SIGKILL
    assert scene.start("B").ended() == 0
    failed = [t for t in scene.whole(lost=3) if t.state == "failed"]
    assert [(t.number, t.kind, t.attempt) for t in failed] == [(1, "lost", 3)]
    assert failed[0].reason == "3 workers were lost while they ran it, the last of them A"
    return f"failed after 3 attempts: {failed[0].reason}"


# --- told to end


def drained(scene: Scene) -> str:
    """SIGTERM once: the trial at hand is finished."""
    scene.submit()
    worker = scene.start("A", seconds=1.5)
    at_hand = scene.running()
    worker.send(signal.SIGTERM)
    assert worker.ended() == 0, worker.said()
    done = [(t.number, t.state, t.attempt) for t in scene.trials() if t.state != "queued"]
    assert done == [
        (number, "complete", 1) for number in range(at_hand.number + 1)
    ]  # and none was begun after it
    assert scene.start("B").ended() == 0
    scene.whole()
    return "the trial at hand was finished, exit 0"


def aborted(scene: Scene) -> str:
    """SIGTERM twice: the trial at hand is given back, and no attempt counted."""
    scene.submit()
    worker = scene.start("A", seconds=60.0)
    at_hand = scene.running()
    worker.send(signal.SIGTERM)
    time.sleep(0.2)
    assert worker.exitcode is None
    worker.send(signal.SIGTERM)
    began = time.monotonic()
    assert worker.ended() == 130, worker.said()
    took = time.monotonic() - began
    assert [(t.number, t.state, t.attempt) for t in scene.trials()] == [(at_hand.number, "queued", 0)]
    assert scene.start("B").ended() == 0
    scene.whole()
    return f"given back in {took:.1f} s, no attempt counted, exit 130"


# --- frozen


def frozen(fault: str, refused: str, lost: int) -> Play:
    """SIGSTOP past the lease: another one takes over and finishes; then SIGCONT, and the late write is refused."""

    def play(scene: Scene) -> str:
        scene.submit(trials=3)
        sleeper = scene.start("A", fault, slowness=3.0)  # what it writes late would move the clock
        until(lambda: sleeper.frozen, "A is frozen")
        assert scene.start("B").ended() == 0
        before = scene.whole(lost, alive=[sleeper])
        sleeper.send(signal.SIGCONT)
        assert sleeper.ended() == 0, sleeper.said()
        assert refused in sleeper.said()
        assert scene.whole(lost) == before
        return "another finished; the late write was refused; it went on and ended with exit 0"

    return play


def frozen_for_a_while(scene: Scene) -> str:
    """SIGSTOP past the lease, then SIGCONT while the other one is at it: both go on."""
    scene.submit(trials=8)
    sleeper = scene.start("A", "in_measure:stop,2")
    until(lambda: sleeper.frozen, "A is frozen")
    at_hand = scene.running()
    other = scene.start("B", seconds=0.2)
    until(lambda: scene.trials()[at_hand.number].worker == "B", "B has taken over")
    sleeper.send(signal.SIGCONT)
    assert (sleeper.ended(), other.ended()) == (0, 0), sleeper.said()
    assert f"trial {at_hand.number} " in sleeper.said() and "is dropped" in sleeper.said()
    found = scene.whole(lost=1)
    assert found[at_hand.number].worker == "B"
    again = sum(t.worker == "A" for t in found[at_hand.number :])
    return f"its result was refused; it went on and ran {again} more trials"


def superseded(scene: Scene) -> str:
    """SIGSTOP, and a new process of its name starts: the old one ends when it wakes."""
    scene.submit()
    sleeper = scene.start("A", "in_build:stop,2")
    until(lambda: sleeper.frozen, "A is frozen")
    heir = scene.start("A", seconds=0.3)
    until(lambda: "taken back" in heir.said(), "the new A took the trial back")
    sleeper.send(signal.SIGCONT)
    assert sleeper.ended() == 1
    assert "another worker named 'A' has started and goes on" in sleeper.said().splitlines()[-1]
    assert heir.ended() == 0, heir.said()
    scene.whole(lost=1)
    return "the new one took its trial back at once; the old one ended with exit 1 and one line"


# --- no room


def disk_full(scene: Scene) -> str:
    """The worker's disk is full: it gives the trial back and ends, another one finishes."""
    scene.submit()
    return _full(scene, scene.start("A", "in_build:full,3"), 2)


def database_full(scene: Scene) -> str:
    """The database's disk is full when a result is written."""
    scene.submit()
    if scene.server is None:
        body = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        scene.sql(f"CREATE TRIGGER no_room BEFORE INSERT ON tuner_measurement {body}")
    else:
        body = "BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END"
        scene.sql(
            f"CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
            "CREATE TRIGGER no_room BEFORE INSERT ON tuner_measurement EXECUTE FUNCTION no_room()",
        )
    worker = scene.start("A")
    worker.ended()
    scene.sql("DROP TRIGGER no_room" + (" ON tuner_measurement" if scene.server else ""))
    return _full(scene, worker, 0)


def _full(scene: Scene, worker: Member, number: int) -> str:
    assert worker.ended() == 1, worker.said()
    last = worker.said().splitlines()[-1]
    assert "no space left" in last and "Traceback" not in worker.said()
    assert [(t.state, t.attempt, t.worker) for t in scene.trials()][number] == ("queued", 0, None)
    assert scene.start("B").ended() == 0
    scene.whole()
    return f"given back, no attempt counted; exit 1: “{last[:60]}…”"


# --- the database


def connections_ended(scene: Scene) -> str:
    """The server's administrator ends all connections, again and again."""
    scene.submit(trials=10)
    workers = [scene.start(name, seconds=0.1) for name in "AB"]
    until(lambda: len(scene.store.workers()) == 2, "both have signed on")
    ended = 0
    for _ in range(8):
        ended += scene.server.terminate_connections(scene.url)
        time.sleep(0.3)
    assert [worker.ended() for worker in workers] == [0, 0], workers[0].said() + workers[1].said()
    found = scene.whole(lost=None)
    return f"{ended} connections ended, 10 of 10 trials, {sum(t.attempt for t in found)} attempts"


def server_restarted(scene: Scene) -> str:
    """A server of its own goes down twice, once as in a crash."""
    scene.submit(trials=12)
    workers = [scene.start(name, seconds=0.2) for name in "AB"]
    for how, done in (("fast", 2), ("immediate", 6)):
        until(lambda done=done: len(scene.trials("complete")) >= done, f"{done} trials")
        scene.server.restart(how, pause=0.5)
    assert [worker.ended() for worker in workers] == [0, 0], workers[0].said() + workers[1].said()
    found = scene.whole(lost=None)
    return f"12 of 12 trials, {sum(t.attempt for t in found)} attempts"


def file_held(scene: Scene) -> str:
    """Another program writes into the SQLite file for 20 seconds."""
    scene.submit(trials=8)
    workers = [scene.start(name, seconds=0.2, lease=30.0) for name in "AB"]
    until(lambda: len(scene.trials("complete")) >= 2, "2 trials")
    other = sqlite3.connect(make_url(scene.url).database, isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    done = len(scene.trials("complete"))
    time.sleep(20)
    assert len(scene.trials("complete")) == done
    other.execute("ROLLBACK")
    other.close()
    assert [worker.ended() for worker in workers] == [0, 0], workers[0].said() + workers[1].said()
    scene.whole()
    return "all waited; nothing lost, no attempt counted"


def eight_at_once(scene: Scene) -> str:
    """Eight workers start at once on an empty database, and then there is a study."""
    workers = [scene.start(f"w{i}", drain=False) for i in range(8)]
    scene.submit(trials=10)
    until(lambda: scene.study.state == "finished", "the end of the study")
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.ended() for worker in workers] == [0] * 8, "\n".join(w.said() for w in workers)
    found = scene.whole()
    return f"all started; 10 of 10 trials by {len({t.worker for t in found})} of them"


FAULTS = [
    Fault("kill -9 after claim", killed("after_claim:kill,3", _one_runs, 1)),
    Fault("kill -9 after claim, restarted", killed("after_claim:kill,3", _one_runs, 1, heir="A")),
    Fault("kill -9 in build", killed("in_build:kill,3", _one_runs, 1)),
    Fault("kill -9 in measurement", killed("in_measure:kill,3", _one_runs, 1, heir="A")),
    Fault("kill -9 before the result is written", killed("before_result:kill,3", _one_runs, 1)),
    Fault("kill -9 after the result is written", killed("after_result:kill,3", _one_untold, 0)),
    Fault("kill -9 of the coordinator between ask and queue", killed("after_ask:kill,3", _one_asked, 0)),
    Fault("kill -9 of the coordinator before tell", killed("before_tell:kill,3", _one_untold, 0, heir="A")),
    Fault("kill -9 of the coordinator in the confirmation", killed("in_confirm:kill", _none_confirmed, 0)),
    Fault("a candidate that kills three workers", poisoned),
    Fault("SIGTERM once", drained),
    Fault("SIGTERM twice", aborted),
    Fault("SIGSTOP before the result, SIGCONT", frozen("before_result:stop,2", "its result is dropped", 1)),
    Fault("SIGSTOP in build, SIGCONT meanwhile", frozen_for_a_while),
    Fault("SIGSTOP before ask, SIGCONT", frozen("before_ask:stop,2", "is not coordinated by A", 0)),
    Fault("SIGSTOP between ask and queue, SIGCONT", frozen("after_ask:stop,2", "is not coordinated by A", 0)),
    Fault("SIGSTOP before tell, SIGCONT", frozen("before_tell:stop,2", "is not coordinated by A", 0)),
    Fault("SIGSTOP in the confirmation, SIGCONT", frozen("in_confirm:stop", "is not coordinated by A", 0)),
    Fault("SIGSTOP, restarted under its name, SIGCONT", superseded),
    Fault("the worker's disk is full", disk_full),
    Fault("the database's disk is full", database_full),
    Fault("connections terminated every 0.3 s", connections_ended, ("postgresql",)),
    Fault("the database restarted twice", server_restarted, ("postgresql",)),
    Fault("the file held by another writer for 20 s", file_held, ("sqlite",)),
    Fault("eight workers on an empty database", eight_at_once),
]
ROWS = [
    pytest.param(fault, kind, id=f"{fault.name}-{kind}".replace(" ", "_"))
    for fault in sorted(FAULTS, key=lambda f: f.play is not file_held)  # the longest first
    for kind in fault.on
]


@pytest.fixture(scope="module")
def played(request, tmp_path_factory) -> Iterator[Callable[[Fault, str], str]]:
    """A function that waits for a fault's end. All that were chosen are played beside each other."""
    chosen = [
        i.callspec.params for i in request.session.items if i.path == request.path and hasattr(i, "callspec")
    ]
    server = None
    with contextlib.suppress(pytest.skip.Exception):
        server = request.getfixturevalue("postgresql")
    rows: dict[tuple[str, str], Future[str]] = {}
    with ThreadPoolExecutor(_BESIDE) as pool:
        for fault, kind in ((c["fault"], c["kind"]) for c in chosen if "fault" in c):
            if kind == "sqlite" or server is not None:
                folder = tmp_path_factory.mktemp("scene")
                rows[fault.name, kind] = pool.submit(_play, fault, kind, folder, server)
        yield lambda fault, kind: rows[fault.name, kind].result()
        for row in rows.values():
            row.cancel()


def _play(fault: Fault, kind: str, folder: Path, server: Server | None) -> str:
    began = time.monotonic()
    with _database(fault, kind, folder, server) as (url, its_server):
        scene = Scene(url, folder, its_server)
        with scene.crew:
            seen = fault.play(scene)
        scene.store.close()
    return noted(fault.name, kind, seen, began)


@contextlib.contextmanager
def _database(
    fault: Fault, kind: str, folder: Path, server: Server | None
) -> Iterator[tuple[str, Server | None]]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/tuner.db", None
    elif fault.play is server_restarted:  # the others' must not go down
        own = Server(find_binaries())
        try:
            own.create()
            own.sql("ALTER DATABASE postgres SET synchronous_commit = on")  # a crash must not lose commits
            yield own.url("postgres"), own
        finally:
            own.remove()
    else:
        with server.database() as url:
            yield url, server


@pytest.mark.parametrize(("fault", "kind"), ROWS)
def test_everything_adds_up_after(fault, kind, played, request):
    if kind == "postgresql":
        request.getfixturevalue("postgresql")
    assert played(fault, kind)
