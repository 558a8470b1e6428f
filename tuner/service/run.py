"""Run: one study to its confirmed front by a worker in this process; others on the same database may help."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from tuner.backends.registry import offers
from tuner.errors import InputError, TunerError
from tuner.hardware import this_host
from tuner.search.precision import legs
from tuner.service.events import Listener
from tuner.service.opening import open_study
from tuner.service.pipeline import Works
from tuner.service.progress import Progress
from tuner.service.requires import absent, capabilities, refuse_unmeasurable
from tuner.service.signals import draining
from tuner.service.worker import Worker, at_work
from tuner.spec.model import StudySpec
from tuner.store import Store
from tuner.store.leases import lease_seconds
from tuner.store.records import Study


def run_study(spec: StudySpec, store: Store, listen: Listener | None = None) -> Study:
    """Run a study, or go on with it, to its confirmed front; return it as stored, `finished` or `interrupted`.

    The first Ctrl-C drains: the trial at hand is finished and everything kept. The second aborts the trial, which the
    next run of the same study begins again.

    Raises:
        InputError: model, data or study cannot be used on this host.
        TunerError: the disk is full, or the database cannot be written.
    """
    host = this_host()
    refuse_unmeasurable(spec, host)
    legs(
        spec.axes, offers(host, spec.task)
    )  # what this host cannot run at all is said before anything is read
    study = open_study(store, spec, host)
    progress = Progress(store, listen)
    worker = Worker(
        store,
        free_name(store, f"run-{host.name}-{study.name}"[:97]),
        host,
        capabilities(host, offers(host), spec.requires.labels),  # who runs it here says that here is right
        Works(host, progress.stage),
        progress,
        only=store.reopen(study),
    )
    if away := absent(
        spec, [worker.capabilities, *(w.capabilities for w in store.workers() if not w.stopped_at)]
    ):
        progress.note(f"waits for a worker on {' and '.join(away)}: tuner worker, there", study)
    return Run(store, worker, progress).to_its_end()


@dataclass
class Run:
    """A worker's run of one study, which Ctrl-C ends."""

    store: Store
    worker: Worker
    progress: Progress
    _stopped: bool = field(default=False)

    def to_its_end(self) -> Study:
        """Work until the study is over, or the run is interrupted; return it as it is then."""
        assert self.worker.only is not None
        study = self.worker.only
        if study.meta.get("anatomy"):
            self.progress.begun(study)
        try:
            with draining(self._drain, lambda: self._stopped):
                self.worker.run()
        except BaseException:
            self._interrupted(study)
            raise
        if self._stopped:
            self._interrupted(study)
        return self._ended(self.store.get_study(study.name))

    def _drain(self) -> None:
        self._stopped = self.worker.draining = True
        self.worker.wake()
        self.progress.note("draining: the trial at hand is finished first; once more to abort it")

    def _interrupted(self, study: Study) -> None:
        """Stop the study for all who work on it; one that came to its end meanwhile stays as it is."""
        with suppress(InputError):
            self.store.stop(study)

    def _ended(self, study: Study) -> Study:
        if study.state == "failed":
            error = str(study.meta.get("error") or "it failed; see the events above")
            raise TunerError(error) if study.summary else InputError(error)
        self.progress.ended(study)
        return study


def free_name(store: Store, name: str) -> str:
    """Return the run's own worker name, numbered where another run of the same study is at work beside it."""
    names = [name, *(f"{name}-{i}" for i in range(2, 100))]
    return next(n for n in names if not at_work(store.find_worker(n), this_host(), lease_seconds()))
