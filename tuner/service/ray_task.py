"""What runs on the nodes of a Ray cluster: a look at the node, one trial, the preparation, the confirmation.

These are plain functions: Ray calls them in processes of its own, which it keeps for later tasks. What is expensive
(the zygote, the reference worker, the prepared study) hangs on such a process and is found again by the next task of
the same place. One actor for each slot of a node would do the same, and a call of it costs 0.6 ms where a task costs 2.
But an actor holds its resources as long as the study lasts, while a task holds what its own trial requires, for as long
as that runs. And the processes do stay: Ray gives a task to the one that was idle for the shortest time, whatever the
task requires, and ends none as long as there are no more of them than CPUs (60 tasks of one to three CPUs, and others
after pauses of four seconds, all ran in one process).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import psutil

from tuner.backends.registry import offers
from tuner.candidate import Candidate
from tuner.errors import InputError, TunerError
from tuner.hardware import Host, this_host, usable_cores
from tuner.service.events import Event
from tuner.service.pipeline import Confirmation, Pipeline
from tuner.service.progress import Progress
from tuner.service.requires import capabilities
from tuner.service.worker import Worker
from tuner.store import Store, Study, database_url
from tuner.store import Worker as WorkerRecord
from tuner.store.home import sqlite_file

Found = TypeVar("Found")


@dataclass(frozen=True)
class Place:
    """What a node is to the study: how much of it Ray gives away, and the worker that it is in the store."""

    node: str  # as people are told of it
    cores: int
    pipeline: str  # `module:callable`, called with the host and a listener for stages
    url: str = ""
    study: tuple[str, str] = ("", "")  # its id and its name
    worker: WorkerRecord | None = None
    lease_s: float = 30.0


@dataclass(frozen=True)
class Survey:
    """What a node said of itself."""

    host: Host
    capabilities: Mapping[str, Any]
    pid: int
    version: str


@dataclass(frozen=True)
class Answer:
    """What came of a task; `error` is one that says that this node cannot do such a thing, `notes` for people."""

    value: Any = None
    error: TunerError | None = None
    notes: tuple[str, ...] = ()
    node: str = ""  # its id


class NodeWorker(Worker):
    """A node's worker, already signed on: it takes the trials that it is told to and coordinates nothing."""

    def take_one(self, me: WorkerRecord, study: str, trial: str) -> None:
        """Claim a trial, evaluate it and write what came back; nothing happens if it is not to be had any more.

        Raises:
            TunerError: this node cannot evaluate any trial: the disk is full, the database is out of reach.
        """
        with self._alive(me):
            found = self.store.claim_trial(self.name, self._meets, self.lease_s, self.host, study, trial)
            if found is not None:
                self._take(found)
            if study in self._coordinator.refused:
                raise InputError("data or model of the study cannot be used there")


class Seat:
    """A process's place at work: the worker and what it holds in memory, from one task to the next."""

    _taken: Seat | None = None

    def __init__(self, place: Place) -> None:
        assert place.worker is not None
        self.place, self._notes = place, list[str]()
        self.store = _shared_store(place)
        progress = Progress(self.store, self._note)
        host, able = _confined_host(place), place.worker.capabilities
        self.pipeline = _pipeline(place, host, progress.stage)
        self.worker = NodeWorker(
            self.store, place.worker.name, host, able, self.pipeline, progress, lease_s=place.lease_s
        )

    @classmethod
    def at(cls, place: Place) -> Seat:
        """Return this process's seat, a new one if the last was another place's."""
        if cls._taken is None or cls._taken.place != place:
            if cls._taken is not None:
                cls._taken.leave()
            cls._taken = Seat(place)
        return cls._taken

    def leave(self) -> None:
        """End what it holds."""
        Seat._taken = None
        self.pipeline.close()
        self.store.close()

    def take_notes(self) -> tuple[str, ...]:
        """Return what people should know, once."""
        taken, self._notes = self._notes, []
        return tuple(taken)

    def _note(self, event: Event) -> None:
        if event.kind == "note":
            self._notes.append(event.message)


def at_place(function: Callable[..., Answer], places: Mapping[str, Place], *arguments: Any) -> Answer:
    """Call a function with the place of the node that Ray chose for it."""
    import ray

    with _whole():
        node = ray.get_runtime_context().get_node_id()
        return replace(function(places[node], *arguments), node=node)


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Let what has begun come to its end: a task that is cancelled is one that waits, or its process is killed.

    Ray's way to cancel a task that runs is a KeyboardInterrupt wherever it is at the time. In the middle of what a
    library does once for a process (SQLAlchemy sets up its mappers with the first query) that leaves behind something
    half made, and Ray gives the same process the next task.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def survey(place: Place) -> Answer:
    """Look at the node: its hardware within what Ray gives away of it, and its engines."""
    host = _confined_host(place)
    able = capabilities(host, offers(host))
    return Answer(Survey(host, able, os.getpid(), importlib.metadata.version("tuner")))


def run_trial(place: Place, trial: str) -> Answer:
    """Run a trial under the node's own lease; what came of it is in the store."""
    return _answer(place, lambda seat: seat.worker.take_one(_record(place), place.study[0], trial))


def prepare(place: Place, study: Study) -> Answer:
    """Prepare data and teacher, and return what the teacher's structure allows."""
    return _answer(place, lambda seat: seat.pipeline.anatomy(study))


def confirm(place: Place, study: Study, candidates: Sequence[Candidate]) -> Answer:
    """Measure finalists again, in one interleaved run."""

    def found(seat: Seat) -> list[Confirmation]:
        return seat.pipeline.confirm(study, candidates)

    return _answer(place, found)


def _answer(place: Place, call: Callable[[Seat], Any]) -> Answer:
    try:
        _confined_host(place)
        seat = Seat.at(place)
        value = call(seat)
    except TunerError as error:
        return Answer(error=error, notes=Seat._taken.take_notes() if Seat._taken else ())
    return Answer(value, notes=seat.take_notes())


def _record(place: Place) -> WorkerRecord:
    assert place.worker is not None
    return place.worker


def _confined_host(place: Place) -> Host:
    """Return this host, of which a node with fewer CPUs has only those: children inherit it, and so do measurements.

    Ray tells each task's process to compute with as many threads as the task has CPUs. Ours do not compute; what
    their children may use is for the study to say.
    """
    usable = usable_cores()
    if hasattr(os, "sched_setaffinity") and place.cores < len(usable):
        os.sched_setaffinity(0, usable[: place.cores])
    if "OMP_NUM_THREADS" not in psutil.Process().environ():  # as it was when the process started
        os.environ.pop("OMP_NUM_THREADS", None)
    return this_host()


def _shared_store(place: Place) -> Store:
    """Open the study's database, and make sure that it is the same one here.

    Raises:
        InputError: it is not.
    """
    file = sqlite_file(database_url(place.url))
    hint = "a SQLite file serves where all nodes share the file system; use PostgreSQL (TUNER_DB) elsewhere"
    if file is not None and not file.exists():
        raise InputError(f"the database {file} is not there; {hint}")
    store = Store.open(place.url)
    identity, name = place.study
    found = store.find_study(name)
    if found is None or found.id != identity:
        store.close()
        raise InputError(f"the database {database_url(place.url)} is another one there; {hint}")
    return store


def _pipeline(place: Place, host: Host, stage: Callable[[str], None]) -> Pipeline:
    module, _, name = place.pipeline.partition(":")
    made: Pipeline = getattr(importlib.import_module(module), name)(host, stage)
    return made
