"""Ray worker: a worker that has its trials run by the nodes of a Ray cluster."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tuner.errors import TunerError
from tuner.service.coordinator import Coordinator
from tuner.service.heart import Heart
from tuner.service.ray_cluster import Cluster, Node, gist
from tuner.service.ray_errands import Remote
from tuner.service.ray_task import Answer, run_trial
from tuner.service.requires import slots, unmet
from tuner.service.worker import ATTEMPTS, Worker
from tuner.store import Study, Trial
from tuner.store import Worker as WorkerRecord
from tuner.store.leases import CLAIMABLE
from tuner.store.records import TrialState

_SLOTS = 4  # trials that a node runs at once, at most: of more, most would wait for the others' measurements
_FUTILE = 5  # tasks that may end without a claim of the trial that they were made for


def room_on(node: Node, requires: Mapping[str, Any]) -> int:
    """Return how many of a study's trials a node runs at once."""
    rooms = [_SLOTS, node.place.cores // requires["cores"]]
    if requires["memory_mb"]:
        rooms.append(node.memory_mb // requires["memory_mb"])
    return max(1, min(rooms))


@dataclass
class Flight:
    """A trial that Ray was asked to run, and on which nodes it may."""

    trial: Trial
    task: Any
    nodes: list[Node]
    started: bool = False
    told: bool = False


@dataclass
class RayWorker(Worker):
    """A worker that has its trials run by the nodes of a cluster; `leader` is the one that the study goes by.

    `requires` is what the study needs of each of them.
    """

    pipeline: Remote
    cluster: Cluster = field(kw_only=True)
    leader: Node = field(kw_only=True)
    requires: Mapping[str, Any] = field(kw_only=True)
    _flights: dict[str, Flight] = field(default_factory=dict)
    _coordinators: dict[str, Coordinator] = field(default_factory=dict)
    _futile: Counter[str] = field(default_factory=Counter)
    _said: set[str] = field(default_factory=set)

    # -- coming and going

    def _sign_on(self) -> WorkerRecord:
        """Sign on, and take back what the nodes of an earlier process of this name left: they died with it."""
        me = super()._sign_on()
        for other in self.store.workers():
            if other.name.startswith(f"{self.name}@"):
                self.store.take_back(other.name, ATTEMPTS)
                self.store.sign_off(other)
        return me

    @contextlib.contextmanager
    def _alive(self, me: WorkerRecord) -> Iterator[Heart]:
        with super()._alive(me) as heart:
            self._me = me
            self._coordinator = self._coordinator_on(self.leader)
            yield heart

    def _coordinator_on(self, node: Node) -> Coordinator:
        """Return the coordinator that acts for a node's hardware, in this process."""
        hardware = node.host.fingerprint
        if hardware not in self._coordinators:
            me, pipeline = replace(self._me, capabilities=node.capabilities), self.pipeline.on(hardware)
            self._coordinators[hardware] = Coordinator(
                *(self.store, me, node.host, pipeline, self._heart, self.progress, self.lease_s), alone=True
            )
        return self._coordinators[hardware]

    def _work(self) -> None:
        try:
            self._welcome()
            super()._work()
            self._land()
        except BaseException:
            self._abort()
            raise
        finally:
            self.cluster.close()

    def _welcome(self) -> None:
        """Make each node that is new a worker in the store; it lives there as long as Ray says so."""
        for node in [node for node in self.cluster.ready() if node.worker is None]:
            assert node.found is not None
            able = {**node.capabilities, "slots": room_on(node, self.requires)}
            worker = self.store.sign_on(f"{self.name}@{node.id[:8]}", node.found.pid, able, node.host)
            node.duties.callback(self.store.sign_off, worker)
            node.duties.enter_context(Heart(self.store, worker, self.lease_s, lambda: None))
            node.worker = worker
            node.place = replace(
                node.place,
                url=self.store.url.render_as_string(hide_password=False),
                study=(self._study.id, self._study.name),
                worker=worker,
                lease_s=self.lease_s,
            )

    def _land(self) -> None:
        """Let what runs come to its end; what waits for room stays queued."""
        running = {trial.id for trial in self._trials("running")}
        for flight in self._flights.values():
            if flight.trial.id not in running:
                self.cluster.cancel(flight.task)
        while self._flights:
            self.cluster.look()
            self._collect()

    def _abort(self) -> None:
        """End what runs; it is queued again, and the attempt does not count."""
        for flight in self._flights.values():
            self.cluster.cancel(flight.task, force=True)
        with contextlib.suppress(TunerError):
            for trial in self._trials("running"):
                if trial.id in self._flights and self.cluster.worker(trial.worker):
                    self._give_back(self.store.study_of(trial), trial, TunerError("aborted"))

    # -- one turn

    def _turn(self) -> bool:
        """Coordinate, hand queued trials to Ray, and take in what came back; False when it is time to leave."""
        if self._heart.superseded:
            return False
        self.cluster.look()
        self._welcome()
        self._sweep()
        self._coordinate(idle=False)
        self._submit()
        if self._idle() and self._coordinate(idle=True):
            self._submit()
        self._collect()
        return bool(self._flights or self._open_studies())

    def _look(self, study: Study, idle: bool) -> Study | None:
        """Look at the study; at its end also for the other kinds of hardware that it was measured on."""
        self._announce()  # first: what follows may be the confirmation, and last long
        found = super()._look(study, idle)
        for node in self.cluster.ready():
            if found is not None and found.state == "confirming":
                found = self._coordinator_on(node).look(found) or found
        return found

    def _submit(self) -> None:
        """Make each queued trial a task. Which of them runs when and where is for Ray to say."""
        if not self._open_studies() or self._open_studies()[0].state not in CLAIMABLE:
            return
        for trial in self._trials("queued"):
            if trial.id not in self._flights:
                nodes = self.cluster.able(trial.requires)
                if nodes:
                    self._flights[trial.id] = self._flight(trial, nodes)
                else:
                    self._say_nobody(trial)

    def _flight(self, trial: Trial, nodes: list[Node]) -> Flight:
        name = f"{self._study.name}: trial {trial.number}"
        return Flight(
            trial, self.cluster.submit(run_trial, nodes, trial.requires, trial.id, name=name), nodes
        )

    def _say_nobody(self, trial: Trial) -> None:
        """Say once of trials that need the same that they wait for a node; `tuner status` says so as long as it lasts.

        Raises:
            TunerError: no node is left, for they all had to give up.
        """
        why = self.cluster.lacking(lambda node: unmet(trial.requires, node.capabilities))
        given_up = [n for n in self.cluster.nodes.values() if n.alive and n.refused and n.worker]
        if given_up and not self.cluster.ready():
            raise TunerError(f"no node of the cluster can go on: {why}")
        message = f"trial {trial.number} waits: no node of the cluster can run it: {why}"
        if (key := repr(trial.requires)) not in self._said:
            self._said.add(key)
            self.progress.note(message, self.only, trial)
            self.store.add_event("waiting", message, self.only, trial.id)

    def _idle(self) -> bool:
        """Say whether a node has room that none of the waiting trials can use."""
        running = self._trials("running")
        busy = Counter(trial.worker for trial in running)
        taken = {trial.id for trial in running}
        waiting = [f for f in self._flights.values() if f.trial.id not in taken]
        return any(
            busy[node.worker.name] < slots(node.worker.capabilities)
            and not any(node in flight.nodes for flight in waiting)
            for node in self.cluster.ready()
            if node.worker is not None
        )

    # -- what comes back

    def _collect(self) -> None:
        """Wait a moment for tasks that end, and take in what came of them."""
        self._announce()
        self._strand()
        tasks = {flight.task: flight for flight in self._flights.values()}
        if not tasks:
            self._woken.wait(self.poll_s)
            self._woken.clear()
            return
        done, _ = self.cluster.ray.wait(list(tasks), num_returns=1, timeout=self.poll_s)
        if done:
            done, _ = self.cluster.ray.wait(list(tasks), num_returns=len(tasks), timeout=0)
        for task in done:
            self._take_in(self._flights.pop(tasks[task].trial.id))

    def _announce(self) -> None:
        """Say which trials have begun and which have ended; the table knows it before Ray does."""
        unfinished = {trial.id: trial for trial in self._trials("queued", "running")}
        for flight in self._flights.values():
            self._tell(flight, unfinished.get(flight.trial.id))

    def _tell(self, flight: Flight, known: Trial | None = None) -> Trial:
        trial = known or self._now(flight.trial)
        ended = trial.state in ("complete", "failed", "pruned")
        if not flight.started and (ended or trial.state == "running"):
            flight.started = True
            self.progress.started(self._study, trial)
        if ended and not flight.told:
            flight.told = True
            self._coordinator.look(self.store.study_of(trial), upto="hear")
            self.progress.finished(self.store.study_of(trial), trial)
        return trial

    def _strand(self) -> None:
        """Take back the tasks that only wait for nodes that have left: Ray would let them wait for ever."""
        for flight in self._flights.values():
            if not flight.started and not any(node.ready for node in flight.nodes):
                self.cluster.cancel(flight.task)

    def _take_in(self, flight: Flight) -> None:
        errors = self.cluster.ray.exceptions
        try:
            answer: Answer = self.cluster.ray.get(flight.task)
        except errors.TaskCancelledError:
            return
        except errors.RayTaskError:  # a bug of ours: nothing to go on with
            raise
        except errors.RayError as error:
            self._mourn(flight, error)
            return
        for note in answer.notes:
            self.progress.note(note, self.only, flight.trial)
        if answer.error is not None:
            self.cluster.refuse(self.cluster.nodes[answer.node], str(answer.error))
        self._tell(flight)

    def _mourn(self, flight: Flight, error: Exception) -> None:
        """End the lease of a trial whose process or node died: it costs one attempt, and no wait."""
        trial = self._now(flight.trial)
        node = self.cluster.worker(trial.worker)
        self.cluster.mourn(error)
        if trial.state == "running" and node is not None:
            taken = self.store.take_trial(trial, ATTEMPTS)
            if taken is not None:
                self.progress.note(
                    f"trial {trial.number}: lost on {node.name}: {gist(error)}; it is {taken.state} now",
                    self.only,
                    trial,
                )
        died = isinstance(error, self.cluster.ray.exceptions.NodeDiedError)
        if self._tell(flight).state == "queued" and node is None and not died:
            self._count(trial, error)

    def _count(self, trial: Trial, error: Exception) -> None:
        """Count a task that died before it had claimed its trial: no attempt, but not for ever either.

        Raises:
            TunerError: it was one too many.
        """
        self._futile[trial.id] += 1
        if self._futile[trial.id] >= _FUTILE:
            raise TunerError(f"Ray does not get trial {trial.number} to run: {gist(error)}")

    def _now(self, trial: Trial) -> Trial:
        return self.store.trial(self._study, trial.number)

    def _trials(self, *states: TrialState) -> list[Trial]:
        return self.store.trials(self._study, states)

    @property
    def _study(self) -> Study:
        assert self.only is not None
        return self.only
