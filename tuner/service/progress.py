"""Progress: what happens in a study, as events with where the search stands, for whoever shows it."""

from __future__ import annotations

import contextlib
import time

from tuner.errors import TunerError
from tuner.service.budget import Spent
from tuner.service.events import Event, Listener
from tuner.spec.model import Budget
from tuner.stage import StageRun
from tuner.store import Store
from tuner.store.records import Study, Trial


class Progress:
    """Turns a worker's steps into events."""

    def __init__(self, store: Store, listen: Listener | None = None) -> None:
        self._store, self._emit = store, listen or (lambda event: None)
        self._study: Study | None = None
        self._trial: Trial | None = None
        self._begun: list[tuple[str, float]] = []

    def stage(self, name: str) -> None:
        """Say that a stage starts (not said of cached ones)."""
        trial, study = self._trial, self._study.name if self._study else None
        if trial is not None:
            self._note(trial, name)
        number, candidate = (trial.number, trial.candidate) if trial else (None, None)
        self._emit(Event("stage", f"{name} …", study, number, candidate, stage=name))

    def _note(self, trial: Trial, name: str) -> None:
        """Write down what a running trial went through so far, for who looks on; the last stage still runs."""
        now = time.monotonic()
        self._begun.append((name, now))
        ends = [at for _, at in self._begun[1:]] + [now]
        runs = [StageRun(n, "", False, end - at) for (n, at), end in zip(self._begun, ends, strict=True)]
        with contextlib.suppress(TunerError):  # what nobody can look at now costs the trial nothing
            self._store.note_stages(trial, runs)

    def preparing(self, study: Study) -> None:
        """Say whose preparation the stages that follow belong to."""
        self._study, self._trial = study, None

    def begun(self, study: Study) -> None:
        """Say that the study starts or goes on."""
        done = Spent.of(self._store.spans(study)).candidates
        message = f"study {study.name}: {f'goes on after {done} trials' if done else 'starts'}"
        self._emit(Event("study-started", message, study.name, done=done, total=_budget(study).trials))

    def started(self, study: Study, trial: Trial) -> None:
        """Say that a trial starts."""
        self._study, self._trial, self._begun = study, trial, []
        message = f"trial {trial.number}: {trial.candidate.label()}"
        self._emit(Event("trial-started", message, study.name, trial.number, trial.candidate))

    def finished(self, study: Study, trial: Trial) -> None:
        """Say how a trial ended, and where the study stands."""
        self._trial = None
        failed = trial.state != "complete"
        message = (
            f"trial {trial.number}: {trial.kind}: {trial.reason}" if failed else f"trial {trial.number} done"
        )
        spent = Spent.kept(study.summary) or Spent.of(self._store.spans(study))
        best = study.summary.get("best")
        self._emit(
            Event(
                "trial-failed" if failed else "trial-finished",
                message,
                study.name,
                trial=trial.number,
                candidate=trial.candidate,
                metrics=None if failed else trial.metrics,
                done=spent.candidates,
                total=_budget(study).trials,
                seconds_left=spent.seconds_left(_budget(study)),
                best_speedup=best and best["speedup"],
                hypervolume=study.summary.get("hypervolume"),
            )
        )

    def repeated(self, study: Study, trial: Trial, known: Trial) -> None:
        """Say that the sampler proposed a known candidate, which cost nothing."""
        message = f"trial {trial.number} repeats trial {known.number}"
        self._emit(Event("trial-repeated", message, study.name, trial.number, trial.candidate))

    def confirming(self, study: Study, count: int) -> None:
        """Say that the front is being confirmed."""
        self._study, self._trial = study, None
        message = f"confirming {count} points on the test split, interleaved in one run"
        self._emit(Event("confirming", message, study.name))

    def note(self, message: str, study: Study | None = None, trial: Trial | None = None) -> None:
        """Say something a person would want to know."""
        self._emit(Event("note", message, study.name if study else None, trial.number if trial else None))

    def ended(self, study: Study) -> None:
        """Say that the study ended or was interrupted."""
        how = study.state + ("; the same command goes on" if study.state == "interrupted" else "")
        best, volume = study.summary.get("best"), study.summary.get("hypervolume")
        message, reached = f"study {study.name}: {how}", best and best["speedup"]
        self._emit(Event("study-finished", message, study.name, best_speedup=reached, hypervolume=volume))


def _budget(study: Study) -> Budget:
    return Budget.model_validate(study.spec["budget"])
