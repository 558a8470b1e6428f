"""Worker: claims trials, has them evaluated, writes what came back, and coordinates studies in its free moments."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from tuner.errors import (
    BuildError,
    InputError,
    JobError,
    LeaseLostError,
    StoreError,
    StoreUnavailableError,
    TunerError,
    UnsupportedError,
)
from tuner.faults import fault
from tuner.hardware import Host
from tuner.pipeline.gate import GivenUp
from tuner.service.coordinator import Coordinator
from tuner.service.heart import Heart
from tuner.service.pipeline import Pipeline
from tuner.service.progress import Progress
from tuner.service.record import disturbances, record, record_failure, record_given_up
from tuner.service.requires import unmet
from tuner.store import Store, Study, Trial
from tuner.store import Worker as WorkerRecord
from tuner.store.leases import COORDINATED, lease_of, lease_seconds

ATTEMPTS = 3  # workers that may be lost with a trial, where its study says nothing else
_INFRASTRUCTURE = ("disk-full",)  # no property of the candidate: the trial goes back, and this worker ends
_FORGOTTEN = 7 * 86400.0  # seconds after which a worker that nobody heard of is not remembered


@dataclass
class Worker:
    """One worker. `only` confines it to a study, until that is over; `drain` ends it once there is nothing left to do.

    `draining` (set by a signal) ends it after the trial at hand; `once` after one trial.
    """

    store: Store
    name: str
    host: Host
    capabilities: Mapping[str, Any]
    pipeline: Pipeline
    progress: Progress
    only: Study | None = None
    once: bool = False
    drain: bool = False
    poll_s: float = 0.5
    lease_s: float = field(default_factory=lease_seconds)
    draining: bool = False
    taken: int = 0
    _woken: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Work until told to end, or until there is nothing left.

        Raises:
            InputError: a worker of this name is at work.
            TunerError: the disk is full, or the database cannot be written: what was claimed is given back.
        """
        me = self._sign_on()
        with self._alive(me) as heart:
            try:
                self._work()
                if not heart.superseded:
                    self.store.sign_off(me)
            except StoreUnavailableError:
                raise
            except BaseException:  # what it had is given back: it is not to be waited for
                if not heart.superseded:
                    with contextlib.suppress(TunerError):
                        self.store.sign_off(me)
                raise
            finally:
                self.pipeline.close()
        if heart.superseded:
            raise TunerError(f"another worker named {self.name!r} has started and goes on with its work")

    def wake(self) -> None:
        """End a wait, from any thread or signal handler."""
        self._woken.set()

    @contextlib.contextmanager
    def _alive(self, me: WorkerRecord) -> Iterator[Heart]:
        with Heart(self.store, me, self.lease_s, self.pipeline.abort) as heart:
            self._heart = heart
            self._coordinator = Coordinator(
                *(self.store, me, self.host, self.pipeline, heart, self.progress, self.lease_s),
                alone=self.only is not None,
            )
            yield heart

    def _work(self) -> None:
        while not self.draining and self._turn():
            pass

    # -- one turn

    def _turn(self) -> bool:
        """Coordinate, run one trial, or wait; False when it is time to leave."""
        if self._heart.superseded:
            return False
        self._sweep()
        self._coordinate(idle=False)
        trial = self._claim()
        if trial is None and self._coordinate(idle=True):
            trial = self._claim()
        if trial is not None:
            self._take(trial)
            return not self.once
        return self._rest()

    def _sweep(self) -> None:
        for trial in self.store.sweep(ATTEMPTS, lambda: self._heart.steady):
            study, lost = self.store.study_of(trial), f"its worker was lost; it is {trial.state} now"
            self.progress.note(f"trial {trial.number}: {lost}", study, trial)

    def _coordinate(self, idle: bool) -> bool:
        looked = [self._look(study, idle) for study in self._open_studies() if not self.draining]
        return any(found is not None for found in looked)

    def _look(self, study: Study, idle: bool) -> Study | None:
        try:
            found = self._coordinator.look(study, idle)
        except TunerError as error:
            if self.only is not None or isinstance(error, InputError) or _is_infrastructure(error):
                raise  # what is wrong with a study's data or model was noted: an InputError is the database's
            self._coordinator.refused.add(study.id)  # others may have more luck; we go on with other studies
            self.progress.note(f"study {study.name}: {error}", study)
            return None
        if found is not None and self.only is None and found.state not in COORDINATED:
            self.progress.ended(found)
        return found

    def _open_studies(self) -> list[Study]:
        return self.store.open_studies(None if self.only is None else self.only.name)

    def _claim(self) -> Trial | None:
        if self.draining:
            return None
        refused, studies = self._coordinator.refused, self.only.id if self.only else None
        if refused and not studies:
            return self._claim_among([s for s in self._open_studies() if s.id not in refused])
        return self.store.claim_trial(self.name, self._meets, self.lease_s, self.host, studies)

    def _claim_among(self, studies: list[Study]) -> Trial | None:
        for study in studies:
            found = self.store.claim_trial(self.name, self._meets, self.lease_s, self.host, study.id)
            if found is not None:
                return found
        return None

    def _meets(self, requires: Mapping[str, Any]) -> bool:
        return unmet(requires, self.capabilities) is None

    def _rest(self) -> bool:
        """Wait for work; False where none is to come."""
        if self.only is not None or self.drain:
            left = [s for s in self._open_studies() if s.id not in self._coordinator.refused]
            if not any(self.only is not None or self._coordinator.takes_part(study) for study in left):
                return False
        self._wait()
        return True

    def _wait(self) -> None:
        """Wait a moment, and on while somebody measures on this machine: our looks would cost their latencies."""
        longest = time.monotonic() + self.lease_s
        while not self._woken.wait(self.poll_s) and self.pipeline.others_measure():
            if time.monotonic() > longest:
                break
        self._woken.clear()

    # -- one trial

    def _take(self, trial: Trial) -> None:
        """Evaluate a claimed trial and write what came back; a trial that is another's by then is dropped."""
        self.taken += 1
        fault("after_claim")
        study = self.store.study_of(trial)
        lease = lease_of(trial)
        self.progress.started(study, trial)
        with self._heart.holding(lease):
            try:
                ended = self._evaluated(study, trial)
            except LeaseLostError as error:
                self.progress.note(str(error), study, trial)
                return
            except BaseException as error:
                self._give_back(study, trial, error)
                raise
        fault("after_result")
        looked: Study | None = None
        if self.only is not None:  # who watches a run wants to see where the study stands with this trial
            looked = self._coordinator.look(study, upto="hear" if self.draining or self.once else "ask")
        self.progress.finished(looked or self.store.study_of(trial), ended)

    def _evaluated(self, study: Study, trial: Trial) -> Trial:
        try:
            found = self.pipeline.evaluate(study, trial.candidate, self._coordinator.gate(study, trial))
        except (BuildError, UnsupportedError, JobError) as error:
            return self._failed(trial, error)
        except InputError as error:  # data or model are not there on this host: another one's turn
            self._coordinator.refused.add(study.id)
            raise self._not_here(study, trial, error) from error
        fault("before_result")
        self._remark(study, trial, disturbances(found.performance))
        log = self.pipeline.take_remains()[1]
        if isinstance(found, GivenUp):
            return record_given_up(self.store, study, trial, found, self.host)
        return record(self.store, study, trial, found, self.host, log)

    def _remark(self, study: Study, trial: Trial, remarks: Sequence[str]) -> None:
        """Say, and write down, what a measurement should have been without."""
        for text in remarks:
            self.progress.note(f"trial {trial.number}: {text}", study, trial)
            self.store.add_event("remark", f"trial {trial.number}: {text}", study, trial.id)

    def _failed(self, trial: Trial, error: TunerError) -> Trial:
        if self._heart.lost(lease_of(trial)):
            raise LeaseLostError(f"trial {trial.number} was given up: it is not this worker's any more")
        if _is_infrastructure(error):
            raise error
        stages, log = self.pipeline.take_remains()
        return record_failure(self.store, trial, error, stages, log)

    def _not_here(self, study: Study, trial: Trial, error: InputError) -> TunerError:
        if self.only is not None:
            return error
        self._give_back(study, trial, error)
        return LeaseLostError(f"trial {trial.number} was given back: {error}")

    def _give_back(self, study: Study, trial: Trial, error: BaseException) -> None:
        """Return a trial that could not be run to its end. Only an error that nobody foresaw costs it an attempt.

        Such a one may be the candidate's: uncounted, it would end one worker after another for ever.
        """
        with contextlib.suppress(TunerError):
            if isinstance(error, Exception) and not isinstance(error, TunerError | OSError):
                self.store.take_trial(trial, ATTEMPTS)
            else:
                self.store.release_trial(trial)
        why = str(error) or type(error).__name__
        self.progress.note(f"trial {trial.number} was given back: {why}", study, trial)

    # -- coming and going

    def _sign_on(self) -> WorkerRecord:
        """Sign on under the name, and take back what an earlier process of this name left.

        Raises:
            InputError: that process is at work.
        """
        earlier = self.store.find_worker(self.name)
        if earlier is not None and at_work(earlier, self.host, self.lease_s):
            raise InputError(
                f"--name: a worker named {self.name!r} is at work (process {earlier.pid}); choose another name"
            )
        self.store.forget_workers(_FORGOTTEN)
        me = self.store.sign_on(self.name, os.getpid(), self.capabilities, self.host)
        for trial in self.store.take_back(self.name, ATTEMPTS):
            study, back = self.store.study_of(trial), f"taken back from an earlier process; {trial.state}"
            self.progress.note(f"trial {trial.number}: {back}", study, trial)
        return me


def _is_infrastructure(error: TunerError) -> bool:
    return isinstance(error, StoreError) or (isinstance(error, JobError) and error.kind in _INFRASTRUCTURE)


def at_work(earlier: WorkerRecord | None, host: Host, lease_s: float) -> bool:
    """Say whether a worker lives: on this host by its process. One on another host gives way to its successor here."""
    if earlier is None or earlier.stopped_at is not None or earlier.silent_s > lease_s:
        return False
    where = earlier.capabilities.get("host") or (earlier.host.name if earlier.host else None)
    if where != host.name:
        return False  # who restarts on another host under the same name is the same worker
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(earlier.pid)
        if process.create_time() > earlier.started_at.timestamp() + 1:
            return False  # its number was given to another one since: in a restarted container always
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
    return False
